"""Read-only views of the store, for people and exports."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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
    StoredArticle,
)
from worker.storage import audit, judging, views
from worker.storage.database import Repository, reads
from worker.storage.figures import figures, rejections
from worker.storage.links import first_hosts, link_from, links
from worker.storage.neighbours import gather, versions
from worker.storage.polls import source_states
from worker.storage.tables import ARTICLES, SEEDS, STANDINGS
from worker.storage.workers import present
from worker.urls import canonicalise


def article(connection: Connection, article_id: int) -> StoredArticle | None:
    """Return one article."""
    row = connection.execute(views.articles().where(ARTICLES.c.id == article_id)).one_or_none()
    return None if row is None else views.stored_article(row)


def seeds_among(connection: Connection, digests: Collection[str]) -> int:
    """Count the seeds of which a digest is known: the first 16 hexadecimal digits of the file's SHA-256."""
    known = func.substr(SEEDS.c.sha256, 1, 16).in_(digests)
    return int(connection.execute(select(func.count()).select_from(SEEDS).where(known)).scalar_one())


def head_of(connection: Connection, cluster: int) -> StoredArticle | None:
    """Return the article that a cluster exports."""
    head = views.articles().where(STANDINGS.c.cluster == cluster, STANDINGS.c.head)
    row = connection.execute(head).one_or_none()
    return None if row is None else views.stored_article(row)


def neighbours(connection: Connection, article: Article, fingerprint: Fingerprint) -> list[Neighbour]:
    """Return the stored articles a newcomer would be judged against."""
    earlier = [version.id for version in versions(connection, article.canonical_url)]
    return gather(connection, article, fingerprint, earlier=earlier)


class StoredReader(Repository):
    """Read-only views for people and exports. Blocking."""

    article = reads(article)
    head_of = reads(head_of)
    neighbours = reads(neighbours)
    verdicts = reads(views.verdicts)
    weights = reads(judging.weights)
    terms = reads(judging.terms)
    unsure = reads(judging.unsure)
    seeds_among = reads(seeds_among)
    workers = reads(present)
    sources = reads(source_states)
    rejections = reads(rejections)

    def heads(self) -> Iterator[StoredArticle]:
        """Yield the one text of each cluster, ordered by id, in bounded memory and as of one moment."""
        query = views.articles().where(STANDINGS.c.head).order_by(ARTICLES.c.id)
        with self.database.snapshot() as connection:
            for row in connection.execute(query):
                yield views.stored_article(row)

    def duplicates(self, *, links_that_keep_both: bool = False) -> Iterator[DuplicateLink]:
        """Yield recognised copies, ordered by id; with the flag also followups and templates."""
        with self.database.snapshot() as connection:
            firsts = first_hosts(connection)
            for row in connection.execute(links(that_keep_both=links_that_keep_both)):
                yield link_from(row, firsts)

    def candidate(self, url_or_id: str) -> CandidateRecord | None:
        """Find a candidate by URL, canonical URL, or the id of one of its articles."""
        if url_or_id.isascii() and url_or_id.isdigit():
            return self.database.read(views.candidate_of_article, int(url_or_id))
        return self.database.read(views.find_candidate, url=url_or_id, canonical_url=_canonical(url_or_id))

    def marked_pairs(self) -> Iterator[tuple[Article, Article, str]]:
        """Yield the articles that people marked, and what they decided."""
        with self.database.snapshot() as connection:
            yield from judging.marked_pairs(connection)

    def figures(self, *, now: datetime) -> Figures:
        """Return what the store looks like: the queue, its sources, its size, and what was done lately."""
        return self.database.read(figures, now=now, size=self.database.size())

    def counts(self) -> Books:
        """Count everything, and check nothing: quick."""
        return self.database.look(audit.sums)

    def audit(self) -> Books:
        """Count everything, and check that every row has its partners."""
        return self.database.look(audit.books)


def _canonical(url: str) -> str:
    try:
        return canonicalise(url)
    except SourceError:
        return url
