"""Goes back through the past of one source: looks for what was published in a span of time, and works it off.

look:  next place | fetch | what it says of the span | candidates into the ledger, behind the news | next place
work:  the ingest flow, on these candidates alone
"""

from worker.runs.backfill.run import BackfillReport, BackfillRun
from worker.runs.backfill.walker import BackfillOptions, today_at

__all__ = ["BackfillOptions", "BackfillReport", "BackfillRun", "today_at"]
