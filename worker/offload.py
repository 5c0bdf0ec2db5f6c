"""Runs blocking calls on threads of their own, so that neither the event loop nor name look-ups wait for the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A few threads that run blocking calls in the order they come; one thread where there may be one writer."""

    def __init__(self, *, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="store")

    async def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns. Cancelled, the call still runs to its end, unseen."""
        future = self._executor.submit(partial(call, *args, **kwargs))
        return await asyncio.wrap_future(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=True)
