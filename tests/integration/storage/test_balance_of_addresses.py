"""Whoever names which address when, and whatever comes of each try: nothing is given up with an address left to try."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.storage.factories import MINUTE, NOW, PARAMETERS, article, candidate, fingerprint, judge_of
from worker.models import Authority, Candidate, Claim, Outcome, State, Text
from worker.schedule.retry import keep_former_outcome
from worker.storage.store import Store, open_store

SITES = ["a.example", "b.example"]
ENDS = [State.REJECTED, State.BLOCKED, State.FAILED, State.PENDING]


def named(site: str, twin: int, authority: Authority, text: str) -> Candidate:
    """Return one of the addresses of a site's only article, or what a file brought of it."""
    host = site if twin < 2 else f"m.{site}"
    url = f"https://{host}/1" if twin == 0 else f"https://{host}/1?{twin}"
    made = replace(candidate(url, source=authority.value), canonical_url=f"https://{site}/1", authority=authority)
    return replace(made, reference=f"bai.jsonl:{text}", payload=Text(text=text)) if text else made


class Addresses(RuleBasedStateMachine):
    """Drives a store; that the books balance is the whole claim."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store: Store
        self.now: datetime = NOW
        self.held: list[Claim] = []

    @initialize()
    def open(self) -> None:
        self.store = open_store(f"sqlite:///{self.folder / 'corpus.db'}", parameters=PARAMETERS)

    @rule(
        found=st.lists(
            st.builds(
                named,
                st.sampled_from(SITES),
                st.integers(0, 4),
                st.sampled_from(list(Authority)),
                st.sampled_from(["", "", "", "một hai", "ba bốn"]),
            ),
            max_size=4,
        ),
        again=st.booleans(),
    )
    def name(self, found: list[Candidate], again: bool) -> None:
        self.store.ledger.enqueue(found, now=self.now, again=again)

    @rule(minutes=st.integers(1, 30))
    def claim(self, minutes: int) -> None:
        self.held += self.store.ledger.claim(now=self.now, lease=minutes * MINUTE, limit=2, worker="w1")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), words=st.sampled_from(["một hai", "năm sáu"]), elsewhere=st.booleans())
    def settle(self, data: st.DataObject, words: str, elsewhere: bool) -> None:
        claim = self._take(data)
        made = article("https://la.example/9" if elsewhere else claim.canonical_url, words, fetched_at=self.now)

        self.store.ledger.settle(claim, made, fingerprint=fingerprint(words), judge=judge_of(made), now=self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), end=st.sampled_from(ENDS), minutes=st.integers(0, 20))
    def finish(self, data: st.DataObject, end: State, minutes: int) -> None:
        claim = self._take(data)
        later = self.now + minutes * MINUTE if end is State.PENDING else None

        outcome = keep_former_outcome(claim, Outcome(state=end, reason="why", detail="for a reason", retry_at=later))

        self.store.ledger.finish(claim, outcome, now=self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        self.store.ledger.release([self._take(data)])

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @invariant()
    def the_books_balance(self) -> None:
        books = self.store.reader.audit() if hasattr(self, "store") else None

        assert books is None or (books.problems, books.balanced) == ((), True)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)

    def _take(self, data: st.DataObject) -> Claim:
        return self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))


TestAddresses = Addresses.TestCase
TestAddresses.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
