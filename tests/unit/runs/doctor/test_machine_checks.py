"""The doctor checks of the machine: each shortage has a remedy."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import START
from worker.config.schema import Settings
from worker.errors import MachineError
from worker.extract.ipc import ExtractRules, usable_cores
from worker.extract.pool import ProcessExtractor
from worker.runs.doctor import Finding, Level
from worker.runs.doctor.local import (
    check_machine,
    clock,
    cpus,
    disk,
    free_memory,
    memory,
    nearest_folder,
    open_files,
    python,
    store_path,
)

MB = 1_000_000
HERE = Path("/here")


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (python((3, 11, 7)), Level.OK),
        (python((3, 10, 12)), Level.FAIL),
        (cpus(2, processes=2), Level.OK),
        (cpus(2, processes=3), Level.WARN),
        (memory(1100 * MB, processes=2), Level.OK),
        (memory(1099 * MB, processes=2), Level.WARN),
        (memory(None, processes=2), Level.OK),
        (disk(1000 * MB, folder=HERE), Level.OK),
        (disk(999 * MB, folder=HERE), Level.WARN),
        (disk(99 * MB, folder=HERE), Level.FAIL),
        (open_files(256, connections=32, processes=2), Level.OK),
        (open_files(128, connections=32, processes=2), Level.WARN),
        (open_files(resource.RLIM_INFINITY, connections=900, processes=2), Level.OK),
        (clock(START, installed=START), Level.OK),
        (clock(START, installed=START + timedelta(days=400)), Level.FAIL),
    ],
)
def test_each_figure_has_its_level(finding: Finding, level: Level) -> None:
    assert finding.level is level
    assert bool(finding.remedy) is (level is not Level.OK)


def test_every_check_of_this_machine_yields_a_finding() -> None:
    names = [finding.name for finding in check_machine(Settings(), now=START.replace(year=2100)) if finding.detail]

    assert names == ["python", "cpu", "memory", "disk", "open files", "clock", "time zones"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/corpus.db", "data/corpus.db"),
        ("sqlite:////var/corpus.db?timeout=3", "/var/corpus.db"),
        ("postgresql+psycopg://me@host/corpus", None),
    ],
)
def test_the_path_of_a_store_is_known_if_it_is_a_file(url: str, path: str | None) -> None:
    assert store_path(url) == (Path(path) if path else None)


def test_the_nearest_folder_exists(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path / "not" / "made" / "yet.db") == tmp_path


SERVICE = {"proc/self/cgroup": "1:name=systemd:/other\n0::/system.slice/corpus.service\n"}
GROUP = "sys/fs/cgroup/system.slice/corpus.service"


@pytest.mark.parametrize(
    ("files", "cores", "free"),
    [
        ({}, 8, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 900 kB\n"}, 8, 900 * 1024),
        (SERVICE | {f"{GROUP}/cpu.max": "max 100000\n", f"{GROUP}/memory.max": "max\n"}, 8, None),
        (SERVICE | {f"{GROUP}/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 2, None),
        (
            SERVICE | {f"{GROUP}/cpu.max": "max 100000\n", "sys/fs/cgroup/system.slice/cpu.max": "300000 100000"},
            3,
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1, None),
        ({"proc/self/cgroup": "0::/../beside\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, None),
        ({"proc/self/cgroup": "4:cpu:/docker/1\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 8, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "unreadable"}, 8, None),
        (
            SERVICE
            | {
                "proc/meminfo": "MemAvailable: 900 kB\n",
                f"{GROUP}/memory.max": "500000\n",
                f"{GROUP}/memory.current": "450000\n",
                f"{GROUP}/memory.stat": "anon 1\ninactive_file 100000\nactive_file 7\n",
            },
            8,
            150_000,
        ),
    ],
)
@pytest.mark.parametrize("affinity", [True, False])
def test_the_limits_of_a_container_or_service_count(
    files: Mapping[str, str],
    cores: int,
    free: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    affinity: bool,
) -> None:
    if affinity:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    else:  # as on macOS
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    assert usable_cores(tmp_path) == cores
    assert free_memory(tmp_path) == (free if "proc/meminfo" in files else None)


async def test_where_processes_cannot_be_watched_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")  # as on macOS

    with pytest.raises(MachineError, match="on Linux only"):
        await ProcessExtractor(ExtractRules(processes=1)).start()
