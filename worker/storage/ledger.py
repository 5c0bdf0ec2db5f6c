"""The ledger as the flows use it: each call is one transaction, described where its function is."""

from __future__ import annotations

from worker.storage import claims, outcomes, polls, queue, settling, takeover
from worker.storage.database import Repository, reads, writes
from worker.storage.fallbacks import find_fallback
from worker.storage.looks import queue_rechecks


class StoredLedger(Repository):
    """`Ledger` on the store."""

    source_state = reads(polls.source_state)
    lead_poll = writes(polls.lead_poll)
    record_poll = writes(queue.record_poll)
    replan = writes(polls.replan)
    enqueue = writes(queue.enqueue)
    look_again = writes(queue_rechecks)
    claim = writes(claims.claim)
    extend = writes(claims.extend)
    release = writes(claims.release)
    holders = reads(takeover.holders)
    take_over = writes(takeover.take_over)
    fallback = reads(find_fallback)
    finish = writes(outcomes.finish)
    settle = writes(settling.settle)
    pending = reads(claims.pending)
    has_due = reads(claims.has_due)
    next_due = reads(claims.next_due)
