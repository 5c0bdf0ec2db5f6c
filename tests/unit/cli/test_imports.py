"""What commands import: a command that only looks starts without what only work needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.storage.factories import PARAMETERS, take_in
from worker.storage.store import open_store

RUN = """
import json, sys
from contextlib import suppress
with suppress(SystemExit):
    {}
at_once = [name for name, each in sys.modules.items() if name.startswith("worker.") and vars(each).get("dataclass") is
           __import__("dataclasses").dataclass]
sys.stderr.write(json.dumps([sorted(sys.modules), at_once]))
"""
COMMAND = "from worker.cli import main; sys.argv = ['corpus-worker', *{}]; main()"
WORK = "import worker.app, worker.runs.ingest; from worker.dedupe.fingerprint import fingerprint; fingerprint('a b')"
EXTRACTION = {"trafilatura", "htmldate"}  # only in worker processes
DATABASE = {"sqlalchemy", "zstandard"}
SERVER = {"sqlalchemy.dialects.postgresql", "psycopg"}  # for a store on PostgreSQL
NETWORK = {"httpx", "httpcore", "lxml", "feedparser", "apscheduler", "starlette", "uvicorn"}
LATE = {"alembic", "scipy", "datasketch", "pandas", "pyarrow"}  # each loads what hardly any command needs
TO_WORK = {"numpy", "structlog", "tld", "tomlkit"} | SERVER | NETWORK | LATE | EXTRACTION


def imported_by(folder: Path, code: str) -> tuple[set[str], list[str]]:
    """Return what is imported, and the modules of ours whose dataclasses get their methods while they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(code)], cwd=folder, capture_output=True, text=True, check=True
    )
    imported, at_once = json.loads(done.stderr.splitlines()[-1])
    return set(imported), at_once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("imports")
    (made / "worker.toml").write_text('[store]\nurl = "sqlite:///corpus.db"\n[seeds]\npath = ""\n', encoding="utf-8")
    store = open_store(f"sqlite:///{made / 'corpus.db'}", parameters=PARAMETERS)
    take_in(store, "https://bao.example/1", "mưa ở Huế")
    store.close()
    return made


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (COMMAND.format(["--help"]), {"pydantic", "rich", "asyncio"} | DATABASE | TO_WORK),
        (COMMAND.format(["-c", "worker.toml", "status"]), TO_WORK),
        (COMMAND.format(["-c", "worker.toml", "search", "mưa"]), TO_WORK),
        (COMMAND.format(["-c", "worker.toml", "why", "1"]), TO_WORK),
        (WORK, LATE | EXTRACTION | {"tomlkit", "starlette", "uvicorn"}),
    ],
    ids=["help", "status", "search", "why", "work"],
)
def test_no_command_imports_what_it_does_not_need(folder: Path, code: str, unwanted: set[str]) -> None:
    imported, at_once = imported_by(folder, code)

    assert imported & unwanted == set()
    assert at_once == [], "import `dataclass` from worker.models.base"


def test_an_interrupt_while_modules_are_imported_is_no_traceback(folder: Path) -> None:
    code = """
import builtins, sys
loaded = builtins.__import__
def interrupted(name, *rest):
    if name == "click":
        raise KeyboardInterrupt
    return loaded(name, *rest)
builtins.__import__ = interrupted
import worker.cli
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "")


def test_an_extraction_process_starts_before_most_of_the_program_is_imported(folder: Path) -> None:
    code = """
import asyncio, sys
async def refused(*words, **options):
    print("worker.app" in sys.modules, "sqlalchemy" in sys.modules, "httpx" in sys.modules)
    raise OSError
asyncio.create_subprocess_exec = refused
sys.argv = ["corpus-worker", "-c", "worker.toml", "-qq", "ingest", "http://127.0.0.1:9/page.html"]
from worker.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[0] == "False False False", done.stderr
