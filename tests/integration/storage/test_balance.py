"""Whatever the order of discovery, claims, outcomes, lost leases and crashes: the books balance."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.storage.factories import MINUTE, NOW, PARAMETERS, candidate, page, settle
from worker.models import Claim, Outcome, State
from worker.ports import HostHealth
from worker.schedule.retry import keep_former_outcome
from worker.storage.store import Store, open_store

URLS = [f"https://h{number % 4}.example/{number}" for number in range(12)]
TEXTS = ["một hai", "hai một", "một hai ba", "theo bốn năm", "theo bốn sáu", "bảy"]
WITHOUT_ARTICLE = [State.REJECTED, State.BLOCKED, State.FAILED, State.PENDING]


class Books(RuleBasedStateMachine):
    """Drives a store beside a model that knows of each URL's state and of each live lease."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store: Store
        self.now = NOW
        self.states: dict[str, State] = {}
        self.looks: dict[str, datetime] = {}
        self.former: dict[str, State] = {}
        self.held: list[Claim] = []
        self.lost: list[Claim] = []

    @initialize()
    def open(self) -> None:
        self.store = open_store(f"sqlite:///{self.folder / 'corpus.db'}", parameters=PARAMETERS)

    @rule(urls=st.lists(st.sampled_from(URLS), max_size=6), again=st.booleans())
    def enqueue(self, urls: list[str], again: bool) -> None:
        new = self.store.ledger.enqueue([candidate(url) for url in urls], now=self.now, again=again)

        assert new == len(set(urls) - self.states.keys())
        leased = {claim.url for claim in self.held}
        for url in set(urls):
            if url not in self.states or (again and url not in leased):
                self.states[url] = State.PENDING
                self.looks.pop(url, None)
                self.former.pop(url, None)

    @rule(limit=st.integers(1, 5), minutes=st.integers(1, 10))
    def claim(self, limit: int, minutes: int) -> None:
        live = {claim.host for claim in self.held if claim.lease_until > self.now}

        claims = self.store.ledger.claim(now=self.now, lease=minutes * MINUTE, limit=limit, worker="w1")

        hosts = [claim.host for claim in claims]
        assert len(set(hosts)) == len(hosts) <= limit
        assert not live & set(hosts)
        assert all(self.states[claim.url] is State.PENDING for claim in claims)
        taken = {claim.id for claim in claims}
        self.lost += [claim for claim in self.held if claim.id in taken]
        self.held = [claim for claim in self.held if claim.id not in taken] + claims

    @precondition(lambda self: self.held)
    @rule(data=st.data(), text=st.sampled_from(TEXTS), minutes=st.integers(0, 20))
    def settle(self, data: st.DataObject, text: str, minutes: int) -> None:
        claim, recheck_at = data.draw(st.sampled_from(self.held)), self.now + minutes * MINUTE

        outcome = settle(
            self.store, claim, text, now=self.now, content=page(claim.url, text.encode()), recheck_at=recheck_at
        )

        assert outcome is not None
        self._ended(claim, outcome.state)
        if outcome.state is not State.DUPLICATE:
            self.looks[claim.url] = recheck_at

    @rule()
    def queue_rechecks(self) -> None:
        due = [url for url, at in self.looks.items() if at <= self.now]

        queued = self.store.ledger.queue_rechecks(now=self.now, limit=100)

        assert queued == len(due)
        for url in due:
            del self.looks[url]
            self.former[url], self.states[url] = self.states[url], State.PENDING

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from(WITHOUT_ARTICLE), hours=st.integers(0, 3))
    def finish(self, data: st.DataObject, state: State, hours: int) -> None:
        claim = data.draw(st.sampled_from(self.held))
        outcome = Outcome(state=state, retry_at=self.now + timedelta(hours=hours) if state is State.PENDING else None)

        assert self.store.ledger.finish(claim, keep_former_outcome(claim, outcome), now=self.now)
        self._ended(claim, self.former.get(claim.url, state))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.held))

        self.store.ledger.release([claim])

        self._ended(claim, State.PENDING)

    @precondition(lambda self: self.held)
    @rule(minutes=st.integers(1, 10))
    def extend(self, minutes: int) -> None:
        self.store.ledger.extend(self.held, until=self.now + minutes * MINUTE)
        # The claims say the old end; for the model only the host matters, which is let go at the later of both.
        self.held = [
            type(each)(
                **{name: getattr(each, name) for name in each.__slots__} | {"lease_until": self.now + minutes * MINUTE}
            )
            for each in self.held
        ]

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def write_with_a_lost_lease(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.lost))

        assert settle(self.store, claim, "một hai", now=self.now) is None
        assert not self.store.ledger.finish(claim, Outcome(state=State.FAILED), now=self.now)

    @rule(minutes=st.integers(1, 30))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(host=st.integers(0, 3), minutes=st.integers(0, 20))
    def a_host_is_closed_or_opened(self, host: int, minutes: int) -> None:
        closed_until = self.now + minutes * MINUTE if minutes else None
        self.store.hosts.save_health(HostHealth(host=f"h{host}.example", failures=1, closed_until=closed_until))

    @rule()
    def the_worker_dies(self) -> None:
        self.store.close()
        self.store = open_store(f"sqlite:///{self.folder / 'corpus.db'}", parameters=PARAMETERS)

    @invariant()
    def every_candidate_is_in_the_state_the_model_says(self) -> None:
        if not self.states:
            return
        counts = self.store.reader.counts().counts
        expected = {state: list(self.states.values()).count(state) for state in State}
        assert counts == expected

    @invariant()
    def pending_work_always_comes_due(self) -> None:
        waiting = State.PENDING in self.states.values()
        assert (self.store.ledger.next_due(now=self.now) is not None) == waiting

    @invariant()
    def whether_anything_is_due_agrees_with_how_much_is(self) -> None:
        ledger = self.store.ledger
        assert ledger.has_due(now=self.now) == (ledger.pending(now=self.now)[1] > 0)

    def teardown(self) -> None:
        books = self.store.reader.audit()
        self.store.close()
        shutil.rmtree(self.folder)
        assert books.problems == ()
        assert books.balanced
        assert books.discovered == len(self.states)

    def _ended(self, claim: Claim, state: State) -> None:
        self.held.remove(claim)
        self.states[claim.url] = state
        if state is not State.PENDING:
            self.former.pop(claim.url, None)


Books.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestBooks = Books.TestCase
