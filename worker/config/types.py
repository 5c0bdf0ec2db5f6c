"""Units of time and size, and pydantic field types for settings: networks, endpoints, languages, time zones and more.

Every validator raises ValueError with a description of what is allowed; `config.load` puts it behind "expected".
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from worker.models.articles import SAME_LANGUAGE
from worker.schedule.poll_interval import check_cron
from worker.urls import is_web_address

# Parsing and formatting of durations ("15m") and sizes ("10MB") as written in the configuration and on pages.


# The units of durations, in seconds.
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
# The units of sizes, in bytes: SI prefixes are powers of ten, IEC prefixes powers of two.
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_LONGEST_S: Final = 36_500 * 86_400
"""A hundred years, so that now plus any duration is still a valid `datetime`."""
_PART: Final = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ms|[smhdw])")
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKMG]?i?B)")
_EXPECTED_SIZE: Final = 'a size such as "500kB", "10MB" or "1GiB"'


def parse_duration(text: str) -> timedelta:
    """Parse `90s`, `15m`, `1h30m`, `50ms`, `2d` or `0`.

    Raises ValueError for anything else, and for more than a hundred years. Its text says what is allowed, to be put
    behind "expected" or "give".
    """
    if text == "0":
        return timedelta(0)
    if not _DURATION.fullmatch(text):
        raise ValueError('a duration such as "50ms", "15s", "5m", "1h30m" or "2d"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise ValueError("a duration of a hundred years (36500d) at most")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Return a duration in the form that `parse_duration` reads, with as few units as possible."""
    left = round(duration.total_seconds() * 1000)
    if left == 0:
        return "0s"
    parts = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds * 1000)
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left}ms")
    return "".join(parts)


def format_rounded(span: timedelta) -> str:
    """Return a span in the largest unit that gives at least 2, for narrow columns: `90s`, `47h`, `3d`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_age(when: datetime | None, *, now: datetime) -> str:
    """Return how long ago `when` was, such as `5m ago`; `never` for None."""
    return f"{format_rounded(now - when)} ago" if when else "never"


def format_countdown(when: datetime | None, *, now: datetime) -> str:
    """Return the time left until `when`, such as `in 5m`; `due` if it is over or None."""
    return "due" if when is None or when <= now else f"in {format_rounded(when - now)}"


def parse_size(text: str) -> int:
    """Parse `10MB` (powers of ten) or `10MiB` (powers of two) as bytes; raises ValueError for anything else."""
    match = _SIZE.fullmatch(text)
    if not match or match[2] not in _BYTES:
        raise ValueError(_EXPECTED_SIZE)
    return int(float(match[1]) * _BYTES[match[2]])


def format_size(size: int) -> str:
    """Return a size in the form that `parse_size` reads, in the largest unit that divides it."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


_STORE_URL: Final = re.compile(r"(sqlite:///.+|postgresql\+psycopg://.+)")
_ENDPOINT: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+):([0-9]{1,5})")
_DATE_PARTS: Final = frozenset({"year", "month", "day"})
_MAX_PORT: Final = 65535  # the largest TCP port, 16 bits
_MIN_YEAR: Final = 1900  # an earlier `since` is a typing error; older news is not on the web
_EXPECTED_DAY: Final = 'a day such as "2026-11-29", or a moment such as "2026-11-29T08:00:00+07:00"'


def _parser(parse: Callable[[str], object]) -> Callable[[object], object]:
    """Return a validator that parses strings with `parse` and passes values of the final type through."""

    def read(value: object) -> object:
        return parse(value.strip()) if isinstance(value, str) else value

    return read


def _refuse_number(value: object) -> object:
    """Refuse a number without a unit, which would be ambiguous, and lists and tables; raises ValueError."""
    if not isinstance(value, str | timedelta):
        raise ValueError('a duration with its unit, such as "15s" or "5m"')  # noqa: TRY004 - pydantic reports ValueError
    return value


def _read_size(value: object) -> object:
    """Return a size in bytes, of a text or a whole number; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(_EXPECTED_SIZE)  # noqa: TRY004 - pydantic reports ValueError
    return parse_size(value.strip()) if isinstance(value, str) else value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration above zero")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("a duration of zero or more")
    return value


def _network(value: str) -> str:
    """Return a network in its normal form; raises ValueError."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError('a network such as "127.0.0.0/8" or "fd00::/8"') from None


PASSWORD_HASH: Final = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})"
)
"""The hash of a password in the PHC string format: parameters of scrypt, salt and digest."""
_MAX_SCRYPT: Final = (20, 16, 16)
"""The largest ln, r and p of a hash. Chosen: 2 GB and sixteen rounds are more than any login needs."""


def _password_hash(value: str) -> str:
    """Return the hash of a password, or an empty text; raises ValueError."""
    match = PASSWORD_HASH.fullmatch(value)
    if value and not (
        match and all(0 < int(found) <= most for found, most in zip(match.groups(), _MAX_SCRYPT, strict=False))
    ):
        raise ValueError("a hash, as `corpus-worker web --hash-password` makes it")
    return value


def _endpoint(value: str) -> str:
    """Return a `host:port` in lower case; raises ValueError."""
    match = _ENDPOINT.fullmatch(value)
    if not match or not 0 < int(match[2]) <= _MAX_PORT:
        raise ValueError('a host and a port such as "news.example:443" or "127.0.0.1:8443"')
    return value.lower()


def _listen(value: str) -> str:
    """Return an `address:port` of this machine, or empty text; raises ValueError."""
    match = _ENDPOINT.fullmatch(value)
    host = match[1].strip("[]") if match else ""
    try:
        if host != "localhost":
            ipaddress.ip_address(host)
    except ValueError:
        match = None
    if value and (match is None or not 0 < int(match[2]) <= _MAX_PORT):
        raise ValueError('an address and a port of this machine such as "127.0.0.1:8750" or "[::1]:8750"')
    return value


_LANGUAGE_CODES: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja "
    "jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nd "
    "ne ng nl no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss "
    "st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu ace ary arz "
    "bcl crh ext fuv gcf gcr gom grc gug guw hbo kab kik lij ltg nso pcm sdh uzs vec wuu yue zxx"
)
LANGUAGES: Final = frozenset(_LANGUAGE_CODES.split())
"""The codes of ISO 639-1 without those of `SAME_LANGUAGE`, then of other languages that the worker can tell."""


def _language(value: str) -> str:
    """Return the code of a language; raises ValueError for one that no article can have."""
    if value in SAME_LANGUAGE:
        raise ValueError(f'"{SAME_LANGUAGE[value]}", the code that articles in this language have')
    if value not in LANGUAGES:
        raise ValueError('the code of a language (ISO 639-1) such as "vi" or "en"')
    return value


def _timezone(value: str) -> str:
    """Return the name of a time zone that this machine knows; raises ValueError."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('a time zone such as "Asia/Ho_Chi_Minh" or "UTC"') from None
    return value


def _pattern(value: str) -> str:
    """Return the text of a regular expression; raises ValueError with the compiler's message."""
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"a regular expression ({exc})") from None
    return value


def _archive(value: str) -> str:
    """Return an address template with `{year}` and perhaps `{month}` and `{day}`; raises ValueError."""
    named = set(re.findall(r"\{(\w*)\}", value))
    if value and not (re.match(r"https?://[^/\s]", value) and "year" in named and named <= _DATE_PARTS):
        raise ValueError('an address with {year}, and perhaps {month} and {day}: "https://bao.vn/{year}/{month}/{day}"')
    return value


def _cron(value: str) -> str:
    """Return fixed times that the scheduler can read, or empty text; raises ValueError."""
    try:
        if value:
            check_cron(value)
    except ValueError as exc:
        raise ValueError(f'fixed times such as "0 6,12,18 * * *": {exc}') from None
    return value


def _web_address(value: str) -> str:
    if value and not (is_web_address(value) and re.match(r"https?://[^/\s]", value)):
        raise ValueError("an address that starts with http:// or https://")
    return value


def _secret_address(value: SecretStr) -> SecretStr:
    """Return an address with a scheme; raises ValueError, which does not repeat it."""
    if not re.match(r"[a-z][a-z0-9+]*://.", value.get_secret_value(), re.IGNORECASE):
        raise ValueError('an address of apprise such as "mailto://…", "tgram://…" or "json://…"')
    return value


def _https(value: str) -> str:
    if value and not re.fullmatch(r"https://[!#$%&'()*+,./:;=?@\[\]_~\w-]+", value, re.ASCII):
        raise ValueError("an address that starts with https://")
    return value


def is_loopback(endpoint: str) -> bool:
    """Return whether an address with a port is on the loopback interface."""
    host = endpoint.rpartition(":")[0].strip("[]")
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def is_store_url(value: str) -> bool:
    """Return whether a text is a store URL of a supported database."""
    return bool(_STORE_URL.fullmatch(value))


def _store_url(value: str) -> str:
    """Return a store URL; raises ValueError, with its own message for a store in memory."""
    if value == "sqlite:///:memory:":
        raise ValueError('a file, "sqlite:///path/to/file.db": a store in memory is lost when the command ends')
    if not is_store_url(value):
        raise ValueError('"sqlite:///path/to/file.db" or "postgresql+psycopg://user@host/database"')
    return value


def _parse_since(value: object) -> object:
    """Return text as a date or a time where it is one; everything else is passed on to the next validator."""
    if isinstance(value, str):
        text = value.strip()
        with contextlib.suppress(ValueError):
            return date.fromisoformat(text)
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(text)
    return value


def _not_before_1900(value: date | datetime) -> date | datetime:
    if value.year < _MIN_YEAR:
        raise ValueError(_EXPECTED_DAY)
    return value


def _require_day(value: object) -> object:
    """Return a date or a time, from text or from a TOML value of that type; raises ValueError."""
    read = _parse_since(value)
    if not isinstance(read, date):
        raise ValueError(_EXPECTED_DAY)  # noqa: TRY004 - pydantic reports ValueError
    return read


def matching(pattern: str, expected: str) -> AfterValidator:
    """Return the check that the whole of a text has a form; `expected` describes it."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


# The field types. Each parses the text of the configuration, checks it, and is written back in the same form by
# `config check`.
_WRITE_DURATION: Final = PlainSerializer(format_duration, return_type=str)
_READ_DURATION: Final = BeforeValidator(_parser(parse_duration))
Duration = Annotated[
    timedelta, AfterValidator(_positive), BeforeValidator(_refuse_number), _READ_DURATION, _WRITE_DURATION
]
DurationOrZero = Annotated[
    timedelta, AfterValidator(_not_negative), BeforeValidator(_refuse_number), _READ_DURATION, _WRITE_DURATION
]
Since = Annotated[
    date | datetime,
    AfterValidator(_not_before_1900),
    BeforeValidator(_require_day),
    PlainSerializer(lambda value: value.isoformat(), return_type=str),
]
"""A day or a time; `datetime` is a subclass of `date`."""
Size = Annotated[int, Field(gt=0), BeforeValidator(_read_size), PlainSerializer(format_size, return_type=str)]
"""A number of bytes above zero."""
Paths = Annotated[
    tuple[str, ...],
    Field(strict=False),
    BeforeValidator(lambda value: ((value,) if value else ()) if isinstance(value, str) else value),
    PlainSerializer(lambda paths: list(paths) if len(paths) > 1 else "".join(paths)),
]
"""Paths as a text, for one, or a list of texts; an empty text is no path."""
Share = Annotated[float, Field(gt=0, le=1)]
Network = Annotated[str, AfterValidator(_network)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Listen = Annotated[str, AfterValidator(_listen)]
"""A local address and port to listen on, or empty."""
PasswordHash = Annotated[str, AfterValidator(_password_hash)]
Language = Annotated[str, AfterValidator(_language)]
Signal = Annotated[str, matching(r"[a-z][a-z-]*", 'the name of a signal such as "noai" or "ai-train"')]
Word = Annotated[str, matching(r"[^\s,]+", "a word without blanks and commas")]
OptionalWord = Annotated[str, matching(r"[^\s,]*", "a word without blanks and commas")]
TimeZone = Annotated[str, AfterValidator(_timezone)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Cron = Annotated[str, AfterValidator(_cron)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Https = Annotated[str, AfterValidator(_https)]
Purpose = Literal["", "ai-train", "ai-input", "search", "research"]
REFUSED_FOR: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        "ai-train": ("ai-train", "noai", "tdm-reservation", "use-immediate", "use-reference"),
        "ai-input": ("ai-input", "noai", "tdm-reservation", "use-immediate", "use-reference"),
        "search": ("search", "noindex", "use-immediate"),
    }
)
"""The signals by which a site denies its texts to a purpose; docs/reference.md says where each is specified."""
Archive = Annotated[str, AfterValidator(_archive)]
SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
"""An address that holds a password: it is shown as `***` wherever settings are printed."""
StoreUrl = Annotated[str, AfterValidator(_store_url)]
