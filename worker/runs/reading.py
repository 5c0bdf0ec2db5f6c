"""What people read of a store: the history of an article, for `why` and the web pages, and all that the pages show.

`Browser` runs the queries of the web pages on threads of its own, so that neither pages nor work wait for each other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, Self, TypeVar

from worker.charset.characters import count_words, one_line
from worker.config.load import load_settings
from worker.config.schema import Settings
from worker.errors import ConfigurationError, NotFoundError, UsageError
from worker.models import (
    EARLIER_VERSION,
    Alarm,
    CandidateRecord,
    ClusterMember,
    Kind,
    Relation,
    Source,
    StoredArticle,
    StoreStats,
    Tombstone,
    Verdict,
)
from worker.models.base import dataclass
from worker.models.records import AlignedPassages
from worker.ports import Clock
from worker.storage.corpus.reader import StoreReader
from worker.storage.corpus.views import is_article_id
from worker.storage.store import StoreExecutor

T = TypeVar("T")
REFUSED: Final = "the configuration is refused"
"""What an alarm says while the configuration from before is used, since the new one cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One verdict on an article: its time, the article it was compared with, and both texts aligned.

    `places` are the files, and rows in them, of a seed it was compared with.
    """

    at: datetime
    verdict: Verdict
    against: StoredArticle | None = None
    passages: AlignedPassages | None = None
    places: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The rule that decided, in words; of an earlier version of a page also which one it was."""
        text, best = _rule_text(self.verdict), self.verdict.best
        if self.against is None or best is None or best.rule != EARLIER_VERSION:
            return text
        return f"{text} (version {self.against.revision})"

    @property
    def difference(self) -> Difference | None:
        """What a revision added to the previous version and removed from it; None for other relations."""
        if self.verdict.relation is not Relation.REVISION or self.passages is None:
            return None
        return difference(self.passages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The passages that a revision added to a text and removed from it."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def words_added(self) -> int:
        """The number of words added."""
        return sum(map(count_words, self.added))

    @property
    def words_removed(self) -> int:
        """The number of words removed."""
        return sum(map(count_words, self.removed))


def difference(aligned: AlignedPassages) -> Difference:
    """Return what the first of two aligned texts added to the other and removed from it."""
    apart = [each for each in aligned.passages if not each.shared]
    return Difference(
        added=tuple(one_line(each.text) for each in apart if each.text.strip()),
        removed=tuple(one_line(each.other) for each in apart if each.other.strip()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedText:
    """The exported text of a cluster (its head), and the reason for that choice as its verdict recorded it."""

    head: StoredArticle
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleHistory:
    """Everything known about one URL or article id; what is a dictionary is keyed by article id.

    `places` are the files, and rows in them, of each seed. `forgotten` is the tombstone, if a person had it removed.
    """

    candidate: CandidateRecord | None
    articles: tuple[StoredArticle, ...]
    decisions: dict[int, tuple[Decision, ...]]
    exported: dict[int, ExportedText]
    places: dict[int, tuple[str, ...]]
    forgotten: Tombstone | None = None


class _OnceReader:
    """Reads each article and its verdicts once: the versions of a page were compared with each other."""

    def __init__(self, reader: StoreReader) -> None:
        self.article = cache(reader.article)
        self.head_of = cache(reader.head_of)
        self.verdicts = cache(reader.verdicts)
        self.seed_places = reader.seed_places


def load_history(reader: StoreReader, url_or_id: str, *, compared: int | None = None) -> ArticleHistory:
    """Load the history of a URL or an article id; raises NotFoundError if the store has neither.

    A URL can have several articles: the revisions of its text. Texts are aligned again here, since the store keeps only
    the figures of a comparison. With `compared` only those of the newest so many are, MAX_READ articles are read, and
    of the events the newest, one more than MAX_EVENTS.
    """
    once = _OnceReader(reader)
    candidate = reader.candidate(url_or_id, events=MAX_EVENTS + 1 if compared else None)
    ids = candidate.articles if candidate else (int(url_or_id),) if is_article_id(url_or_id) else ()
    ids = tuple(each for each in ids if not compared or each in ids[-MAX_READ:] or str(each) == url_or_id)
    articles = tuple(article for article in map(once.article, ids) if article)
    forgotten = None if articles else reader.tombstone(url_or_id)
    if not candidate and not articles and not forgotten:
        raise NotFoundError(
            f"{url_or_id}: the store knows no such URL or article id; `duplicates` and `export` show ids"
        )
    newest = {article.id for article in articles[-compared:]} if compared else None
    return ArticleHistory(
        candidate=candidate,
        articles=articles,
        decisions={
            one.id: tuple(_decisions(once, one, aligned=not newest or one.id in newest or str(one.id) == url_or_id))
            for one in articles
        },
        exported={article.id: _exported_text(once, article) for article in articles},
        places={article.id: _places(once, article) for article in articles},
        forgotten=forgotten,
    )


def _places(reader: _OnceReader, stored: StoredArticle | None) -> tuple[str, ...]:
    """Return the files, and rows in them, in which a seed was found; none for other articles."""
    return reader.seed_places(stored.id) if stored and stored.article.kind is Kind.SEED else ()


def _exported_text(reader: _OnceReader, article: StoredArticle) -> ExportedText:
    """Return the exported text of an article's cluster; its reason is in the later verdict of head and article."""
    head = article if article.head else reader.head_of(article.cluster) or article
    latest = [reader.verdicts(each)[-1:] for each in {head.id, article.id}]
    reasons = [(at, verdict.reason) for verdicts in latest for at, verdict in verdicts if verdict.reason]
    return ExportedText(head=head, reason=max(reasons)[1] if reasons else "the first of its cluster")


def _decisions(reader: _OnceReader, article: StoredArticle, *, aligned: bool) -> list[Decision]:
    """Return all verdicts on an article, oldest first, each with the two texts, which may be aligned."""
    decisions = []
    for at, verdict in reader.verdicts(article.id):
        against = reader.article(verdict.best.article) if verdict.best else None
        passages = _align(article, against) if against and aligned else None
        places = _places(reader, against)
        decisions.append(Decision(at=at, verdict=verdict, against=against, passages=passages, places=places))
    return decisions


def _rule_text(verdict: Verdict) -> str:
    """Return the rule behind a verdict, the human mark that decided it, or how many articles were compared in vain."""
    if verdict.best:
        said_same = verdict.best.rule == "marked same"
        return "a person said that they are the same" if said_same else verdict.best.rule
    apart = [str(each.article) for each in verdict.considered if each.rule == "marked different"]
    if apart:
        return f"a person said that it is another item than {', '.join(apart)}"
    compared = len(verdict.considered)
    return f"none alike among {compared} compared" if compared else "no article shares enough to be compared"


ACTIVITY_SPAN: Final = timedelta(weeks=12)
"""How far back the plots of the overview reach."""
MAX_EVENTS: Final = 1000  # of a page, in its time line; chosen: one that is read daily has as many in three years
MAX_READ: Final = 20  # versions of one page in its history; chosen: each takes some milliseconds
MAX_VERSIONS: Final = 6  # of one page that are compared; chosen: few pages change more often, and each costs time
THREADS: Final = 2  # queries at once; chosen: none holds up all others, and two connections of four are left for work


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One entry of the time line of an article: what happened, in words; `article` is one that it is about."""

    at: datetime
    what: str
    detail: str
    article: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a page, and how its text differs from the version before; the first one has no difference."""

    id: int
    revision: int
    fetched_at: datetime
    words: int
    difference: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownArticle:
    """Everything that the page of an article shows: itself, its history, and members of its cluster of so many `texts`.

    `versions` are those of its page, the newest first. `timeline` is the history in order of time; `is_cut` is whether
    it lacks older events.
    """

    stored: StoredArticle
    history: ArticleHistory
    members: tuple[ClusterMember, ...]
    texts: int
    versions: tuple[Version, ...]
    timeline: tuple[Moment, ...]
    is_cut: bool


def versions_of(stored: StoredArticle, history: ArticleHistory) -> tuple[Version, ...]:
    """Return the versions of a page, the newest first, at most MAX_VERSIONS; each with what it changed."""
    same = [each for each in history.articles if each.article.canonical_url == stored.article.canonical_url]
    newest = sorted(same, key=lambda each: each.id, reverse=True)[: MAX_VERSIONS + 1]
    before: list[StoredArticle | None] = [*newest[1:], None]
    found = [
        Version(
            id=each.id,
            revision=each.revision,
            fetched_at=each.article.fetched_at,
            words=each.article.words,
            difference=difference(_aligned(each, earlier, history)) if earlier else None,
        )
        for each, earlier in zip(newest, before, strict=True)
    ]
    return tuple(found[:MAX_VERSIONS])


def _aligned(stored: StoredArticle, earlier: StoredArticle, history: ArticleHistory) -> AlignedPassages:
    """Return two versions of a page aligned, as they were for a decision on the later one if there is one."""
    made = (each.passages for each in history.decisions[stored.id] if each.against and each.against.id == earlier.id)
    return next(filter(None, made), None) or _align(stored, earlier)


def _align(stored: StoredArticle, other: StoredArticle) -> AlignedPassages:
    from worker.dedupe.alignment import align_passages  # imported late: with numpy, which most histories do not need

    return align_passages(stored.article.text, other.article.text)


def timeline_of(history: ArticleHistory) -> tuple[Moment, ...]:
    """Return everything that happened to a page and its texts in order of time: who named it, events, verdicts."""
    found: list[Moment] = []
    if history.candidate:
        named = history.candidate.addresses
        found += [Moment(at=each.seen_at, what="named", detail=f"{each.url} by {each.source}") for each in named[1:]]
        found += [Moment(at=each.at, what=each.what, detail=each.detail) for each in history.candidate.events]
    for number, decisions in history.decisions.items():
        for each in decisions:
            against = f" against article {each.against.id}" if each.against else ""
            detail = f"{each.verdict.relation}{against}: {each.rule}"
            found.append(Moment(at=each.at, what="judged", detail=detail, article=number))
    return tuple(sorted(found, key=lambda each: each.at))


def shown_article(reader: StoreReader, article_id: int) -> ShownArticle | None:
    """Return an article with its history and its cluster, None if there is none."""
    stored = reader.article(article_id)
    if stored is None:
        return None
    history = load_history(reader, str(article_id), compared=MAX_VERSIONS)
    return ShownArticle(
        stored=stored,
        history=history,
        members=reader.members(stored.cluster),
        texts=reader.cluster_size(stored.cluster),
        versions=versions_of(stored, history),
        timeline=timeline_of(history),
        is_cut=history.candidate is not None and len(history.candidate.events) > MAX_EVENTS + 1,
    )


class Browser:
    """The queries and changes of the web pages. Close it before the store. `config` is the file with the sources."""

    def __init__(
        self, reader: StoreReader, *, clock: Clock, sources: Iterable[Source], config: Path | None = None
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._sources = tuple(sources)
        self._config = config
        self._offload, self._counting = StoreExecutor(count=THREADS), asyncio.Lock()
        self.alarms: tuple[Alarm, ...] = ()
        """An alarm while the configuration file is invalid, as `sources` found it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more queries. One that is running ends by itself; its page is not sent."""
        self._offload.close(wait=False)

    async def figures(self) -> StoreStats:
        """Return the statistics of the store and of the configured sources; raises StoreError."""
        stats = await self.count(lambda reader: reader.figures(now=self._clock.now()))
        configured = await self._offload(self.sources)
        names = {source.name for source in configured}
        sources = tuple(source for source in stats.mark_paused(configured).sources if source.name in names)
        return replace(stats, sources=sources)

    async def tag(self) -> str:
        """Return the beginning of the ids in feeds (RFC 4151): the same wherever this store is; raises StoreError."""
        return f"tag:corpus-worker.invalid,2026:{await self._offload(self._reader.identity) or 'store'}/"

    async def run(self, call: Callable[[StoreReader], T]) -> T:
        """Return what a function reads of the store, or changes in it; raises StoreError."""
        return await self._offload(call, self._reader)

    async def count(self, call: Callable[[StoreReader], T]) -> T:
        """Do the same with what reads many rows: one at a time, so that a thread is left for the others."""
        async with self._counting:
            return await self.run(call)

    async def set_enabled(self, name: str, *, enabled: bool) -> None:
        """Pause or resume a source in the configuration; raises NotFoundError, or ConfigurationError if it cannot."""
        from worker.config.edit import with_enabled

        self.require_source(name)
        await self.edit_sources(lambda text: with_enabled(text, [name], enabled=enabled))

    def require_source(self, name: str) -> Source:
        """Return a configured source; raises NotFoundError if there is none of this name."""
        for source in self._sources:
            if source.name == name:
                return source
        raise NotFoundError(f"there is no source {name} in the configuration")

    async def edit_sources(self, edit: Callable[[str], str]) -> None:
        """Change the text of the configuration file; raises ConfigurationError, and then leaves it as it was."""
        from worker.config.edit import edit_file

        if self._config is None:
            raise UsageError("the sources are in no configuration file, so they cannot be changed here")
        settings = await asyncio.to_thread(edit_file, self._config, edit, os.environ)
        self._sources = tuple(source.source() for source in settings.sources)

    def settings(self) -> Settings:
        """Return the settings as they are in the configuration file now; the defaults without one."""
        return load_settings(self._config, os.environ) if self._config else Settings()

    def sources(self) -> tuple[Source, ...]:
        """Return the sources that the configuration file has now, or had when it could be read last."""
        if self._config is not None:
            try:
                self._sources, self.alarms = tuple(source.source() for source in self.settings().sources), ()
            except ConfigurationError as exc:
                since = self.alarms[0].since if self.alarms else self._clock.now()
                self.alarms = (Alarm(what=REFUSED, since=since, detail=str(exc)),)
        return self._sources
