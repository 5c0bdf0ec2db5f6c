"""The doctor checks of the machine: each shortage has a remedy."""

from __future__ import annotations

import resource
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import START
from worker.config.schema import Settings
from worker.runs.doctor import Finding, Level
from worker.runs.doctor.local import (
    check_machine,
    clock,
    cpus,
    disk,
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
