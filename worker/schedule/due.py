"""Whether a source's time has come."""

from __future__ import annotations

from datetime import datetime


def is_due(*, now: datetime, due_at: datetime | None, polled_at: datetime | None) -> bool:
    """Tell whether a source is to be polled: never was, its time has come, or its last poll lies in the future.

    The last means that the clock was set back since: its due time says nothing any more.
    """
    return due_at is None or due_at <= now or (polled_at is not None and polled_at > now)
