"""Input files are read so that none of them can block the program."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.errors import SourceError
from worker.files.reading import open_regular, read_in_thread


@pytest.fixture
def hangs() -> Iterator[threading.Event]:
    """Something a read waits for, which comes when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_an_ordinary_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\ntwo")
    (tmp_path / "b").symlink_to("a")

    with open_regular(tmp_path / "b") as opened:
        assert (opened.readline(), opened.read()) == (b"one\n", b"two")


@pytest.mark.parametrize(
    ("name", "told"),
    [("pipe", "a pipe"), ("folder", "a folder"), ("zeros", "a device"), ("terminal", "a device"), ("loop", "")],
)
def test_only_regular_files_are_opened(tmp_path: Path, name: str, told: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "terminal").symlink_to("/dev/tty")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(OSError, match=f"it is {told}" if told else "symbolic links"):
        open_regular(tmp_path / name)


async def test_the_result_or_error_of_a_call_is_passed_on() -> None:
    def broken() -> None:
        raise KeyError("mine")

    assert await read_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(KeyError, match="mine"):
        await read_in_thread(broken)


async def test_a_read_that_hangs_is_abandoned(hangs: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.files.reading.READ_TIMEOUT", timedelta(0))

    with pytest.raises(SourceError, match="nothing could be read for 0 seconds"):
        await read_in_thread(hangs.wait)


async def test_cancelling_does_not_wait_for_a_read_that_hangs(hangs: threading.Event) -> None:
    waiting = asyncio.create_task(read_in_thread(hangs.wait))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_slow_file_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the time since the last read that gave something, not the time of the whole."""
    (tmp_path / "a").write_bytes(b"x" * 1_000_000)
    noted: list[float] = []
    ticks = itertools.count()
    monkeypatch.setattr("worker.files.reading.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))

    def read() -> int:
        with open_regular(tmp_path / "a") as opened:
            while opened.read(65_536):
                noted.append(threading.current_thread().last)  # type: ignore[attr-defined]
        return len(noted)

    assert await read_in_thread(read) == len(set(noted)) > 10
