"""The clusters that the online worker makes of articles in their order: the measure of what `dedupe` makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, select

from worker.dedupe.judge import Deduper
from worker.models import Article
from worker.storage.corpus.neighbours import page_versions
from worker.storage.corpus.settling import IncomingArticle, insert_article
from worker.storage.db.schema import STANDINGS
from worker.storage.store import open_store


def heads_online(articles: Iterable[Article], path: Path) -> dict[int, int]:
    """Store articles one after another in a new SQLite store; return the number of each one's head by its number.

    A text that is that of its page's newest version is not stored, and has the head of that version.
    """
    deduper = Deduper()
    url = f"sqlite:///{path}"
    open_store(url, parameters=deduper.parameters).close()
    article_of: dict[int, int] = {}
    engine = create_engine(url)
    with engine.begin() as connection:
        for number, article in enumerate(articles):
            made = deduper.fingerprint(article)
            before = page_versions(connection, article.canonical_url)
            if before and before[0].sha256 == article.sha256:
                article_of[number] = before[0].id
            elif made.shingles:
                incoming = IncomingArticle(
                    article=article,
                    fingerprint=made,
                    judge=partial(deduper.judge, article, made),
                    now=article.fetched_at,
                )
                article_of[number] = insert_article(connection, incoming, before=before).article_id
        rows = connection.execute(select(STANDINGS.c.article_id, STANDINGS.c.cluster, STANDINGS.c.head)).all()
    engine.dispose()
    number_of = {article_id: number for number, article_id in reversed(article_of.items())}
    head_of = {row.cluster: number_of[row.article_id] for row in rows if row.head}
    cluster_of = {row.article_id: row.cluster for row in rows}
    return {number: head_of[cluster_of[article_id]] for number, article_id in article_of.items()}
