"""What people look after on the web pages: copies, pairs to review, sources, rejected pages; and the changes they make.

All functions block but those of `SourceFinder`. `worker.runs.pages` makes pages and forms of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from worker.charset import decode
from worker.charset.characters import visible_text
from worker.config.load import mask_url
from worker.errors import UsageError, WorkerError
from worker.logs import log
from worker.models import DuplicateLink, HistoryEvent, Page, SourceStats, State, Text
from worker.models.base import dataclass
from worker.models.browsing import UNDONE, ComparedPair, CopyList, CopyReport, RejectedPage, ReviewPage, ReviewPair
from worker.models.records import source_warnings
from worker.runs.reading import Browser
from worker.storage.corpus.index import stored_parameters
from worker.storage.corpus.judge_model import VERDICTS_AT_ONCE, UnsurePair
from worker.storage.corpus.reader import StoreReader
from worker.storage.ledger import StoredLedger
from worker.storage.maintenance.review import StoreReview
from worker.storage.store import agree_on_parameters
from worker.web.data import cursor_values, make_cursor
from worker.web.pages import bounded, load_templates

if TYPE_CHECKING:
    from worker.config.schema import Settings

# Copies.

COPIES_SHOWN: Final = 30  # links in one part of the list: some screens
REPORT_SPAN: Final = timedelta(weeks=1)  # the stories of the week
REPORT_AGE: Final = timedelta(minutes=5)
"""For how long the report is kept: a week changes little in that time, and it is the dearest query of all pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClustersPage:
    """Who copied whom in the last week, and the newest copies of all; `report` comes with the first part only."""

    report: CopyReport | None
    copies: tuple[DuplicateLink, ...]
    next: str | None


def read_copies(reader: StoreReader, cursor: str) -> CopyList:
    """Return a part of the recognised copies."""
    (before,) = cursor_values(cursor, int) or (None,)
    return reader.newest_copies(before=before, limit=COPIES_SHOWN)


# Pairs to review.

PAIRS_KEPT: Final = 2_000  # chosen: more than a person reviews in a week
_MAX_COMPARED: Final = 40_000  # characters of both texts on a page, which stays below 150 kB


PairKey = tuple[float, int, int]
"""By which pairs are sorted: how far the probability is from the threshold, and the ids of both articles."""


class UnsurePairs:
    """The pairs about which the judge was unsure, in the verdicts that were read: some more with each `look`."""

    def __init__(self, reader: StoreReader, *, merge_at: float) -> None:
        self._reader, self.merge_at = reader, merge_at
        self._lock = threading.Lock()
        self._pairs: dict[PairKey, UnsurePair] = {}
        self.last = self.verdicts = reader.newest_verdict()
        self.first = self.last + 1

    def key(self, probability: float, article: int, other: int) -> PairKey:
        """Return the place of a pair in the order of certainty."""
        return abs(probability - self.merge_at), article, other

    @property
    def verdicts_read(self) -> int:
        """The number of verdicts that were read."""
        return self.last - self.first + 1

    def look(self) -> list[tuple[PairKey, UnsurePair]]:
        """Read the verdicts that are new and some older ones; return all pairs found, the least certain first."""
        with self._lock:
            self.verdicts = self._reader.newest_verdict()
            until = min(self.verdicts, self.last + VERDICTS_AT_ONCE)
            since = max(1, self.first - VERDICTS_AT_ONCE)
            new = self._reader.unsure_among(above=self.last, below=until + 1)
            old = self._reader.unsure_among(above=since - 1, below=self.first)
            self.first, self.last = min(self.first, since), max(self.last, until)
            for each in (*new, *old):
                self._pairs[self.key(each.probability, each.article, each.other)] = each
            self._pairs = {key: self._pairs[key] for key in nsmallest(PAIRS_KEPT, self._pairs)}
            return list(self._pairs.items())


def read_review(unsure: UnsurePairs, reader: StoreReader, cursor: str) -> ReviewPage:
    """Return the first open pair after a place in the order of certainty."""
    after = cursor_values(cursor, float | int, int, int)
    found = [each for key, each in unsure.look() if after is None or key > after]
    opened = reader.open_pair(found)
    return ReviewPage(
        pair=compare(opened, merge_at=unsure.merge_at) if opened else None,
        cursor=cursor,
        next=make_cursor(*unsure.key(opened.comparison.probability or 0.0, opened.article.id, opened.other.id))
        if opened
        else None,
        found=len(found),
        verdicts_read=unsure.verdicts_read,
        verdicts=unsure.verdicts,
        marks=reader.mark_summary(merge_at=unsure.merge_at),
    )


def load_what_is_slow() -> None:
    """Load the modules that `compare` needs, make their tables, and compile the templates."""
    from worker.dedupe.alignment import align_passages

    align_passages("một", "một")
    load_templates()


def compare(opened: ReviewPair, *, merge_at: float) -> ComparedPair:
    """Return a pair as a person compares it: the texts aligned, and what the judge found."""
    from worker.dedupe.alignment import align_passages
    from worker.dedupe.tokenizer import tokenize

    made = opened.comparison
    probability = made.probability or 0.0
    aligned = align_passages(opened.article.article.text, opened.other.article.text)
    passages = tuple(bounded(aligned.passages, _MAX_COMPARED))
    return ComparedPair(
        article=opened.article,
        other=opened.other,
        words=len(tokenize(opened.article.article.text)),
        other_words=len(tokenize(opened.other.article.text)),
        judged_same=probability >= merge_at,
        probability=probability,
        jaccard=made.jaccard,
        containment=made.containment,
        shared_words=made.shared_words,
        rule=made.rule,
        reasons_for=tuple(each.removeprefix("for: ") for each in made.notes if each.startswith("for: ")),
        reasons_against=tuple(each.removeprefix("against: ") for each in made.notes if each.startswith("against: ")),
        passages=passages,
        is_cut=len(passages) < len(aligned.passages),
    )


def mark_pair(reader: StoreReader, settings: Settings, one: int, other: int, *, decided: str, now: datetime) -> None:
    """Save that two articles are `same` or `different`, or take back what was said with `undone`; raises StoreError."""
    from worker.dedupe.judge import Deduper

    judge = Deduper(settings.dedupe, reader.weights())
    if reader.database.read(stored_parameters) != judge.parameters:
        reader.database.write(agree_on_parameters, judge.parameters)
    review = StoreReview(reader.database)
    if decided == UNDONE:
        review.unmark(one, other, judge=judge.judge, now=now)
    else:
        review.mark(one, other, decided=decided, judge=judge.judge, now=now)


# Sources.

SOURCES_SHOWN: Final = 50  # sources in one part of the list, which stays below 150 kB
DAYS_SHOWN: Final = 14  # two weeks show the rhythm of a week twice
_STEPS_SHOWN: Final = 12  # of a search that is under way


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAddition:
    """A search for the sources of a site: its steps, and at its end what was added, or why nothing was."""

    url: str
    steps: tuple[str, ...] = ()
    is_done: bool = False
    added: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A configured source: what is known of its polls, its problems in words, and its texts on each day."""

    name: str
    kind: str
    url: str
    is_paused: bool
    stats: SourceStats | None
    warnings: tuple[str, ...]
    texts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesPage:
    """The configured sources, with their texts by day; `daemon` says which process polls them, empty if none does."""

    sources: tuple[SourceRow, ...]
    days: tuple[date, ...]
    daemon: str
    addition: SourceAddition | None
    next: str | None


def read_sources(
    browser: Browser, reader: StoreReader, stats: Mapping[str, SourceStats], *, cursor: str, now: datetime
) -> SourcesPage:
    """Return a part of the configured sources with what is known of each; `stats` are by name."""
    first = max(0, *(cursor_values(cursor, int) or (0,)))
    end, every = first + SOURCES_SHOWN, browser.sources()
    sources, more = every[first:end], make_cursor(end) if end < len(every) else None
    days = [(now - timedelta(days=back)).date() for back in reversed(range(DAYS_SHOWN))]
    since = datetime.combine(days[0], time(), tzinfo=UTC)
    texts = reader.daily_texts([each.name for each in sources], since=since)
    rows = tuple(
        SourceRow(
            name=each.name,
            kind=each.kind,
            url=mask_url(each.url),
            is_paused=not each.enabled,
            stats=stats.get(each.name),
            warnings=tuple(problems(stats.get(each.name), now=now)),
            texts=tuple(texts.get((each.name, day), 0) for day in days),
        )
        for each in sources
    )
    daemon = reader.daemon()
    known = "not known" if daemon is None else daemon
    return SourcesPage(sources=rows, days=tuple(days), daemon=known, addition=None, next=more)


def problems(stats: SourceStats | None, *, now: datetime) -> Iterator[str]:
    """Yield a sentence for each problem of a source."""
    if stats is not None:
        yield from (each.detail for each in source_warnings(stats, now=now))


def make_due(reader: StoreReader, name: str, *, now: datetime) -> None:
    """Make a source due at once; a daemon polls it within seconds."""
    StoredLedger(reader.database).make_due(name, now=now)


class SourceFinder:
    """Adds the best sources of a site to the configuration, one site at a time, while its steps can be watched."""

    def __init__(self) -> None:
        self.addition: SourceAddition | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, url: str, browser: Browser, *, done: Callable[[], None]) -> None:
        """Begin to search a site, and call `done` at the end.

        Raises UsageError if this is no address, or another search is under way.
        """
        from worker.runs.discover_sources import web_address

        if self._task is not None and not self._task.done():
            raise UsageError("a search for sources is under way: wait until it has ended")
        address = web_address(url.strip())
        self.addition = SourceAddition(url=address)
        self._task = asyncio.create_task(self._run(address, browser))
        self._task.add_done_callback(lambda _: done())

    async def _run(self, url: str, browser: Browser) -> None:
        try:
            added, error = await self._add(url, browser), ""
        except (WorkerError, OSError) as exc:
            added, error = (), str(exc)
        except Exception as exc:  # a bug is loud in the log, and the page says that it is one
            log.exception("web.bug", url=url)
            added, error = (), f"this is a fault of the program: {type(exc).__name__}; its log has more"
        if not added and not error:
            error = "no new source worth polling was found"
        steps = self.addition.steps if self.addition else ()
        self.addition = SourceAddition(url=url, steps=steps, is_done=True, added=added, error=error)

    async def _add(self, url: str, browser: Browser) -> tuple[str, ...]:
        from worker.config.edit import with_sources
        from worker.runs.discover_sources import find_sources, name_sources

        settings = await asyncio.to_thread(browser.settings)
        found = await find_sources(settings, url, report=self._report)
        new = name_sources([each.rated.poll for each in found if each.rated.picked], None, settings)
        if new:
            await browser.edit_sources(lambda text: with_sources(text, new))
        return tuple(f"{each.name} ({each.kind} {each.url})" for each in new)

    def _report(self, step: str) -> None:
        if self.addition:
            self.addition = replace(self.addition, steps=(*self.addition.steps, step)[-_STEPS_SHOWN:])


# Rejected pages.

REJECTED_SHOWN: Final = 50  # pages in one part of the list: some screens
_MAX_BYTES_SHOWN: Final = 200_000  # of a page that is looked at; what is shown of it is shorter still
_MAX_SHOWN: Final = 30_000  # characters of its markup and of its text, so that the page stays below 150 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPages:
    """A part of the rejected pages, the latest first; `reasons` counts pages by reason.

    `are_reasons_of_all` is false if only those of the newest part of the history are counted.
    """

    pages: tuple[RejectedPage, ...]
    reasons: Mapping[str, int]
    are_reasons_of_all: bool
    reason: str
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedSource:
    """A page that gave no article: its history, the text in it, and its markup, neither of which is complete.

    `state` is its state now.
    """

    page: RejectedPage
    state: State
    events: tuple[HistoryEvent, ...]
    text: str
    markup: str


def read_rejected(reader: StoreReader, *, cursor: str, reason: str) -> RejectedPages:
    """Return a part of the rejected pages."""
    (before,) = cursor_values(cursor, int) or (None,)
    found = StoreReview(reader.database).rejected_list(before=before, reason=reason, limit=REJECTED_SHOWN)
    return RejectedPages(
        pages=found.pages,
        reasons=found.reasons,
        are_reasons_of_all=found.are_reasons_of_all,
        reason=reason,
        next=make_cursor(found.before) if found.before is not None else None,
    )


def read_rejected_page(reader: StoreReader, candidate: int) -> RejectedSource | None:
    """Return a page that gave no article, None for an unknown one."""
    found = StoreReview(reader.database).rejected_page(candidate)
    if found is None:
        return None
    page, state, content = found
    record = reader.candidate(page.url)
    text, markup = beginning(content)
    events = record.events if record is not None and record.id == candidate else ()
    return RejectedSource(page=page, state=state, events=events, text=text, markup=markup)


def take_rejected(reader: StoreReader, candidate: int, *, now: datetime) -> None:
    """Queue a rejected page to be stored after all; raises StoreError."""
    StoreReview(reader.database).take(candidate, now=now)


def leave_rejected(reader: StoreReader, candidate: int, *, now: datetime) -> None:
    """Take back `take_rejected` while the page waits; raises StoreError."""
    StoreReview(reader.database).leave(candidate, now=now)


def beginning(content: Page | Text | None) -> tuple[str, str]:
    """Return the text and the markup at the beginning of what was fetched."""
    if content is None:
        return "", ""
    if isinstance(content, Text):
        return content.text[:_MAX_SHOWN], ""
    body = content.body
    if len(body) > _MAX_BYTES_SHOWN:
        body = body[: body.rfind(b">", 0, _MAX_BYTES_SHOWN) + 1]
    markup = decode(body, content.content_type).text
    return visible_text(markup)[:_MAX_SHOWN], markup[:_MAX_SHOWN]
