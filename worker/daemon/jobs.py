"""What the clockwork calls: cancelled at a stop without a word."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec

P = ParamSpec("P")


def cancellable(job: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Let a job end where it is cancelled: APScheduler cancels what is under way at its end, and logs that as an error.

    Nothing is awaited after it, so that nobody misses the cancellation.
    """

    @functools.wraps(job)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await job(*args, **kwargs)

    return run
