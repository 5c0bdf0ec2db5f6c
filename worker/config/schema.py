"""The schema of the configuration: every section, key, default and check, as pydantic models.

`docs/reference.md` describes each key; a test holds that none is missing there. Load with `config.load.load_settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from worker.config.sources import FilterRules, Section, SourceSettings
from worker.config.types import (
    REFUSED_FOR,
    Duration,
    DurationOrZero,
    Endpoint,
    Https,
    Language,
    Listen,
    Network,
    OptionalWord,
    PasswordHash,
    Paths,
    Purpose,
    SecretAddress,
    Share,
    Signal,
    Size,
    StoreUrl,
    Word,
    format_duration,
    is_loopback,
    matching,
)
from worker.errors import UsageError

# The former keys `threshold` and `containment` (default 0.8) are translated into `merge_at` by two lines that meet at
# both defaults. Chosen, not measured: [0.8, 1] maps to [0.5, 0.9], and [0, 0.8] to [0.02, 0.5].
_OLD_DEFAULT_THRESHOLD: Final = 0.8
_SLOPE_ABOVE_DEFAULT: Final = 2.0
_SLOPE_BELOW_DEFAULT: Final = 0.6


SeedField = Literal["text", "title", "url", "date", "id", "language"]
"""The fields of a seed that a column of a table may hold."""


class StoreSettings(Section):
    """The store's database, and for how long raw pages are kept."""

    url: StoreUrl = "sqlite:///data/corpus.db"
    keep_pages: Duration | None = None  # None: raw pages are kept forever


def _auto_or_bool(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        raise ValueError('"auto", true or false') from None


Clean = Annotated[Literal["auto"] | bool, WrapValidator(_auto_or_bool)]


class SeedSettings(Section):
    """The files of the seed corpus, and how their rows are read; an empty `path`: there are none."""

    path: Paths = ("seeds",)  # files, folders and globs
    columns: dict[SeedField, str] = Field(default_factory=dict)  # names of columns; those not given have usual names
    clean: Clean = "auto"  # True: the texts were scraped, with other matter around the article


AgentName = Annotated[str, matching(r"[\x20-\x7e]+", "printable ASCII characters, at least one")]
_DEFAULT_AGENT: Final = "corpus-worker/1.0 (+https://example.org/about-our-crawler)"


class FetchSettings(Section):
    """How pages are fetched."""

    user_agent: AgentName = _DEFAULT_AGENT
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


class FilterSettings(Section):
    """Which articles are rejected: those that `block` matches, and those that a list of `keep` does not match."""

    keep: FilterRules = Field(default_factory=FilterRules.model_construct)
    block: FilterRules = Field(default_factory=FilterRules.model_construct)


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
    trusted_user_header: OptionalWord = ""  # in which a trusted proxy names the user it has let in
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


def require_distinct(sources: Iterable[SourceSettings]) -> None:
    """Check that the names of sources differ, as the store identifies sources by them; raises ValueError."""
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise ValueError(f'source names that differ (found "{source.name}" twice)')
        seen.add(source.name)


class Settings(Section):
    """The whole configuration."""

    store: StoreSettings = Field(default_factory=StoreSettings.model_construct)
    seeds: SeedSettings = Field(default_factory=SeedSettings.model_construct)
    fetch: FetchSettings = Field(default_factory=FetchSettings.model_construct)
    extract: ExtractSettings = Field(default_factory=ExtractSettings.model_construct)
    rights: RightsSettings = Field(default_factory=RightsSettings.model_construct)
    filter: FilterSettings = Field(default_factory=FilterSettings.model_construct)
    dedupe: DedupeSettings = Field(default_factory=DedupeSettings.model_construct)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings.model_construct)
    daemon: DaemonSettings = Field(default_factory=DaemonSettings.model_construct)
    web: WebSettings = Field(default_factory=WebSettings.model_construct)
    notify: NotifySettings = Field(default_factory=NotifySettings.model_construct)
    log: LogSettings = Field(default_factory=LogSettings.model_construct)
    sources: tuple[SourceSettings, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        """Check that the names of sources differ."""
        require_distinct(self.sources)
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
