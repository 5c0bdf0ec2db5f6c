"""When to come back: to a source after a poll, to a page after a failure or at a given age. Pure."""

from worker.schedule.drift import Yield, alarms, gather, worth_of
from worker.schedule.failures import MOST_ATTEMPTS, fault_of, next_poll_after_failure, retry_at
from worker.schedule.looks import lasting, next_look, pause
from worker.schedule.overlap import MOST_ENTRIES, entry_keys, share_nothing
from worker.schedule.plans import check_cron, jittered, next_due, next_time, plan_of, zone_of
from worker.schedule.rhythm import LIAR, Rhythm, Sight, interval, observe

__all__ = [
    "LIAR",
    "MOST_ATTEMPTS",
    "MOST_ENTRIES",
    "Rhythm",
    "Sight",
    "Yield",
    "alarms",
    "check_cron",
    "entry_keys",
    "fault_of",
    "gather",
    "interval",
    "jittered",
    "lasting",
    "next_due",
    "next_look",
    "next_poll_after_failure",
    "next_time",
    "observe",
    "pause",
    "plan_of",
    "retry_at",
    "share_nothing",
    "worth_of",
    "zone_of",
]
