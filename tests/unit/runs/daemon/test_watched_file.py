"""A change of a file is detected, however it is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.runs.daemon.daemon import WatchedFile


def test_a_file_has_changed_at_the_first_check_and_after_a_write(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_text("a", encoding="utf-8")
    file = WatchedFile(path)

    looks = [file.changed(), file.changed()]
    path.write_text("ab", encoding="utf-8")

    assert [*looks, file.changed(), file.changed()] == [True, False, True, False]


@pytest.mark.parametrize("keep_time", [True, False])
def test_a_replaced_file_has_changed(tmp_path: Path, *, keep_time: bool) -> None:
    path, other = tmp_path / "worker.toml", tmp_path / "new"
    for each in (path, other):
        each.write_text("a", encoding="utf-8")
    file = WatchedFile(path)
    file.changed()

    if keep_time:
        os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)

    assert file.changed()


def test_a_missing_file_has_not_changed(tmp_path: Path) -> None:
    assert not WatchedFile(tmp_path / "worker.toml").changed()
    assert not WatchedFile(None).changed()


def test_a_file_that_was_missing_for_a_while_has_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "worker.toml"
    path.write_text("a", encoding="utf-8")
    file = WatchedFile(path)
    file.changed()
    path.rename(tmp_path / "away")

    away = file.changed()
    (tmp_path / "away").rename(path)

    assert (away, file.changed()) == (False, False)
