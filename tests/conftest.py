"""What every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.commands import Desk, Ended, Run

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's own overrides and proxies out of every test."""
    for name in list(os.environ):
        if (name.startswith("CORPUS_WORKER_") and "__" in name) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """Give the folder of real pages, feeds and pairs; it is not part of the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data in ../shared, which is not part of the project")
    yield SHARED


@pytest.fixture
def here(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command at the desk in this process: quicker than one of its own."""
    from worker.cli import main

    def run(*words: str) -> Ended:
        monkeypatch.chdir(desk.folder)
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["corpus-worker", *words, "--config", "worker.toml"])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Ended(status=int(ended.value.code or 0), out=told.out, err=told.err)

    yield run
    structlog.reset_defaults()
