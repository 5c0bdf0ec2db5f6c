"""The deadline of a fetch counts time on the network, not the wait for a slot."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.unit.fetch.fakes import run_virtually
from worker.errors import FetchError
from worker.fetch.request import PausableDeadline


def test_paused_time_does_not_count() -> None:
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


def test_a_second_run_has_only_the_time_left_by_the_first() -> None:
    async def main() -> None:
        deadline = PausableDeadline(timedelta(seconds=4))
        async with deadline.running():
            await asyncio.sleep(3)
            async with deadline.paused():
                await asyncio.sleep(100)
            await asyncio.sleep(2)

    with pytest.raises(FetchError, match="deadline of 4 s"):
        run_virtually(main())


def test_pausing_a_deadline_that_does_not_run_does_nothing() -> None:
    async def main() -> PausableDeadline:
        deadline = PausableDeadline(timedelta(seconds=4))
        async with deadline.paused():
            await asyncio.sleep(100)
        return deadline

    assert run_virtually(main()).elapsed == timedelta(0)
