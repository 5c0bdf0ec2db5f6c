"""Runs asynchronous work until it ends or a signal asks for a clean stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    """Run `work`, cancelling it at SIGINT or SIGTERM; return its result and the signal's number, 0 where none came.

    `work` returns what it has when it is cancelled. A second signal ends the process at once: leases and
    transactions make that safe, it is only less tidy.
    """
    return asyncio.run(_until_signal(work))


async def _until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work())
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task, received[0] if received else 0
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
