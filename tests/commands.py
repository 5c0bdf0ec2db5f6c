"""Runs the command line in a folder of its own: to its end in this process, or left running in another."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import structlog

PROGRAM = ("-m", "worker")
CONFIG = """
[store]
url = "sqlite:///corpus.db"
[seeds]
path = "seeds"
[fetch]
per_host_delay = "0s"
timeout = "20s"
deadline = "60s"
[extract]
processes = 1
languages = []
[schedule]
every = "2s"
min_every = "1s"
max_every = "5s"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def record(self) -> dict[str, Any]:
        """Return the JSON object on the last line of standard output."""
        value: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return value

    def records(self) -> list[dict[str, Any]]:
        """Return the JSON objects on standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True, kw_only=True)
class Desk:
    """A folder with a configuration, and the commands run in it."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = PROGRAM
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def configure(self, text: str = "", *, base: str = CONFIG) -> None:
        """Write worker.toml: the base, and what is added."""
        (self.folder / "worker.toml").write_text(base + text, encoding="utf-8")

    def run(self, *words: str) -> Ended:
        """Run a command to its end; the program itself runs in this process, which is quicker than one of its own."""
        if self.program == PROGRAM:
            return self._run_here(words)
        done = subprocess.run(
            self._command(words),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Ended(status=done.returncode, out=done.stdout, err=done.stderr)

    def _run_here(self, words: tuple[str, ...]) -> Ended:
        from worker.cli import main

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with ExitStack() as during:
            during.enter_context(chdir(self.folder))
            during.enter_context(patch.dict(os.environ, self.environment))
            during.enter_context(patch.object(sys, "argv", ["corpus-worker", *words, "--config", "worker.toml"]))
            during.enter_context(redirect_stdout(out))
            during.enter_context(redirect_stderr(err))
            during.callback(structlog.reset_defaults)
            ended = during.enter_context(pytest.raises(SystemExit))
            main()
        return Ended(status=int(ended.value.code or 0), out=_written(out), err=_written(err))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and leave it running, its log in `log.txt`."""
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                self._command(words),
                cwd=self.folder,
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end_all(self) -> None:
        """Kill what was started and still runs, after a test that failed."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def log(self) -> str:
        """Return what the started commands logged so far."""
        return (self.folder / "log.txt").read_text(encoding="utf-8")

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, *self.program, *words, "--config", "worker.toml"]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM, *, within: float = 300) -> Ended:
    """Send a signal to a process that was started, and wait for its end."""
    process.send_signal(number)
    out, _ = process.communicate(timeout=within)
    return Ended(status=process.returncode, out=out, err="")
