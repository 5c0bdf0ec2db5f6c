"""Parse robots.txt and decide whether a URL may be fetched (RFC 9309); takes bytes, fetches nothing.

    robots = parse_robots(body, product_token("corpus-worker/1.0"))
    decision = robots.decide("https://bao.example/tin/1.html")

Where the RFC leaves room, this follows Google's parser, against which site owners test: missing colons and a few
misspelt keys are accepted, a rule for `index.htm…` also applies to its folder, partial byte order marks are skipped.
In one place the RFC and that parser differ: whether `%62` in a rule means `b`. A disallow rule is read both ways, an
allow rule only as written, so under neither reading is more fetched than allowed.

`Robots.statements` returns what the file states about the use of a page: `Content-Usage` rules
(draft-ietf-aipref-attach, 3) and `Content-Signal` lines (contentsignals.org), which are read alike. Those outside every
group hold where the group has none under the same name.
"""

from __future__ import annotations

import math
import re
from dataclasses import field
from datetime import timedelta
from urllib.parse import quote_from_bytes

from worker.charset import clean_bytes
from worker.models import signal_statements, strictest, usage_statements
from worker.models.base import dataclass

MAX_BYTES = 500 * 1024  # RFC 9309, 2.5: at least 500 kibibytes must be read
MAX_LINE = 8 * 2083 - 1  # longer lines are cut, as Google's parser does: no URL that browsers take is longer
# A longer delay would stop a site's polls, which are due every few minutes to hours (chosen, not measured).
MAX_CRAWL_DELAY = timedelta(minutes=10)
MAX_SITEMAPS = 1_000  # 500 KiB could list ten times as many, and each costs requests (chosen, not measured)

# Spellings of keys that Google's parser accepts.
_AGENT = ("user-agent", "useragent", "user agent")
_DISALLOW = ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
_SITEMAP = ("sitemap", "site-map")
_KEYS = (
    dict.fromkeys(_AGENT, "user-agent")
    | dict.fromkeys(_DISALLOW, "disallow")
    | dict.fromkeys(_SITEMAP, "sitemap")
    | dict.fromkeys(("content-signal", "content-signals"), "content-signal")
    | {"allow": "allow", "crawl-delay": "crawl-delay", "content-usage": "content-usage"}
)
_READ_STATEMENTS = {"content-usage": usage_statements, "content-signal": signal_statements}

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb"[A-Za-z_-]*")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
# Scheme and authority of a URL, up to its path.
_AUTHORITY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
# RFC 3986, 2.3: an escaped unreserved character is equivalent to the character.
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A compiled path pattern (RFC 9309, 2.2.3).

    `segments` are the literal texts between the `*`; `anchored` (a final `$`): the last one must end the path.
    """

    segments: tuple[str, ...]
    anchored: bool

    def matches(self, path: str) -> bool:
        """Return whether a path matches. Leftmost matching of each segment suffices, so there is no backtracking."""
        first, *rest = self.segments
        if not rest:
            return path == first if self.anchored else path.startswith(first)
        if not path.startswith(first):
            return False
        position, middle = len(first), rest[:-1] if self.anchored else rest
        for segment in middle:
            found = path.find(segment, position)
            if found < 0:
                return False
            position = found + len(segment)
        return not self.anchored or (path.endswith(rest[-1]) and len(path) - len(rest[-1]) >= position)


@dataclass(frozen=True, slots=True)
class RobotsRule:
    """One allow or disallow line, percent-encoded; `line` counts from 1.

    `unescaped_pattern` has escapes of unreserved characters decoded; only disallow rules have one.
    """

    allow: bool
    text: str
    line: int
    pattern: PathPattern
    unescaped_pattern: PathPattern | None = None

    def __str__(self) -> str:
        return f"{'Allow' if self.allow else 'Disallow'}: {self.text} (line {self.line})"


@dataclass(frozen=True, slots=True)
class UsageRule:
    """One line about the use of pages: `name` is `content-usage` or `content-signal`, an empty `path` is absent."""

    name: str
    path: str
    pattern: PathPattern
    value: str


@dataclass(frozen=True, slots=True)
class RobotsDecision:
    """Whether a URL may be fetched, and the rule that decided; no rule if none matches."""

    allowed: bool
    rule: RobotsRule | None = None

    def __str__(self) -> str:
        return str(self.rule) if self.rule is not None else "no rule matches"


@dataclass(frozen=True, slots=True)
class Robots:
    """The part of one robots.txt that applies to one crawler; the default allows everything."""

    rules: tuple[RobotsRule, ...] = ()
    crawl_delay: timedelta = timedelta(0)
    sitemaps: tuple[str, ...] = ()
    usage: tuple[UsageRule, ...] = ()

    def statements(self, url: str) -> dict[str, str]:
        """Return what is stated about the use of a URL's page, by name (`content-usage`, `content-signal`).

        The longest matching path decides; what lines with that same path state is combined, as `label=value, …`.
        """
        path, found = _decode_unreserved(path_of(url)), dict[str, str]()
        for name, read in _READ_STATEMENTS.items():
            matching = [rule for rule in self.usage if rule.name == name and rule.pattern.matches(path)]
            longest = max((len(rule.path) for rule in matching), default=0)
            stated = strictest(read(rule.value) for rule in matching if len(rule.path) == longest)
            if stated:
                found[name] = ", ".join(f"{label}={value}" for label, value in stated.items())
        return found

    def decide(self, url: str) -> RobotsDecision:
        """Decide on a percent-encoded URL: the longest matching rule wins, and of equally long ones the allow rule."""
        path = path_of(url)
        plain = _decode_unreserved(path)
        best: RobotsRule | None = None
        for rule in self.rules:
            if best is not None and _weight(rule) <= _weight(best):
                continue
            if rule.pattern.matches(path) or (
                rule.unescaped_pattern is not None and rule.unescaped_pattern.matches(plain)
            ):
                best = rule
        return RobotsDecision(best is None or best.allow, best)


ALLOW_ALL = Robots()


def product_token(user_agent: str) -> str:
    """Return the part of a User-Agent header that robots.txt groups name: letters, `_` and `-` (RFC 9309, 2.2.1)."""
    return _token_of(user_agent.encode("utf-8", "replace")).decode("ascii").lower()


def path_of(url: str) -> str:
    """Return the part of a URL that rules are matched against: path, parameters and query, no fragment."""
    found = _AUTHORITY.match(url)
    rest = (url[found.end() :] if found else url).partition("#")[0]
    start = min((rest.find(mark) for mark in "/?;" if mark in rest), default=len(rest))
    return rest[start:] if rest.startswith("/", start) else f"/{rest[start:]}"


def parse_robots(body: bytes, token: str) -> Robots:
    """Parse a robots.txt for one product token (`product_token`); never raises, whatever the bytes are."""
    parser = _RobotsParser(token.lower())
    text = body[:MAX_BYTES]
    for number, line in enumerate(_LINE_END.split(_without_bom(text)), start=1):
        key, value = _split(line[:MAX_LINE])
        parser.add_line(key, value, number)
    return parser.result()


def _without_bom(body: bytes) -> bytes:
    """Remove a UTF-8 byte order mark, also an incomplete one."""
    length = 0
    while length < len(_BOM) and body[length : length + 1] == _BOM[length : length + 1]:
        length += 1
    return body[length:]


def _split(line: bytes) -> tuple[str, bytes]:
    """Return the normalised key and the value of a line without its comment."""
    text = clean_bytes(line).partition(b"#")[0].strip()
    key, colon, value = text.partition(b":")
    if not colon:
        words = text.split()
        # A missing colon is accepted if the line can mean nothing else.
        if len(words) != 2:
            return "", b""
        key, value = words
    return _KEYS.get(key.strip().lower().decode("latin-1"), ""), value.strip()


@dataclass(slots=True, eq=False)
class _Group:
    named: bool = False
    rules: list[RobotsRule] = field(default_factory=list)
    crawl_delay: timedelta = timedelta(0)
    usage: list[UsageRule] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _CurrentGroups:
    """The groups that rules at the current line belong to; a user-agent line after a rule starts new ones."""

    groups: list[_Group] = field(default_factory=list)
    in_rules: bool = False

    def name(self, group: _Group | None) -> None:
        """Add the group of a user-agent line (RFC 9309, 2.2.1); None: that of another crawler."""
        if self.in_rules:
            self.groups, self.in_rules = [], False
        if group is not None and group not in self.groups:
            self.groups.append(group)


class _RobotsParser:
    """Parser state: the groups that the current lines belong to, and what was found so far.

    Rules are collected for this crawler's own groups and for `*`; the latter count only if there is no own group. A
    line about usage ends the list of agents for such lines alone: it is outside the RFC and must not interfere with
    the RFC's own (2.2.4).
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode("utf-8", "replace")
        self._own, self._wildcard, self._outside = _Group(), _Group(), _Group()
        self._access = _CurrentGroups()
        self._usage = _CurrentGroups([self._outside], in_rules=True)
        self._sitemaps: dict[str, None] = {}

    def add_line(self, key: str, value: bytes, line: int) -> None:
        """Process one line, split into its normalised key (empty if unknown) and its value."""
        if key == "user-agent":
            self._agent(value)
        elif key in {"allow", "disallow"}:
            self._rule(key == "allow", value, line)
        elif key in _READ_STATEMENTS:
            self._usage_rule(key, value)
        elif key == "crawl-delay":
            self._delay(value)
        elif key == "sitemap" and value and len(self._sitemaps) < MAX_SITEMAPS:
            self._sitemaps[value.decode("utf-8", "replace")] = None

    def result(self) -> Robots:
        """Return the rules of the own groups if there are any, else of the `*` groups; sitemaps belong to no group."""
        group = self._own if self._own.named else self._wildcard
        named = {rule.name for rule in group.usage}
        usage = (*group.usage, *(rule for rule in self._outside.usage if rule.name not in named))
        return Robots(tuple(group.rules), group.crawl_delay, tuple(self._sitemaps), usage)

    def _agent(self, value: bytes) -> None:
        group = None
        if value == b"*" or (value[:1] == b"*" and value[1:2].isspace()):
            group = self._wildcard
        elif _token_of(value).lower() == self._token:
            group = self._own
        if group is not None:
            group.named = True
        self._access.name(group)
        self._usage.name(group)

    def _rule(self, allow: bool, value: bytes, line: int) -> None:  # noqa: FBT001 - private
        self._access.in_rules = self._usage.in_rules = True
        for rule in _rules(allow, value, line):
            for group in self._access.groups:
                group.rules.append(rule)

    def _usage_rule(self, name: str, value: bytes) -> None:
        self._usage.in_rules = True
        path, stated = [*value.split(None, 1), b""][:2] if value.startswith(b"/") else (b"", value)
        text = _encoded(path)
        rule = UsageRule(name, text, _pattern(_decode_unreserved(text)), stated.decode("latin-1"))
        for group in self._usage.groups:
            group.usage.append(rule)

    def _delay(self, value: bytes) -> None:
        # Does not end the list of agents: records outside the RFC must not interfere with its own (2.2.4).
        delay = _seconds(value)
        for group in self._access.groups:
            group.crawl_delay = max(group.crawl_delay, delay)


def _token_of(value: bytes) -> bytes:
    found = _TOKEN.match(value)
    return found.group() if found else b""


def _seconds(value: bytes) -> timedelta:
    """Parse a crawl delay, at most `MAX_CRAWL_DELAY`; zero if it is no positive number."""
    try:
        seconds = float(value)
    except ValueError:
        return timedelta(0)
    if not math.isfinite(seconds) or seconds <= 0:
        return timedelta(0)
    return timedelta(seconds=min(seconds, MAX_CRAWL_DELAY.total_seconds()))


def _rules(allow: bool, value: bytes, line: int) -> list[RobotsRule]:  # noqa: FBT001 - private
    """Return the rules of one line: two for an allow rule that ends in `index.htm…`, none for an empty value."""
    if not value:
        return []  # an empty value names no path: the line has no effect
    text = _encoded(value)
    if not allow:
        return [RobotsRule(allow, text, line, _pattern(text), _pattern(_decode_unreserved(text)))]
    folder, slash, page = text.rpartition("/")
    texts = (text, f"{folder}/$") if slash and page.startswith("index.htm") else (text,)
    return [RobotsRule(allow, each, line, _pattern(each)) for each in texts]


def _pattern(text: str) -> PathPattern:
    anchored = text.endswith("$")
    return PathPattern(tuple((text[:-1] if anchored else text).split("*")), anchored)


def _weight(rule: RobotsRule) -> tuple[int, bool]:
    """Return the precedence of a rule: its length, then allow before disallow (RFC 9309, 2.2.2)."""
    return len(rule.text), rule.allow


def _encoded(value: bytes) -> str:
    """Percent-encode bytes beyond ASCII, with escapes in upper case."""
    text = quote_from_bytes(value, safe=_PRINTABLE)
    return _ESCAPE.sub(lambda found: found.group().upper(), text) if "%" in text else text


def _decode_unreserved(path: str) -> str:
    """Decode escapes of unreserved characters (`%62` is `b`); all others stay."""

    def plain(found: re.Match[str]) -> str:
        character = chr(int(found.group()[1:], 16))
        return character if character in _UNRESERVED else found.group().upper()

    return _ESCAPE.sub(plain, path) if "%" in path else path
