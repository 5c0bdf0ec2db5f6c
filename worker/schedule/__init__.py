"""When to come back: to a source after a poll, to a page after a failure or at a given age. Pure."""

from worker.schedule.failures import MOST_ATTEMPTS, next_poll, next_poll_after_failure, retry_at
from worker.schedule.rhythm import Rhythm, Sight, interval, observe

__all__ = [
    "MOST_ATTEMPTS",
    "Rhythm",
    "Sight",
    "interval",
    "next_poll",
    "next_poll_after_failure",
    "observe",
    "retry_at",
]
