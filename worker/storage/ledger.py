"""The ledger of an open store: what the flows read and write while they work, each method one transaction."""

from __future__ import annotations

from worker.storage.corpus import settling
from worker.storage.db.database import Repository, reads, writes
from worker.storage.queue import claims, intake, outcomes, sources, workers
from worker.storage.queue.candidates import find_fallback
from worker.storage.queue.hosts import is_forgotten
from worker.storage.queue.outcomes import queue_rechecks


class StoredLedger(Repository):
    """The `Ledger` of worker.ports, kept in the database.

    Each method is one transaction; it is documented at the function of the same purpose in `worker.storage.queue`.
    """

    source_state = reads(sources.source_state)
    claim_poll = writes(sources.claim_poll)
    record_poll = writes(intake.record_poll)
    replan = writes(sources.replan)
    make_due = writes(sources.make_due)
    enqueue = writes(intake.enqueue)
    hold_paused = writes(workers.hold_paused)
    queue_rechecks = writes(queue_rechecks)
    claim = writes(claims.claim)
    extend = writes(claims.extend)
    release = writes(claims.release)
    lease_owners = reads(workers.lease_owners)
    reclaim = writes(workers.reclaim)
    fallback = reads(find_fallback)
    is_forgotten = reads(is_forgotten)
    finish = writes(outcomes.finish)
    settle = writes(settling.settle)
    pending = reads(claims.pending)
    has_due = reads(claims.has_due)
    next_due = reads(claims.next_due)
