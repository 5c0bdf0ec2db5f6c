"""The schema of the configuration: every section, key, default and check, as pydantic models.

`docs/reference.md` describes each key; a test holds that none is missing there. Load with `config.load.load_settings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.config.types import (
    REFUSED_FOR,
    AddressPattern,
    Archive,
    Cron,
    Duration,
    DurationOrZero,
    Endpoint,
    HeaderName,
    HeaderValue,
    Host,
    Https,
    Language,
    Listen,
    Network,
    PasswordHash,
    Paths,
    Pattern,
    Phrase,
    ProxyAddress,
    Purpose,
    Secret,
    SecretAddress,
    Share,
    Signal,
    Since,
    Size,
    StoreUrl,
    TimeZone,
    WebAddress,
    Word,
    format_duration,
    is_loopback,
)
from worker.errors import UsageError
from worker.models import Source, SourceOptions

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
# The former keys `threshold` and `containment` (default 0.8) are translated into `merge_at` by two lines that meet at
# both defaults. Chosen, not measured: [0.8, 1] maps to [0.5, 0.9], and [0, 0.8] to [0.02, 0.5].
_OLD_DEFAULT_THRESHOLD: Final = 0.8
_SLOPE_ABOVE_DEFAULT: Final = 2.0
_SLOPE_BELOW_DEFAULT: Final = 0.6


SeedField = Literal["text", "title", "url", "date", "id", "language"]
"""The fields of a seed that a column of a table may hold."""


class Section(BaseModel):
    """Base class of all sections: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoreSettings(Section):
    """The store's database, and for how long raw pages are kept."""

    url: StoreUrl = "sqlite:///data/corpus.db"
    keep_pages: Duration | None = None  # None: raw pages are kept forever


class SeedSettings(Section):
    """The files of the seed corpus, and how their rows are read; an empty `path`: there are none."""

    path: Paths = ("seeds",)  # files, folders and globs
    columns: dict[SeedField, str] = Field(default_factory=dict)  # names of columns; those not given have usual names
    clean: Literal["auto"] | bool = "auto"  # True: the texts were scraped, with other matter around the article


_DEFAULT_AGENT: Final = "corpus-worker/1.0 (+https://example.org/about-our-crawler)"


class FetchSettings(Section):
    """How pages are fetched."""

    user_agent: Annotated[str, Field(min_length=1, pattern=r"^[\x20-\x7e]+$")] = _DEFAULT_AGENT
    per_host_delay: DurationOrZero = timedelta(seconds=2)  # a longer Crawl-delay in robots.txt is used instead
    per_host_connections: Annotated[int, Field(ge=1, le=16)] = 1
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 32  # over all hosts
    timeout: Duration = timedelta(seconds=15)  # for connecting, and for each wait for bytes
    deadline: Duration = timedelta(seconds=60)  # for a whole fetch, redirects included
    max_bytes: Size = 10_000_000  # after decompression
    obey_robots: bool = True
    recheck: tuple[Duration, ...] = Field(default=(), strict=False)  # ages at which an article is fetched again
    allow_networks: tuple[Network, ...] = Field(default=(), strict=False)  # private networks, refused by default
    connect_to: dict[Endpoint, Endpoint] = Field(default_factory=dict)  # like curl --connect-to
    ca_file: str = ""  # additional certificate authorities, PEM
    signature_key: str = ""  # PEM file of an Ed25519 key that signs requests (Web Bot Auth); empty: not signed
    signature_agent: Https = ""  # where sites find its public key

    @model_validator(mode="after")
    def _signed(self) -> Self:
        """Check that sites can find the key of a signature."""
        if bool(self.signature_key) != bool(self.signature_agent):
            raise ValueError('both "signature_key" and "signature_agent", or neither of them')
        return self

    @property
    def has_default_agent(self) -> bool:
        """Whether the user agent is exactly the shipped one, which names nobody: it is for loopback alone."""
        return self.user_agent == _DEFAULT_AGENT


class ExtractSettings(Section):
    """How articles are extracted from pages."""

    processes: Annotated[int, Field(ge=0, le=256)] = 0  # 0: one for each core
    timeout: Duration = timedelta(seconds=20)  # for one page; then its process is killed
    min_words: Annotated[int, Field(ge=0)] = 60  # shorter texts are rejected
    languages: tuple[Language, ...] = Field(default=("vi",), strict=False)  # empty: all


class RightsSettings(Section):
    """What the corpus is for, and which rights signals of a page cause its article to be refused.

    Nothing is refused where neither is set. "research" refuses nothing by itself: Article 3 of Directive (EU) 2019/790
    lets research organisations mine what they may read, whatever is reserved.
    """

    purpose: Purpose = ""
    refuse: tuple[Signal, ...] = Field(default=(), strict=False)

    @property
    def refused(self) -> tuple[str, ...]:
        """All signals that are refused: those in `refuse`, and those that deny the purpose."""
        return tuple(dict.fromkeys((*self.refuse, *REFUSED_FOR.get(self.purpose, ()))))


class FilterRules(Section):
    """Rules that articles match: any word, section, address or host of these."""

    words: tuple[Phrase, ...] = Field(default=(), strict=False)  # in the title or the text, as whole words
    sections: tuple[Phrase, ...] = Field(default=(), strict=False)  # as the page names its section
    addresses: tuple[AddressPattern, ...] = Field(default=(), strict=False)  # host and path, * for any text
    hosts: tuple[Host, ...] = Field(default=(), strict=False)  # with the hosts below each


class FilterSettings(Section):
    """Which articles are rejected: those that `block` matches, and those that a list of `keep` does not match."""

    keep: FilterRules = FilterRules()
    block: FilterRules = FilterRules()


class DedupeSettings(Section):
    """What counts as a copy, and which text of a cluster is exported.

    `threshold` and `containment` are former keys, translated into `merge_at` if that is not set.
    """

    merge_at: Share = 0.5  # a probability; docs/dedupe.md has the curve of errors over it
    keep: Literal["earliest", "first", "longest"] = "earliest"
    threshold: Share | None = None
    containment: Share | None = None

    @property
    def former_thresholds(self) -> dict[str, float]:
        """The former keys that are set, with their values."""
        keys = {"threshold": self.threshold, "containment": self.containment}
        return {key: value for key, value in keys.items() if value is not None}

    def warnings(self) -> tuple[str, ...]:
        """Return a warning with what to write instead, if former keys are set."""
        if not self.former_thresholds:
            return ()
        keys = " and ".join(f"dedupe.{key}" for key in self.former_thresholds)
        if "merge_at" in self.model_fields_set:
            return (f"{keys} does nothing beside dedupe.merge_at; remove it",)
        return (f"{keys}: a fitted model decides now; write `merge_at = {self.probability:g}` instead",)

    @property
    def probability(self) -> float:
        """The probability of being one item from which two texts are merged."""
        if not self.former_thresholds or "merge_at" in self.model_fields_set:
            return self.merge_at
        given = sum(self.former_thresholds.values()) / len(self.former_thresholds)
        slope = _SLOPE_ABOVE_DEFAULT if given > _OLD_DEFAULT_THRESHOLD else _SLOPE_BELOW_DEFAULT
        return round(0.5 + slope * (given - _OLD_DEFAULT_THRESHOLD), 2)


class ScheduleSettings(Section):
    """How often sources are polled: the first guess, its bounds and the random part of each interval."""

    every: Duration = timedelta(minutes=15)  # until enough is known about a source
    min_every: Duration = timedelta(minutes=5)
    max_every: Duration = timedelta(hours=12)
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1  # share of each interval

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Check that `every` lies within its bounds."""
        if not self.min_every <= self.every <= self.max_every:
            found = f"min_every {format_duration(self.min_every)}, every {format_duration(self.every)}"
            raise ValueError(
                f"min_every <= every <= max_every (found {found}, max_every {format_duration(self.max_every)})"
            )
        return self


class SourceSettings(Section):
    """One configured source: a `[[sources]]` table."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
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


class DaemonSettings(Section):
    """When the daemon considers itself stalled."""

    stall_after: Duration = timedelta(minutes=30)  # longer than the longest Crawl-delay, during which nothing is done


class WebSettings(Section):
    """Where the daemon serves its pages, health check and metrics, and to whom; empty `listen`: nowhere."""

    listen: Listen = ""
    allow_public: bool = False  # True: other addresses than loopback may be listened on
    read_only: bool = False  # True: nothing can be changed on the pages
    hosts: tuple[Word, ...] = Field(default=(), strict=False)  # accepted Host headers besides addresses and localhost
    password_hash: PasswordHash = ""  # of the password for the pages; empty: none on loopback, no pages elsewhere
    trusted_user_header: Word | Literal[""] = ""  # in which a trusted proxy names the user it has let in
    trusted_proxies: tuple[Network, ...] = Field(default=(), strict=False)  # whose headers are believed

    @model_validator(mode="after")
    def _kept_private(self) -> Self:
        """Check that other machines are served on explicit request only, and that a header has its proxies."""
        if self.listen and not self.allow_public and not is_loopback(self.listen):
            raise ValueError(
                f'"listen" on this machine\'s loopback, such as "127.0.0.1:8750" (found "{self.listen}"; to let other '
                "machines reach it, set allow_public = true, and password_hash to serve them the pages)"
            )
        if self.trusted_user_header and not self.trusted_proxies:
            raise ValueError('"trusted_proxies" beside "trusted_user_header": the proxies whose word is believed')
        return self


class NotifySettings(Section):
    """Where messages for a person are sent; addresses of apprise, which hold passwords and are never shown."""

    urls: tuple[SecretAddress, ...] = Field(default=(), strict=False)


class LogSettings(Section):
    """The format of the log."""

    format: Literal["auto", "console", "json"] = "auto"


class Settings(Section):
    """The whole configuration."""

    store: StoreSettings = StoreSettings()
    seeds: SeedSettings = SeedSettings()
    fetch: FetchSettings = FetchSettings()
    extract: ExtractSettings = ExtractSettings()
    rights: RightsSettings = RightsSettings()
    filter: FilterSettings = FilterSettings()
    dedupe: DedupeSettings = DedupeSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    daemon: DaemonSettings = DaemonSettings()
    web: WebSettings = WebSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    sources: tuple[SourceSettings, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Check that the names of sources differ: the store identifies sources by them."""
        seen: set[str] = set()
        for source in self.sources:
            if source.name in seen:
                raise ValueError(f'source names that differ (found "{source.name}" twice)')
            seen.add(source.name)
        return self

    @property
    def has_filter(self) -> bool:
        """Whether any rule keeps articles out."""
        rules = (self.filter.keep, self.filter.block, *(each for own in self.sources for each in (own.keep, own.block)))
        return any(each is not None and each != FilterRules() for each in rules)

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each unused or former key of a valid configuration; these become errors in 0.3."""
        return (
            *self.dedupe.warnings(),
            *(sentence for source in self.sources for sentence in source.unused_key_warnings()),
        )


def with_listen(settings: Settings, address: str) -> Settings:
    """Return the settings with another `[web] listen`; raises UsageError if it is no address, or a public one."""
    try:
        web = WebSettings.model_validate(settings.web.model_dump() | {"listen": address})
    except ValidationError as exc:
        wanted = str(exc.errors()[0]["ctx"]["error"]) if "ctx" in exc.errors()[0] else exc.errors()[0]["msg"]
        raise UsageError(f"--listen {address}: must be {wanted}") from None
    return settings.model_copy(update={"web": web})
