"""Checks the machine: whether there is enough of everything, and whether its clock can be believed."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from worker.config.schema import DEFAULT_TIMEZONE, Settings
from worker.config.units import format_duration
from worker.runs.doctor.findings import Finding, make_finding

AREA: Final = "machine"
_OLDEST_PYTHON: Final = (3, 11)
_MB: Final = 1_000_000
_PROCESS_BYTES: Final = 300 * _MB
_MAIN_BYTES: Final = 500 * _MB
_LITTLE_DISK, _NO_DISK = 1_000 * _MB, 100 * _MB
_SPARE_FILES: Final = 100
_SLACK: Final = timedelta(days=1)


def check_machine(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Yield what there is of Python, cores, memory, disk and open files, and whether clock and time zones work."""
    processes = settings.extract.processes or cores()
    yield python(sys.version_info[:3])
    yield cpus(cores(), processes=processes)
    yield memory(_free_memory(), processes=processes)
    folder = nearest_folder(store_path(settings.store.url) or Path())
    yield disk(shutil.disk_usage(folder).free, folder=folder)
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield open_files(soft, connections=settings.fetch.max_connections, processes=processes)
    installed = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    yield clock(now, installed=installed)
    yield time_zones()


def python(version: tuple[int, ...]) -> Finding:
    """Judge the Python version."""
    found = f"{platform.python_implementation()} {'.'.join(map(str, version))}"
    return make_finding(AREA, "python", found, fail=version < _OLDEST_PYTHON, remedy="use Python 3.11 or later")


def cpus(count: int, *, processes: int) -> Finding:
    """Judge whether there are cores for the extraction processes."""
    found = f"{count} cores, {processes} extraction processes"
    remedy = f"set [extract] processes to {count} or less: more than there are cores only wait for each other"
    return make_finding(AREA, "cpu", found, warn=processes > count, remedy=remedy)


def memory(free: int | None, *, processes: int) -> Finding:
    """Judge the memory that is free, in bytes."""
    if free is None:
        return make_finding(AREA, "memory", "the system does not say how much is free")
    need = _MAIN_BYTES + processes * _PROCESS_BYTES
    found = f"{free // _MB:,} MB free, a run takes up to about {need // _MB:,} MB"
    return make_finding(
        AREA, "memory", found, warn=free < need, remedy="lower [extract] processes, or end other programs"
    )


def disk(free: int, *, folder: Path) -> Finding:
    """Judge the free disk space, in bytes, where the store lies."""
    found = f"{free // _MB:,} MB free in {folder.absolute()}"
    remedy = "make room, or move the store with [store] url: a full disk stops every run"
    return make_finding(AREA, "disk", found, warn=free < _LITTLE_DISK, fail=free < _NO_DISK, remedy=remedy)


def open_files(limit: int, *, connections: int, processes: int) -> Finding:
    """Judge how many files this process may hold open."""
    need = 2 * connections + 2 * processes + _SPARE_FILES
    unlimited = limit == resource.RLIM_INFINITY
    found = f"{'no limit' if unlimited else f'{limit:,} allowed'}, a run takes up to about {need:,}"
    remedy = f"raise the limit (ulimit -n {2 * need}), or lower [fetch] max_connections"
    return make_finding(AREA, "open files", found, warn=not unlimited and limit < need, remedy=remedy)


def clock(now: datetime, *, installed: datetime) -> Finding:
    """Judge the wall clock: it cannot be earlier than this program."""
    found = f"{now.astimezone():%Y-%m-%d %H:%M:%S %z}"
    if now >= installed - _SLACK:
        return make_finding(AREA, "clock", found)
    found += f", {format_duration(timedelta(days=(installed - now).days))} before this program was installed"
    return make_finding(
        AREA, "clock", found, fail=True, remedy="set the clock: due times and dates of articles depend on it"
    )


def time_zones() -> Finding:
    """Judge whether the time zone data can be read."""
    try:
        ZoneInfo(DEFAULT_TIMEZONE)
    except (ZoneInfoNotFoundError, OSError):
        remedy = "install the system's tzdata package, or the Python package tzdata"
        return make_finding(AREA, "time zones", f"there is no data on {DEFAULT_TIMEZONE}", fail=True, remedy=remedy)
    return make_finding(AREA, "time zones", f"{DEFAULT_TIMEZONE} is known")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def store_path(url: str) -> Path | None:
    """Return the file of a SQLite store, None for a server."""
    return Path(url.removeprefix("sqlite:///").partition("?")[0]) if url.startswith("sqlite:///") else None


def nearest_folder(path: Path) -> Path:
    """Return the nearest folder above a path that exists."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())


def _free_memory() -> int | None:
    """Return the bytes of memory that can be had without swapping, as far as the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(kilobytes) * 1024 for kilobytes in available), None)
