"""Seed folders: which files are read, which are skipped, and the sample of the demonstration."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from worker.models import Seed
from worker.sources.files.inputs import SAMPLE, SAMPLE_DIGESTS, read_seeds, sample_size

ROOT = Path(__file__).resolve().parents[3]
NAME = "{:03}_0123456789abcdef.txt"


def put(place: Path, number: int = 1) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / NAME.format(number)
    path.write_text("Tựa\nBài", encoding="utf-8")
    return path


def read(folder: Path) -> tuple[list[str], list[str]]:
    found = list(read_seeds(folder))
    return [each.name for each in found if isinstance(each, Seed)], [each for each in found if isinstance(each, str)]


@pytest.mark.parametrize(
    ("below", "taken"),
    [
        (".", True),
        ("báo", True),
        ("báo/2024", True),
        ("samples", True),
        ("báo/sample", True),
        ("sample", False),
        ("sample/more", False),
        (".git", False),
        ("báo/.cache", False),
    ],
)
def test_sub_folders_are_read_but_not_the_sample_nor_what_is_hidden(tmp_path: Path, below: str, *, taken: bool) -> None:
    put(tmp_path / below)

    assert read(tmp_path) == ([NAME.format(1)] if taken else [], [])


def test_the_sample_is_read_where_it_is_named(tmp_path: Path) -> None:
    put(tmp_path / SAMPLE)

    assert read(tmp_path / SAMPLE) == ([NAME.format(1)], [])
    assert sample_size(tmp_path) == 1


def test_special_files_are_reported_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME.format(1))
    (tmp_path / NAME.format(2)).symlink_to(tmp_path / "nowhere")

    assert [problem.rpartition(": ")[2] for problem in read(tmp_path)[1]] == ["no ordinary file; remove it"] * 2


@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_missing_folder_gives_one_problem(tmp_path: Path, what: str) -> None:
    path = tmp_path / "seeds"
    if what == "a file":
        path.write_text("x")

    seeds, (problem,) = read(path)

    assert not seeds
    assert problem.startswith(f"{path}: cannot be read: ")
    assert problem.endswith("set [seeds] path")


def test_the_digests_of_the_sample_are_those_of_its_files() -> None:
    files = (ROOT / "seeds" / SAMPLE).glob("*.txt")

    assert {hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files} == SAMPLE_DIGESTS


def test_the_seeds_folder_of_the_project_holds_no_seed_by_itself() -> None:
    assert read(ROOT / "seeds") == ([], [])
    assert sample_size(ROOT / "seeds") == len(SAMPLE_DIGESTS)
