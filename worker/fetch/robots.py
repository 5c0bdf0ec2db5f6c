"""Read robots.txt and say what it allows (RFC 9309); takes bytes, fetches nothing.

Where the RFC leaves room, this follows Google's parser, which site owners test against: missing colons and a few
misspelt keys are understood, `index.htm…` stands for its folder, partial byte order marks are skipped. In one place
the RFC and that parser differ: whether `%62` in a rule means `b`. A rule that forbids is read both ways, a rule that
allows only as written, so neither reading is ever broken towards fetching more.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote_from_bytes

MAX_BYTES = 500 * 1024  # RFC 9309, 2.5: at least 500 kibibytes must be read
MAX_LINE = 16 * 1024
MAX_CRAWL_DELAY = timedelta(minutes=10)
MAX_SITEMAPS = 1_000

_AGENT = ("user-agent", "useragent", "user agent")
_DISALLOW = ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
_SITEMAP = ("sitemap", "site-map")
_KEYS = (
    dict.fromkeys(_AGENT, "user-agent")
    | dict.fromkeys(_DISALLOW, "disallow")
    | dict.fromkeys(_SITEMAP, "sitemap")
    | {"allow": "allow", "crawl-delay": "crawl-delay"}
)

_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb"[A-Za-z_-]*")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class Rule:
    """One allow or disallow line; `pattern` is percent-encoded, `line` counts from 1."""

    allow: bool
    pattern: str
    line: int
    segments: tuple[str, ...] = ()
    anchored: bool = False

    def matches(self, path: str) -> bool:
        """Tell whether the rule speaks of a path; `*` is any text and a final `$` the end (RFC 9309, 2.2.3)."""
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

    def __str__(self) -> str:
        return f"{'Allow' if self.allow else 'Disallow'}: {self.pattern} (line {self.line})"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a URL may be fetched, and the rule that decided; None where no rule speaks of it."""

    allowed: bool
    rule: Rule | None = None

    def __str__(self) -> str:
        return str(self.rule) if self.rule is not None else "no rule speaks of it"


@dataclass(frozen=True, slots=True)
class Robots:
    """What one robots.txt says to one crawler."""

    rules: tuple[Rule, ...] = ()
    crawl_delay: timedelta = timedelta(0)
    sitemaps: tuple[str, ...] = ()

    def ruling(self, path: str) -> Ruling:
        """Judge a path with its query, percent-encoded; the longest rule wins, and of equals the one that allows."""
        plain = _decode_unreserved(path)
        best: Rule | None = None
        for rule in self.rules:
            if best is not None and _weight(rule) <= _weight(best):
                continue
            if rule.matches(path) or (not rule.allow and _unescaped(rule).matches(plain)):
                best = rule
        return Ruling(best is None or best.allow, best)


ALLOW_ALL = Robots()


def product_token(user_agent: str) -> str:
    """Return the part of a User-Agent header that robots.txt groups name (RFC 9309, 2.2.1)."""
    return user_agent.strip().partition("/")[0].partition(" ")[0].lower()


def parse_robots(body: bytes, token: str) -> Robots:
    """Read a robots.txt for one product token; never raises, whatever the bytes are."""
    reading = _Reading(token.lower())
    text = body[:MAX_BYTES]
    for number, line in enumerate(_LINE_END.split(_without_bom(text)), start=1):
        key, value = _split(line[:MAX_LINE])
        reading.take(key, value, number)
    return reading.result()


def _without_bom(body: bytes) -> bytes:
    length = 0
    while length < len(_BOM) and body[length : length + 1] == _BOM[length : length + 1]:
        length += 1
    return body[length:]


def _split(line: bytes) -> tuple[str, bytes]:
    text = line.partition(b"#")[0].strip()
    key, colon, value = text.partition(b":")
    if not colon:
        words = text.split()
        # A forgotten colon is understood where nothing else can be meant.
        if len(words) != 2:
            return "", b""
        key, value = words
    return _KEYS.get(key.strip().lower().decode("latin-1"), ""), value.strip()


@dataclass(slots=True, eq=False)
class _Group:
    named: bool = False
    rules: list[Rule] = field(default_factory=list)
    crawl_delay: timedelta = timedelta(0)


class _Reading:
    """The state while going down the lines: whose group this is, and what was found for us and for everybody."""

    def __init__(self, token: str) -> None:
        self._token = token.encode("utf-8", "replace")
        self._ours, self._everybody = _Group(), _Group()
        self._current: list[_Group] = []
        self._in_rules = False
        self._sitemaps: dict[str, None] = {}

    def take(self, key: str, value: bytes, line: int) -> None:
        if key == "user-agent":
            self._agent(value)
        elif key in {"allow", "disallow"}:
            self._rule(key == "allow", value, line)
        elif key == "crawl-delay":
            self._delay(value)
        elif key == "sitemap" and value and len(self._sitemaps) < MAX_SITEMAPS:
            self._sitemaps[value.decode("utf-8", "replace")] = None

    def result(self) -> Robots:
        group = self._ours if self._ours.named else self._everybody
        return Robots(tuple(group.rules), group.crawl_delay, tuple(self._sitemaps))

    def _agent(self, value: bytes) -> None:
        if self._in_rules:
            self._current, self._in_rules = [], False
        if value == b"*" or (value[:1] == b"*" and value[1:2].isspace()):
            self._join(self._everybody)
        elif _token_of(value).lower() == self._token:
            self._join(self._ours)

    def _join(self, group: _Group) -> None:
        group.named = True
        if group not in self._current:
            self._current.append(group)

    def _rule(self, allow: bool, value: bytes, line: int) -> None:  # noqa: FBT001 - private
        self._in_rules = True
        for rule in _rules(allow, value, line):
            for group in self._current:
                group.rules.append(rule)

    def _delay(self, value: bytes) -> None:
        # It never ends the list of agents: records outside the RFC must not interfere with its own (2.2.4).
        delay = _seconds(value)
        for group in self._current:
            group.crawl_delay = max(group.crawl_delay, delay)


def _token_of(value: bytes) -> bytes:
    found = _TOKEN.match(value)
    return found.group() if found else b""


def _seconds(value: bytes) -> timedelta:
    try:
        seconds = float(value)
    except ValueError:
        return timedelta(0)
    if not math.isfinite(seconds) or seconds <= 0:
        return timedelta(0)
    return timedelta(seconds=min(seconds, MAX_CRAWL_DELAY.total_seconds()))


def _rules(allow: bool, value: bytes, line: int) -> list[Rule]:  # noqa: FBT001 - private
    if not value:
        return []  # an empty value names no path: the line says nothing
    pattern = _encoded(value)
    rules = [_rule(allow, pattern, line)]
    folder, slash, page = pattern.rpartition("/")
    if allow and slash and page.startswith("index.htm"):
        rules.append(_rule(allow, f"{folder}/$", line))
    return rules


def _rule(allow: bool, pattern: str, line: int) -> Rule:  # noqa: FBT001 - private
    anchored = pattern.endswith("$")
    segments = tuple((pattern[:-1] if anchored else pattern).split("*"))
    return Rule(allow, pattern, line, segments, anchored)


def _weight(rule: Rule) -> tuple[int, bool]:
    return len(rule.pattern), rule.allow


def _unescaped(rule: Rule) -> Rule:
    if "%" not in rule.pattern:
        return rule
    return _rule(rule.allow, _decode_unreserved(rule.pattern), rule.line)


def _encoded(value: bytes) -> str:
    safe = "".join(chr(code) for code in range(0x21, 0x7F))
    return _ESCAPE.sub(lambda found: found.group().upper(), quote_from_bytes(value, safe=safe + " "))


def _decode_unreserved(path: str) -> str:
    def plain(found: re.Match[str]) -> str:
        character = chr(int(found.group()[1:], 16))
        return character if character in _UNRESERVED else found.group().upper()

    return _ESCAPE.sub(plain, path) if "%" in path else path
