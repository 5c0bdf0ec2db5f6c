"""The pages on which people look after a store: copies, pairs to review, sources, rejected pages; and their forms.

`Curation` reads them and makes the changes; `worker.runs.pages` serves them with the others.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from heapq import nsmallest
from html import unescape
from typing import TYPE_CHECKING, Annotated, Final, Literal

import structlog

from worker.charset import decode
from worker.config.edit import edit_file, with_sources
from worker.config.load import mask_url
from worker.errors import NotFoundError, UsageError, WorkerError
from worker.models import DuplicateLink, HistoryEvent, Source, SourceStats, State, StoredArticle, Text
from worker.models import Page as FetchedPage
from worker.models.browsing import CopyReport, MarkSummary, RejectedPage, ReviewPair
from worker.models.records import AlignedPassage, source_warnings
from worker.runs.reading import Browser
from worker.storage.corpus.index import stored_parameters
from worker.storage.corpus.judge_model import VERDICTS_AT_ONCE, UnsurePair
from worker.storage.corpus.reader import StoreReader
from worker.storage.db.locks import DaemonLock
from worker.storage.maintenance.rejudge import JudgeFunction
from worker.storage.maintenance.review import StoreReview
from worker.storage.queue.workers import daemons
from worker.storage.store import StoredLedger, agree_on_parameters
from worker.web.app import StatusSource
from worker.web.data import cursor_values, make_cursor
from worker.web.pages import moment
from worker.web.routes import Action, Page

if TYPE_CHECKING:
    from worker.config.schema import Settings

log = structlog.get_logger()

Cursor = Annotated[str, "`next` of the part before"]
ArticleId = Annotated[int, "the id of a text"]
SourceName = Annotated[str, "the name of a source"]
CandidateId = Annotated[int, "the id of a candidate"]

# Copies.

COPIES_SHOWN: Final = 30  # links in one part of the list: some screens
REPORT_SPAN: Final = timedelta(weeks=1)
REPORT_AGE: Final = timedelta(minutes=5)
"""For how long the report is kept: a week changes little in that time, and it is the dearest query of all pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClustersPage:
    """Who copied whom in the last week, and the newest copies of all; `report` comes with the first part only."""

    report: CopyReport | None
    copies: tuple[DuplicateLink, ...]
    next: str | None


# Pairs to review.

PAIRS_KEPT: Final = 2_000  # chosen: more than a person reviews in a week
_MAX_SHARED: Final = 400  # characters of a passage that both have; its beginning and end say what it is
_MAX_COMPARED: Final = 40_000  # characters of both texts on a page, which stays below 150 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPair:
    """Two texts about which the judge was unsure: the figures, its reasons in words, and the aligned passages.

    `judged_same` is what it decided: one item or two. `is_cut` is true if the texts go on after the passages.
    """

    article: StoredArticle
    other: StoredArticle
    judged_same: bool
    probability: float
    jaccard: float
    containment: float
    shared_words: int
    rule: str
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    passages: tuple[AlignedPassage, ...]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPage:
    """The least certain pair that nobody has decided, and how the decisions agree with the judge.

    `next` skips the pair. `found` pairs are in the `verdicts_read` newest of `verdicts`; some more are read each time.
    """

    pair: ComparedPair | None
    cursor: str
    next: str | None
    found: int
    verdicts_read: int
    verdicts: int
    marks: MarkSummary


class UnsurePairs:
    """The pairs about which the judge was unsure, in the verdicts that were read: some more with each `look`."""

    def __init__(self, reader: StoreReader, *, merge_at: float) -> None:
        self._reader, self.merge_at = reader, merge_at
        self._lock = threading.Lock()
        self._pairs: dict[tuple[float, int, int], UnsurePair] = {}
        self.last = self.verdicts = reader.newest_verdict()
        self.first = self.last + 1

    @property
    def verdicts_read(self) -> int:
        """The number of verdicts that were read."""
        return self.last - self.first + 1

    def look(self) -> list[tuple[tuple[float, int, int], UnsurePair]]:
        """Read the verdicts that are new and some older ones; return all pairs found, the least certain first."""
        with self._lock:
            self.verdicts = self._reader.newest_verdict()
            until = min(self.verdicts, self.last + VERDICTS_AT_ONCE)
            since = max(1, self.first - VERDICTS_AT_ONCE)
            new = self._reader.unsure_among(above=self.last, below=until + 1)
            old = self._reader.unsure_among(above=since - 1, below=self.first)
            self.first, self.last = min(self.first, since), max(self.last, until)
            for each in (*new, *old):
                self._pairs[abs(each.probability - self.merge_at), each.article, each.other] = each
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
        next=make_cursor(*unsure.key(opened)) if opened else None,
        found=len(found),
        verdicts_read=unsure.verdicts_read,
        verdicts=unsure.verdicts,
        marks=reader.mark_summary(merge_at=unsure.merge_at),
    )


def compare(opened: ReviewPair, *, merge_at: float) -> ComparedPair:
    """Return a pair as a person compares it: the texts aligned, and what the judge found."""
    from worker.dedupe.alignment import align_passages

    made = opened.comparison
    probability = made.probability or 0.0
    aligned = align_passages(opened.article.article.text, opened.other.article.text).passages
    passages = tuple(bounded(aligned))
    return ComparedPair(
        article=opened.article,
        other=opened.other,
        judged_same=probability >= merge_at,
        probability=probability,
        jaccard=made.jaccard,
        containment=made.containment,
        shared_words=made.shared_words,
        rule=made.rule,
        reasons_for=tuple(each.removeprefix("for: ") for each in made.notes if each.startswith("for: ")),
        reasons_against=tuple(each.removeprefix("against: ") for each in made.notes if each.startswith("against: ")),
        passages=passages,
        is_cut=len(passages) < len(aligned),
    )


def bounded(passages: Sequence[AlignedPassage]) -> Iterator[AlignedPassage]:
    """Yield passages up to a size of the page; what both texts have is shortened in the middle."""
    left = _MAX_COMPARED
    for each in passages:
        shown = each
        if each.shared:
            shown = replace(each, text=_shortened(each.text), other=_shortened(each.other))
        left -= len(shown.text) + len(shown.other)
        if left < 0:
            return
        yield shown


def _shortened(text: str) -> str:
    half = _MAX_SHARED // 2
    return text if len(text) <= _MAX_SHARED else f"{text[:half]} … {text[-half:]}"


# Sources.

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


class SourceFinder:
    """Adds the best sources of a site to the configuration, one site at a time, while its steps can be watched."""

    def __init__(self) -> None:
        self.addition: SourceAddition | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, url: str, browser: Browser) -> None:
        """Begin to search a site; raises UsageError if no address is given, or another search is under way."""
        from worker.runs.discover_sources import web_address

        if self._task is not None and not self._task.done():
            raise UsageError("a search for sources is under way: wait until it has ended")
        address = web_address(url.strip())
        self.addition = SourceAddition(url=address)
        self._task = asyncio.create_task(self._run(address, browser))

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


def daemon_of(reader: StoreReader) -> str:
    """Return the description of the daemon that works on a store, empty if there is none."""
    database = reader.database
    return DaemonLock(database.path).holder() if database.path else database.read(daemons)


# Rejected pages.

REJECTED_SHOWN: Final = 50  # pages in one part of the list: some screens
_MAX_BYTES_SHOWN: Final = 200_000  # of a page that is looked at; what is shown of it is shorter still
_MAX_SHOWN: Final = 30_000  # characters of its markup and of its text, so that the page stays below 150 kB
_HIDDEN: Final = re.compile(r"<(script|style|noscript|template|svg)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedPages:
    """A part of the rejected pages, the latest first; `reasons` counts those of the same time by reason."""

    pages: tuple[RejectedPage, ...]
    reasons: Mapping[str, int]
    reason: str
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedSource:
    """A page that gave no article: its history, the text in it, and its markup, neither of which is complete.

    `state` is its state now, and `article` the id of the text that it gave since.
    """

    page: RejectedPage
    state: State
    article: int | None
    events: tuple[HistoryEvent, ...]
    text: str
    markup: str


def visible_text(markup: str) -> str:
    """Return the text between the tags of a page, without its scripts; reads the markup once, however broken it is."""
    pieces, place = [], 0
    while (start := markup.find("<", place)) >= 0:
        pieces.append(markup[place:start])
        end = start
        if hidden := _HIDDEN.match(markup, start):
            closing = re.compile(f"</{hidden[1]}", re.IGNORECASE).search(markup, start)
            end = closing.start() if closing else len(markup)
        close = markup.find(">", end)
        place = close + 1 if close >= 0 else len(markup)
        pieces.append("\n")
    pieces.append(markup[place:])
    lines = (" ".join(line.split()) for line in unescape("".join(pieces)).splitlines())
    return "\n".join(filter(None, lines))


def _beginning(content: FetchedPage | Text | None) -> tuple[str, str]:
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
