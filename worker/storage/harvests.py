"""Counts what became of a source's pages, in the transaction that ends the work on each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from worker.models import Article, Outcome, State
from worker.schedule import Yield, gather
from worker.storage import habits
from worker.storage.tables import ARTICLES

_COUNTED = frozenset({State.STORED, State.DUPLICATE, State.REVISED, State.UNCHANGED, State.REJECTED, State.BLOCKED})
_HOST = select(ARTICLES.c.host).where(ARTICLES.c.id == bindparam("article"))


def count_outcome(connection: Connection, row: Row[Any], outcome: Outcome, article: Article | None) -> None:
    """Count the outcome of a page fetched for the first time; failures say nothing of what its source gives."""
    if outcome.state not in _COUNTED or row.article_id is not None:
        return
    brought = Yield(state=outcome.state, useful=_is_useful(connection, outcome, article), article=article)
    before = habits.harvest(connection, row.source)
    habits.keep_harvest(connection, row.source, gather(before, brought))


def _is_useful(connection: Connection, outcome: Outcome, article: Article | None) -> bool:
    """Tell whether a page brought a text that its site had not brought before."""
    if outcome.state in {State.STORED, State.REVISED}:
        return True
    best = outcome.verdict.best if outcome.verdict else None
    if outcome.state is not State.DUPLICATE or best is None or article is None:
        return False
    return bool(connection.execute(_HOST, {"article": best.article}).scalar() != article.host)
