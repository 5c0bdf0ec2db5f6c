"""One worker of a crowd, as a process of its own: claims and settles until nothing is pending.

`python -m tests.integration.storage.killed_worker URL NAME`
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

from tests.contract.storage.factories import PARAMETERS, candidate, settle
from worker.models import Candidate, Text
from worker.storage.store import Store, open_store

LEASE = timedelta(seconds=2)
SIZES = (6, 8, 10, 10, 8)
"""How many words each version of a story has: copies, cuts and fuller texts of one another, all in one cluster."""


def stories(count: int) -> list[Candidate]:
    """Return candidates whose versions of one story come one after the other, so that workers meet over them."""
    return [
        candidate(
            f"https://h{version}.example/{story}",
            payload=Text(text=" ".join(f"s{story}w{number}" for number in range(size))),
        )
        for story in range(count)
        for version, size in enumerate(SIZES)
    ]


def work(store: Store, name: str) -> None:
    """Claim and settle until nothing is pending."""
    while True:
        now = datetime.now(UTC)
        claims = store.ledger.claim(now=now, lease=LEASE, limit=2, worker=name)
        for claim in claims:
            assert isinstance(claim.payload, Text)
            settle(store, claim, claim.payload.text, now=datetime.now(UTC))
        if claims:
            continue
        if store.ledger.next_due(now=now) is None:
            return
        time.sleep(0.02)


if __name__ == "__main__":
    opened = open_store(sys.argv[1], parameters=PARAMETERS)
    work(opened, sys.argv[2])
    opened.close()
