"""Says where a task stands: the innermost line it waits at, for the log of a daemon that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_MOST: Final = 10


def whereabouts(tasks: Iterable[asyncio.Task[Any]]) -> list[str]:
    """Return `file:line function` of each task that is not done, the first ten."""
    places = [_place(task) for task in tasks if not task.done()]
    return places[:_MOST] + ([f"and {len(places) - _MOST} more"] if len(places) > _MOST else [])


def _place(task: asyncio.Task[Any]) -> str:
    inner: Any = task.get_coro()
    frame = getattr(inner, "cr_frame", None)
    while (inner := getattr(inner, "cr_await", None)) is not None and getattr(inner, "cr_frame", None) is not None:
        frame = inner.cr_frame
    if frame is None:
        return task.get_name()
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
