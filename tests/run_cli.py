"""Runs commands that only look or tidy up inside the test's own process: a tenth of the time of one of their own."""

from __future__ import annotations

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from tests.commands import Ended


def run_inside(folder: Path, *words: str, config: str = "worker.toml") -> Ended:
    """Run a command in a folder as `corpus-worker` would; an empty `config`: without naming a configuration."""
    from worker.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
    command = ["corpus-worker", *words, *(["--config", config] if config else [])]
    status = 0
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", command):
        try:
            main()
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    return Ended(status=status, out=_written(out), err=_written(err))


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
