"""The settings of a source, `[[sources]]`, and of the filter rules that a source may have too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from worker.charset.characters import fold
from worker.config.types import (
    Archive,
    Cron,
    Duration,
    Pattern,
    Since,
    TimeZone,
    WebAddress,
    Word,
    matching,
)
from worker.errors import SourceError
from worker.models import Source, SourceOptions
from worker.urls import host_of

DEFAULT_TIMEZONE: Final = "Asia/Ho_Chi_Minh"
_LOCAL_KINDS: Final = ("files", "warc")
_POLLED_KINDS: Final = ("feed", "sitemap", "listing")
_KINDS_OF_KEY: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "sitemap": ("feed", "listing"),
        "other_sites": _POLLED_KINDS,
        "sites": (*_POLLED_KINDS, *_LOCAL_KINDS),
        "keep_params": (*_POLLED_KINDS, "urls"),
        "drop_params": (*_POLLED_KINDS, "urls"),
        "fold_case": (*_POLLED_KINDS, "urls"),
        "pages": ("listing",),
        "article_pattern": ("listing",),
        "max_age": ("sitemap",),
        "archive": _POLLED_KINDS,
        **dict.fromkeys(("headers", "cookies_file", "login", "login_hosts", "proxy"), (*_POLLED_KINDS, "urls")),
    }
)
"""The source kinds that use a key; a key that is not listed applies to all kinds."""
_REPLACEMENTS: Final[Mapping[str, str]] = MappingProxyType({"max_age": 'since = "2026-11-29" works for every kind'})


# The login of a source at its site.


_OUR_HEADERS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-length", "expect", "host", "if-modified-since", "if-none-match",
        "keep-alive", "proxy-authorization", "range", "signature", "signature-agent", "signature-input", "te",
        "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
"""Request headers that the fetcher sets itself, because it relies on them or because they say who it is."""
_FROM_ENVIRONMENT: Final = r"env:[A-Za-z_][A-Za-z0-9_]*"


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValueError("the name of a header")
    if value.lower() in _OUR_HEADERS:
        raise ValueError(f"another header than {value}, which the worker sets itself")
    return value


def _header_value(value: str) -> str:
    if value.startswith("env:") and not re.fullmatch(_FROM_ENVIRONMENT, value):
        raise ValueError('"env:NAME" with the name of an environment variable')
    if value != value.strip() or not (value.isascii() and value.isprintable()):
        raise ValueError("printable ASCII without blanks around it")
    return value


def _secret(value: str) -> str:
    if value and not re.fullmatch(_FROM_ENVIRONMENT, value):
        raise ValueError('"env:NAME", an environment variable that holds user:password')
    return value


def _proxy_address(value: str) -> str:
    if value and not re.fullmatch(rf"http://\S+|{_FROM_ENVIRONMENT}", value):
        raise ValueError('"http://host:port", or "env:NAME" for an environment variable that holds this')
    return value


SourceName = Annotated[
    str,
    matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
        'a name of at most 100 letters, digits, ".", "_" and "-" that begins with a letter or a digit',
    ),
]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Secret = Annotated[str, AfterValidator(_secret)]
"""The name of an environment variable that holds a secret, as `env:NAME`, or empty."""
ProxyAddress = Annotated[str, AfterValidator(_proxy_address)]


def _phrase(value: str) -> str:
    """Return words to look for, which need a letter or digit; raises ValueError."""
    if not fold(value):
        raise ValueError('words or a name with letters or digits, such as "xổ số"')
    return value


def _bare_host(value: str) -> str:
    """Return a host without port in its normal form; raises ValueError."""
    try:
        host = host_of(f"https://{value}/") if re.fullmatch(r"[\w.-]{1,253}", value) else ""
    except SourceError:
        host = ""
    if not host:
        raise ValueError('a host such as "news.example", which stands for the hosts below it as well')
    return host


def _address_pattern(value: str) -> str:
    """Return a pattern of addresses: a host or `*`, and a path in which `*` stands for any text; raises ValueError."""
    host, slash, path = value.partition("/")
    wrong = (
        'a host, or "*" for any, and a path in which * stands for any text, without "https://": '
        '"news.example/video/*", "*/video/*"'
    )
    if not slash or any(map(str.isspace, path)):
        raise ValueError(wrong)
    try:
        return f"{host if host == '*' else _bare_host(host)}/{path}"
    except ValueError:
        raise ValueError(wrong) from None


Phrase = Annotated[str, AfterValidator(_phrase)]
"""Words that are looked for in titles and texts, or the name of a section."""
Host = Annotated[str, AfterValidator(_bare_host)]
AddressPattern = Annotated[str, AfterValidator(_address_pattern)]


class Section(BaseModel):
    """Base class of all sections: unknown keys and values of another type are errors.

    Its validator is built when it is first used: most commands read a few sections, and building all takes longer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class FilterRules(Section):
    """Rules that articles match: any word, section, address or host of these."""

    words: tuple[Phrase, ...] = Field(default=(), strict=False)  # in the title or the text, as whole words
    sections: tuple[Phrase, ...] = Field(default=(), strict=False)  # as the page names its section
    addresses: tuple[AddressPattern, ...] = Field(default=(), strict=False)  # host and path, * for any text
    hosts: tuple[Host, ...] = Field(default=(), strict=False)  # with the hosts below each


class SourceSettings(Section):
    """One configured source: a `[[sources]]` table."""

    name: SourceName
    kind: Literal["feed", "sitemap", "listing", "urls", "files", "warc"]
    url: str = ""  # exactly one of url and path
    path: str = ""
    enabled: bool = True  # False: paused
    every: Duration | None = None  # None: adapted; at most one of every and cron
    cron: Cron = ""
    sitemap: WebAddress = ""  # searched when polls leave a gap
    timezone: TimeZone = DEFAULT_TIMEZONE  # of dates without a zone
    other_sites: Literal["skip", "follow"] = "skip"
    sites: tuple[Word, ...] = Field(default=(), strict=False)  # further domains of this source
    keep_params: tuple[Word, ...] = Field(default=(), strict=False)  # query parameters that distinguish articles
    drop_params: tuple[Word, ...] = Field(default=(), strict=False)  # query parameters without meaning
    fold_case: bool = False  # True: addresses that differ only in case are the same
    pages: Annotated[int, Field(ge=1, le=1000)] = 1  # of a listing, following "next"
    article_pattern: Pattern = ""  # of article addresses on a listing; empty: learned
    max_age: Duration = timedelta(days=30)  # of a sitemap's entries
    since: Since | None = None  # older articles are not stored
    archive: Archive = ""  # archive pages by date, for backfill
    keep: FilterRules | None = None  # rules for articles of this source, beside those of [filter]
    block: FilterRules | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)  # sent to the host of `url` alone
    cookies_file: str = ""  # in the format of Netscape
    login: Secret = ""  # "env:NAME", which holds user:password
    login_hosts: tuple[Word, ...] = Field(default=(), strict=False)  # further hosts for headers, cookies and login
    proxy: ProxyAddress = ""

    @model_validator(mode="after")
    def _logged_in(self) -> Self:
        """Check that a request has one login and each header once."""
        names = [name.lower() for name in self.headers]
        if self.login and "authorization" in names:
            raise ValueError('at most one of "login" and the header Authorization')
        if len(set(names)) < len(names):
            raise ValueError("each header once, whatever its case")
        return self

    @model_validator(mode="after")
    def _located(self) -> Self:
        """Check that the source has a place of the form that its kind needs."""
        if bool(self.url) == bool(self.path):
            raise ValueError('exactly one of "url" and "path"')
        if self.path and self.kind not in (*_LOCAL_KINDS, "urls"):
            raise ValueError(f'"url" (a "{self.kind}" source is fetched; "path" goes with files, warc and urls)')
        if self.url and self.kind not in _LOCAL_KINDS and not re.match(r"https?://[^/\s]", self.url):
            raise ValueError(f'a "url" that starts with http:// or https:// (found "{self.url}")')
        return self

    @model_validator(mode="after")
    def _planned(self) -> Self:
        """Check that the polling times are not given twice."""
        if self.every and self.cron:
            raise ValueError('at most one of "every" and "cron"')
        return self

    @property
    def identifies(self) -> bool:
        """Whether its requests carry anything of their own, or go through a proxy."""
        return bool(self.headers or self.login or self.cookies_file or self.proxy)

    def source(self) -> Source:
        """Return the source as the type that the pipeline uses."""
        return Source(
            name=self.name,
            kind=self.kind,
            url=self.url or self.path,
            enabled=self.enabled,
            every=self.every,
            cron=self.cron,
            timezone=self.timezone,
            options=SourceOptions(
                follow_others=self.other_sites == "follow",
                sites=_lower_case(self.sites),
                keep_params=_lower_case(self.keep_params),
                drop_params=_lower_case(self.drop_params),
                fold_case=self.fold_case,
                pages=self.pages,
                article_pattern=re.compile(self.article_pattern) if self.article_pattern else None,
                max_age=self.max_age,
                since=self.wanted_since(),
                sitemap=self.sitemap,
                archive=self.archive,
            ),
        )

    def wanted_since(self) -> datetime | None:
        """Return `since` as a time; a day starts at midnight in the source's time zone."""
        if self.since is None:
            return None
        if isinstance(self.since, datetime):
            return self.since if self.since.tzinfo else self.since.replace(tzinfo=ZoneInfo(self.timezone))
        return datetime.combine(self.since, time(), ZoneInfo(self.timezone))

    def unused_key_warnings(self) -> Iterator[str]:
        """Yield a warning for each key that is set and not used by this kind of source."""
        for key, kinds in _KINDS_OF_KEY.items():
            if key in self.model_fields_set and self.kind not in kinds:
                advice = f"; {_REPLACEMENTS[key]}" if key in _REPLACEMENTS else ""
                yield f'source "{self.name}": {key} does nothing for kind = "{self.kind}"{advice}: remove it'


def _lower_case(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words)
