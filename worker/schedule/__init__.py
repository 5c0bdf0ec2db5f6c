"""When to come back: to a source after a poll, to a page after a failure or at a given age. Pure."""

from worker.schedule.failures import MOST_ATTEMPTS, fault_of, next_poll_after_failure, retry_at
from worker.schedule.plans import check_cron, jittered, next_due, next_time, plan_of, zone_of
from worker.schedule.rhythm import Rhythm, Sight, interval, observe

__all__ = [
    "MOST_ATTEMPTS",
    "Rhythm",
    "Sight",
    "check_cron",
    "fault_of",
    "interval",
    "jittered",
    "next_due",
    "next_poll_after_failure",
    "next_time",
    "observe",
    "plan_of",
    "retry_at",
    "zone_of",
]
