"""Another look at what is stored: a person's word, new rules, pages extracted again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from worker.storage import judging, marking, offline
from worker.storage.alone import Writer, alone
from worker.storage.database import Database
from worker.storage.marking import Moved
from worker.storage.offline import Kept
from worker.storage.rethinking import JudgeAnew, Rethinking

BATCH = "reprocess"
"""The batch of candidates whose kept page is being extracted again."""


class StoredReview:
    """What `duplicates mark` and `reprocess` do to a store. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer: Writer = database

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other `reprocess` out; raises StoreBusy where one is at work.

        So does what writes meanwhile, where a server went away and another has begun before it could go on.
        """
        with alone(self._database, what="reprocess") as hold:
            self._writer = hold
            try:
                yield
            finally:
                self._writer = self._database

    def mark(self, one: int, other: int, *, decided: str, judge: JudgeAnew, now: datetime) -> tuple[Moved, ...]:
        """Remember that a person calls two articles `same` or `different`, and judge what rests on it again.

        Raises StoreError where an id is unknown, or both are versions of one page.
        """
        return self._database.write(marking.mark, one, other, decided=decided, judge=judge, now=now)

    def mark_original(self, article_id: int, *, now: datetime) -> tuple[Moved, ...]:
        """Remember that a person calls an article the original of its cluster, and let the cluster export it.

        Raises StoreError where the id is unknown.
        """
        return self._database.write(marking.mark_original, article_id, now=now)

    def begin_under(self, terms: str) -> None:
        """Note by which terms a store is judged that has no verdict yet."""
        if self._database.read(judging.terms) is None:
            self._database.write(judging.begin_under, terms)

    def now_under(self, terms: str) -> None:
        """Note by which terms every verdict was given just now."""
        self._writer.write(judging.now_under, terms)

    def keep_weights(self, text: str) -> None:
        """Keep the weights the store was taught."""
        self._database.write(judging.keep_weights, text)

    def think_again(self, *, tag: str) -> Rethinking:
        """Return a new judgement of the whole store by the rules that `tag` names; it goes on where one broke off."""
        return Rethinking(self._database, tag=tag, writer=self._writer)

    def queue_kept_pages(self, *, now: datetime, rejected: bool = False) -> int:
        """Make finished candidates whose page was kept pending in BATCH: all of them, or those that gave no article.

        The first goes on where one broke off.
        """
        states = offline.REJECTED if rejected else offline.AGAIN
        return offline.queue_kept_pages(self._writer, now=now, batch=BATCH, states=states)

    def finish_kept_pages(self) -> None:
        """Settle what became of the kept pages, once BATCH is worked off."""
        self._writer.write(offline.finish, batch=BATCH)

    def end_kept_pages(self) -> None:
        """Let the next `queue_kept_pages` begin anew, once all was judged again."""
        self._writer.write(offline.end)

    def kept_pages(self, *, rejected: bool = False) -> Iterator[Kept]:
        """Yield every page that would be extracted again, or those alone that gave no article."""
        return offline.kept_pages(self._database, states=offline.REJECTED if rejected else offline.AGAIN)
