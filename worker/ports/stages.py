"""What the flows need of clock, fetching, extraction and judging."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from worker.models import (
    Article,
    Discovery,
    Fingerprint,
    Kind,
    Neighbour,
    Page,
    Request,
    Source,
    Text,
    Verdict,
)

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and sleeps; the only way to do either."""

    def now(self) -> datetime:
        """Return the wall-clock time, in UTC and aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    async def sleep(self, delay: timedelta) -> None:
        """Wait; a zero or negative delay only yields."""
        ...


class Offload(Protocol):
    """Runs a blocking call (the store's) off the event loop."""

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Return an awaitable of what `call` returns."""
        ...


class Fetcher(Protocol):
    """Fetches one URL politely and safely."""

    async def fetch(self, request: Request) -> Page:
        """Return the page (status 200, or 304 where validators were sent).

        Raises FetchBlocked where fetching is forbidden, FetchError for everything else that gives no page.
        """
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


class SiteFetcher(Fetcher, Protocol):
    """A fetcher that also tells what a site says of itself in its robots.txt."""

    async def sitemaps(self, url: str) -> tuple[str, ...]:
        """Return the sitemaps that the robots.txt of a URL's site names; raises FetchError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What discovery already knows about a page, for the extractor.

    `boilerplate` are keys of paragraphs that the host is known to set into its articles (`ParagraphMemory`).
    """

    url: str
    canonical_url: str
    source: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    timezone: str | None = None
    kind: Kind = Kind.ARTICLE
    boilerplate: frozenset[int] = frozenset()

    def of_address_alone(self) -> Hints:
        """Return what is left where another site served the page: what was said of it was said of another page."""
        return replace(self, title=None, published_at=None, modified_at=None, external_id=None)


class Extractor(Protocol):
    """Turns a page into an article."""

    async def extract(self, content: Page | Text, hints: Hints, *, fetched_at: datetime) -> Article:
        """Return the article; raises ExtractError with the reason where the page holds none."""
        ...

    async def aclose(self) -> None:
        """End the worker processes."""
        ...


class SiteLearner(Protocol):
    """Learns what a host sets into its articles. Blocking: call it through Offload."""

    def known(self, host: str) -> frozenset[int]:
        """Return the keys of the paragraphs that are boilerplate of the host."""
        ...

    def learn(self, article: Article) -> None:
        """Count the paragraphs of an article that was met for the first time."""
        ...


class InputReader(Protocol):
    """Reads a file or folder of input on this machine."""

    def __call__(self, path: Path, source: Source, /, *, now: datetime, max_bytes: int) -> Iterator[Discovery]:
        """Yield what is in it, in small batches; raises SourceError where nothing can be read."""
        ...


class Parser(Protocol):
    """Reads one fetched page of a source: bytes to candidates, pure."""

    def __call__(self, page: Page, source: Source, /, *, now: datetime) -> Discovery:
        """Return what the page points at; raises SourceError where it is not what the source says it is."""
        ...


class Detector(Protocol):
    """Tells what kind of source a page is."""

    def __call__(self, page: Page, /, *, gate: str | None = None) -> str:
        """Return `feed`, `sitemap`, `urls`, `warc`, `listing` or `article`; raises SourceError for anything else.

        `gate` is why extraction found no article on the page, empty where it found one, None where it was not asked.
        """
        ...


class Deduper(Protocol):
    """Decides what is a copy; pure."""

    def fingerprint(self, article: Article) -> Fingerprint:
        """Return what the index keeps of an article."""
        ...

    def judge(self, article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        """Return what the article is, given stored articles that share index keys with it."""
        ...


Judge = Callable[[Sequence[Neighbour]], Verdict]
"""`Deduper.judge` with the newcomer already bound: what `settle` calls inside its transaction."""
