"""The description of a suspended task."""

from __future__ import annotations

import asyncio

from worker.runs.daemon.watchdog import describe_tasks


async def deep(event: asyncio.Event) -> None:
    await deeper(event)


async def deeper(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_task_is_described_by_the_innermost_line_it_waits_at() -> None:
    event = asyncio.Event()
    tasks = [asyncio.create_task(deep(event)) for _ in range(12)]
    await asyncio.sleep(0)

    found = describe_tasks(tasks)

    event.set()
    await asyncio.gather(*tasks)
    assert found[0].startswith("locks.py:")
    assert found[0].endswith(" wait")
    assert found[-1] == "and 2 more"
    assert describe_tasks(tasks) == []
