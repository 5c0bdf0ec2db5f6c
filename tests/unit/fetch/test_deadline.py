"""The time of one fetch: it runs on the network alone, and not while a turn is waited for."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.unit.fetch.fakes import run_virtually
from worker.errors import FetchError
from worker.fetch.request import PausableDeadline


def test_time_that_stands_still_in_the_middle_is_not_spent() -> None:
    async def main() -> PausableDeadline:
        deadline = PausableDeadline(timedelta(seconds=4))
        async with deadline.running():
            await asyncio.sleep(1)
            async with deadline.paused():
                await asyncio.sleep(100)
            await asyncio.sleep(1)
        async with deadline.running():
            await asyncio.sleep(1)
        return deadline

    assert run_virtually(main()).elapsed == timedelta(seconds=3)


def test_what_is_left_afterwards_is_all_there_is() -> None:
    async def main() -> None:
        deadline = PausableDeadline(timedelta(seconds=4))
        async with deadline.running():
            await asyncio.sleep(3)
            async with deadline.paused():
                await asyncio.sleep(100)
            await asyncio.sleep(2)

    with pytest.raises(FetchError, match="deadline of 4 s"):
        run_virtually(main())


def test_nothing_stands_still_where_nothing_runs() -> None:
    async def main() -> PausableDeadline:
        deadline = PausableDeadline(timedelta(seconds=4))
        async with deadline.paused():
            await asyncio.sleep(100)
        return deadline

    assert run_virtually(main()).elapsed == timedelta(0)
