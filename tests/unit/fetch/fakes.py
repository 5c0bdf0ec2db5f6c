"""Fakes for the tests of fetching: a virtual clock, and an executor that calls directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def inline(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call directly, in the event loop."""
    return call(*args, **kwargs)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing else is left to run."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def at_once(timeout: float | None = None) -> Any:
            self._virtual_s += timeout or 0.0
            return select(0)

        selector.select = at_once

    def time(self) -> float:
        return self._virtual_s


class VirtualClock:
    """A `ports.Clock` on the loop's own time, starting at noon."""

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, delay: timedelta) -> None:
        await asyncio.sleep(max(0.0, delay.total_seconds()))


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop with virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
