"""The options every command takes, and what they come to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click

from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.config.schema import Settings


P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_CONFIG: Final = Path("config/worker.toml")
SILENT: Final = -2
"""The verbosity of `-qq`: not even the result is printed for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The common options of one call; `loudness` is the count of -v less the count of -q."""

    config: Path | None = None
    as_json: bool = False
    verbosity: int = 0

    def combined_with(self, outer: CommonOptions) -> CommonOptions:
        """Return these options over those given before the command's name."""
        return CommonOptions(
            config=self.config or outer.config,
            as_json=self.as_json or outer.as_json,
            verbosity=self.verbosity + outer.verbosity,
        )

    def settings(self) -> Settings:
        """Read the configuration; raises ConfigurationError."""
        from worker.config.load import load_settings

        return load_settings(self.config or DEFAULT_CONFIG, os.environ)

    def require_safe_output(self, settings: Settings, output: Path) -> None:
        """Refuse to write a result over the configuration or a file of the store; raises UsageError."""
        from worker.storage import is_store_file

        config = self.config or DEFAULT_CONFIG
        if is_store_file(settings.store.url, output):
            raise UsageError(f"{output}: is a part of the store itself; name another file")
        with contextlib.suppress(OSError):
            if output.samefile(config):
                raise UsageError(f"{output}: is the configuration; name another file")

    def set_up_logs(self, form: str = "auto", *, quietly: bool = False) -> None:
        """Send logs to standard error as `[log] format` says; `quietly` where something else shows the progress."""
        from worker import logs

        steps = (10, 20, 30, 40, 50)
        index = (2 if quietly else 1) - self.verbosity
        logs.configure(level=steps[max(0, min(index, len(steps) - 1))], form=form)


_OPTIONS: Final = (
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file."),
    click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result."),
    click.option("-v", "--verbose", count=True, help="Log more."),
    click.option("-q", "--quiet", count=True, help="Log less."),
)


def options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the common options; it receives them as one `Common`."""

    @click.pass_context
    @functools.wraps(command)
    def with_common(
        context: click.Context, /, config: Path | None, as_json: bool, verbose: int, quiet: int, **rest: object
    ) -> R:
        given = CommonOptions(config=config, as_json=as_json, verbosity=verbose - quiet)
        return command(given.combined_with(context.obj or CommonOptions()), **rest)

    decorated: Callable[..., R] = with_common
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    from worker.logs import escape_json

    click.echo(escape_json(json.dumps(value, ensure_ascii=False, default=str)))


def print_note(line: str) -> None:
    """Write a line to standard error, what came from outside in it made visible; if nobody takes it, work goes on."""
    from worker.logs import escape

    with contextlib.suppress(OSError):
        click.echo(escape(line), err=True)


# Runs asynchronous work until it ends or a signal asks for a clean stop.


T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    """Run `work`, cancelling it at SIGINT or SIGTERM; return its result and the signal's number, 0 where none came.

    `work` returns what it has when it is cancelled. A second signal ends the process at once: leases and
    transactions make that safe, it is only less tidy.
    """
    return asyncio.run(_until_signal(work))


async def _until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work())
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task, received[0] if received else 0
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


# Standard streams that may be closed, full, or of an encoding that lacks letters: none of that breaks a command.


class ClosedStream(io.TextIOWrapper):
    """Stands for a stream that was closed when the program began: what is written to it is gone."""


def repair_streams() -> None:
    """Put something in the place of each standard stream that is closed, and let no letter be one too many.

    The next file that is opened would get a closed stream's number, and whatever a library writes there: a store too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this
            os.set_inheritable(number, True)  # noqa: FBT003 - it takes it by place alone
            file = open(number, "r+b" if number else "rb", buffering=0, closefd=False)  # noqa: SIM115
            setattr(sys, name, ClosedStream(io.BufferedWriter(file) if number else io.BufferedReader(file), "utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # what another program reads is UTF-8 whatever the locale


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def discard_stdout() -> None:
    """Write no more to standard output: what is left of it is not tried again when the program ends."""
    with suppress(OSError, ValueError):
        if sys.stdout.fileno() == 1:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
