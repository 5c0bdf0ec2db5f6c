"""Backfill: finds and ingests the older articles of one source, within a range of days.

walk:    next place | fetch | parse, keep what is in the range | add candidates with low priority | next place
ingest:  the ingest flow, restricted to these candidates; it runs concurrently
"""

from worker.runs.backfill.run import BackfillReport, BackfillRun
from worker.runs.backfill.walker import BackfillOptions, today_at

__all__ = ["BackfillOptions", "BackfillReport", "BackfillRun", "today_at"]
