"""Commands with standard streams that are closed, full, truncated, or in another encoding."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.texts import story


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of one text, and one more to read."""
    desk = Desk(folder=tmp_path_factory.mktemp("filled"))
    desk.configure()
    for place, name in (("in", "một"), ("more", "hai")):
        (desk.folder / place).mkdir()
        (desk.folder / place / "a.txt").write_text(f"Tiêu đề {name}\n{story(name)}", encoding="utf-8")
    assert desk.run("ingest", "in").status == 0
    return desk.folder


@pytest.fixture
def folder(tmp_path: Path, filled: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "desk")


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line in which `cw` is the command."""
    whole = f'cw() {{ "{sys.executable}" -m worker "$@" --config worker.toml; }}; {line}'
    return subprocess.run(
        ["bash", "-c", whole],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},  # streams as users have them
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_works_with_closed_streams(folder: Path, closed: str) -> None:
    ended = shell(folder, f"cw ingest more {closed}")

    assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended.stderr
    assert len(Desk(folder=folder).run("export").records()) == 2
    assert Desk(folder=folder).run("audit").status == 0


@pytest.mark.parametrize(
    ("command", "where", "status"),
    [
        ("status", "2>&-", 0),
        ("config check", "2>/dev/full", 0),
        ("why 1", "<&-", 0),
        ("status", ">/dev/full", 1),
        ("export", ">/dev/full", 1),
        ("audit --json", ">/dev/full", 1),
        ("export", "| head -c 0", 0),
        ("extract more", "| true", 0),
    ],
)
def test_a_failed_write_to_standard_output_is_one_line(folder: Path, command: str, where: str, status: int) -> None:
    ended = shell(folder, f"set -o pipefail; cw {command} {where}")

    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    if status:
        assert "corpus-worker: standard output: No space left on device" in ended.stderr


@pytest.mark.parametrize("line", ["cw nonsense 2>/dev/full", "cw ingest nowhere 2>/dev/full", "cw ingest nowhere 2>&-"])
def test_an_error_keeps_its_exit_status_with_standard_error_closed(folder: Path, line: str) -> None:
    assert shell(folder, line).returncode == 2


@pytest.mark.parametrize("output", ["", "--output -"])
def test_an_export_to_nowhere_is_refused(folder: Path, output: str) -> None:
    ended = shell(folder, f"cw export {output} >&-")

    assert ended.returncode == 2
    assert "standard output is closed; name a file with --output FILE" in ended.stderr


@pytest.mark.parametrize(("command", "encoding"), [("why 1", "ascii"), ("export", "latin-1")])
def test_piped_output_is_utf_8_in_every_locale(folder: Path, command: str, encoding: str) -> None:
    ended = shell(folder, f"cw {command}", PYTHONIOENCODING=encoding)

    assert ended.returncode == 0, ended.stderr
    assert "Tiêu đề một" in ended.stdout


def test_an_undecodable_argument_is_one_line(folder: Path) -> None:
    ended = shell(folder, "cw ingest $'bi\\xff\\xfe'")

    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "neither a web address nor a file" in ended.stderr
