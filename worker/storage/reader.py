"""Read-only views of the store, for people and exports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from worker.errors import SourceError
from worker.models import (
    Article,
    Books,
    CandidateRecord,
    DuplicateLink,
    Figures,
    Fingerprint,
    Neighbour,
    SourceState,
    StoredArticle,
    Verdict,
)
from worker.storage import audit, judging, views
from worker.storage.database import Database
from worker.storage.figures import figures, rejections
from worker.storage.judging import Unsure
from worker.storage.links import first_hosts, link_from, links
from worker.storage.neighbours import gather, versions
from worker.storage.polls import source_states
from worker.storage.tables import ARTICLES, SEEDS, STANDINGS
from worker.storage.workers import WorkerRecord, present
from worker.urls import canonicalise


class StoredReader:
    """Read-only views of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heads(self) -> Iterator[StoredArticle]:
        """Yield the one text of each cluster, ordered by id, in bounded memory and as of one moment."""
        query = views.articles().where(STANDINGS.c.head).order_by(ARTICLES.c.id)
        with self._database.snapshot() as connection:
            for row in connection.execute(query):
                yield views.stored_article(row)

    def duplicates(self, *, links_that_keep_both: bool = False) -> Iterator[DuplicateLink]:
        """Yield recognised copies, ordered by id; with the flag also followups and templates."""
        with self._database.snapshot() as connection:
            firsts = first_hosts(connection)
            for row in connection.execute(links(that_keep_both=links_that_keep_both)):
                yield link_from(row, firsts)

    def article(self, article_id: int) -> StoredArticle | None:
        """Return one article."""
        return self._database.read(_article, article_id)

    def head_of(self, cluster: int) -> StoredArticle | None:
        """Return the article that a cluster exports."""
        return self._database.read(_head_of, cluster)

    def candidate(self, url_or_id: str) -> CandidateRecord | None:
        """Find a candidate by URL, canonical URL, or the id of one of its articles."""
        if url_or_id.isascii() and url_or_id.isdigit():
            return self._database.read(views.candidate_of_article, int(url_or_id))
        return self._database.read(views.find_candidate, url=url_or_id, canonical_url=_canonical(url_or_id))

    def neighbours(self, article: Article, fingerprint: Fingerprint) -> list[Neighbour]:
        """Return the stored articles a newcomer would be judged against."""
        return self._database.read(_neighbours, article, fingerprint)

    def weights(self) -> str | None:
        """Return the weights the store was taught, None where nobody taught it."""
        return self._database.read(judging.weights)

    def terms(self) -> str | None:
        """Return by which terms the verdicts in the store were given, None where that is not known."""
        return self._database.read(judging.terms)

    def marked_pairs(self) -> Iterator[tuple[Article, Article, str]]:
        """Yield the articles that people marked, and what they decided."""
        with self._database.snapshot() as connection:
            yield from judging.marked_pairs(connection)

    def unsure(self, *, merge_at: float, most: int) -> list[Unsure]:
        """Return the pairs about which the judge was least sure and that nobody marked."""
        return self._database.read(judging.unsure, merge_at=merge_at, most=most)

    def verdicts(self, article_id: int) -> tuple[tuple[datetime, Verdict], ...]:
        """Return the decisions made about an article, oldest first."""
        return self._database.read(views.verdicts, article_id)

    def seeds_among(self, digests: Collection[str]) -> int:
        """Count the seeds of which a digest is known: the first 16 hexadecimal digits of the file's SHA-256."""
        return self._database.read(_seeds_among, digests)

    def workers(self, *, now: datetime) -> tuple[WorkerRecord, ...]:
        """Return every worker with a live lease and every one that is connected for work, by name."""
        return self._database.read(present, now=now)

    def sources(self) -> tuple[SourceState, ...]:
        """Return every source ever polled."""
        return self._database.read(source_states)

    def figures(self, *, now: datetime) -> Figures:
        """Return what the store looks like: the queue, its sources, its size, and what was done lately."""
        return self._database.read(figures, now=now, size=self._database.size())

    def rejections(self) -> Mapping[str, tuple[int, int]]:
        """Count the pages that gave no article by reason, and those of them that are kept."""
        return self._database.read(rejections)

    def counts(self) -> Books:
        """Count everything, and check nothing: quick."""
        return self._database.look(audit.sums)

    def audit(self) -> Books:
        """Count everything, and check that every row has its partners."""
        return self._database.look(audit.books)


def _article(connection: Connection, article_id: int) -> StoredArticle | None:
    row = connection.execute(views.articles().where(ARTICLES.c.id == article_id)).one_or_none()
    return None if row is None else views.stored_article(row)


def _seeds_among(connection: Connection, digests: Collection[str]) -> int:
    known = func.substr(SEEDS.c.sha256, 1, 16).in_(digests)
    return int(connection.execute(select(func.count()).select_from(SEEDS).where(known)).scalar_one())


def _head_of(connection: Connection, cluster: int) -> StoredArticle | None:
    head = views.articles().where(STANDINGS.c.cluster == cluster, STANDINGS.c.head)
    row = connection.execute(head).one_or_none()
    return None if row is None else views.stored_article(row)


def _neighbours(connection: Connection, article: Article, fingerprint: Fingerprint) -> list[Neighbour]:
    earlier = [version.id for version in versions(connection, article.canonical_url)]
    return gather(connection, article, fingerprint, earlier=earlier)


def _canonical(url: str) -> str:
    try:
        return canonicalise(url)
    except SourceError:
        return url
