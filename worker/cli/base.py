"""What all commands share: the common options, printing, a clean stop on signals, and usable standard streams."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TextIO, TypeVar

import click

from worker.errors import UsageError
from worker.models.base import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from worker.config.schema import Settings


P = ParamSpec("P")
R = TypeVar("R")

SILENT: Final = -2
"""The verbosity of `-qq`: the human-readable result is not printed either."""
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
"""The exit status after Ctrl-C, as shells report it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The common options of one invocation; `verbosity` is the number of -v minus the number of -q."""

    config: Path | None = None
    as_json: bool = False
    verbosity: int = 0

    def combined_with(self, outer: CommonOptions) -> CommonOptions:
        """Return these options combined with `outer`, those given before the command's name.

        `--config` given here wins; the verbosities add up.
        """
        return CommonOptions(
            config=self.config or outer.config,
            as_json=self.as_json or outer.as_json,
            verbosity=self.verbosity + outer.verbosity,
        )

    def config_file(self) -> Path:
        """Return the configuration file that is named or found; raises ConfigurationError if there is none."""
        from worker.config.load import require_config

        return self.config or require_config(os.environ)

    def found_config(self) -> Path | None:
        """Return the configuration file that is named or found, None if there is none."""
        from worker.config.load import find_config

        return self.config or find_config(os.environ)

    def settings(self, *, needs_file: bool = True) -> Settings:
        """Load the configuration file and the environment; raises ConfigurationError.

        A command that needs no file uses the one that is found if there is one, else the defaults.
        """
        from worker.config.load import load_settings

        found = self.config_file() if needs_file else self.found_config()
        return load_settings(found or Path(os.devnull), os.environ)

    def require_safe_output(self, settings: Settings, output: Path) -> None:
        """Refuse to write a result over the configuration, the store or the seed corpus; raises UsageError."""
        from worker.storage.db.sqlite_files import is_store_file

        if is_store_file(settings.store.url, output):
            raise UsageError(f"{output}: is a part of the store itself; name another file")
        whole = output.absolute()
        if any(Path(each).absolute() in {whole, *whole.parents} for each in settings.seeds.path):
            raise UsageError(f"{output}: is in the seed corpus ([seeds] path), which is imported; name another place")
        with contextlib.suppress(OSError):
            if output.samefile(self.config_file()):
                raise UsageError(f"{output}: is the configuration; name another file")

    def set_up_logs(self, form: str = "auto", *, quietly: bool = False) -> None:
        """Send logs to standard error in the format `form`, at the level that -v and -q select.

        `quietly` raises that level by one step, for commands that show their progress themselves.
        """
        from worker import logs

        steps = (10, 20, 30, 40, 50)  # DEBUG to CRITICAL; INFO without -v or -q
        index = (2 if quietly else 1) - self.verbosity
        logs.configure(level=steps[max(0, min(index, len(steps) - 1))], form=form)


_OPTIONS: Final = (
    click.option("-c", "--config", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file."),
    click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result."),
    click.option("-v", "--verbose", count=True, help="Log more."),
    click.option("-q", "--quiet", count=True, help="Log less."),
    click.version_option(None, "-V", "--version", package_name="corpus-worker", message="corpus-worker %(version)s"),
)


def options(command: Callable[..., R]) -> Callable[..., R]:
    """Decorate a command or group with the common options, which it receives as one `CommonOptions`.

    They may be given before or after the name of each group and command: the outer ones are combined with these.
    """

    @click.pass_context
    @functools.wraps(command)
    def with_common(
        context: click.Context, /, config: Path | None, as_json: bool, verbose: int, quiet: int, **rest: object
    ) -> R:
        given = CommonOptions(config=config, as_json=as_json, verbosity=verbose - quiet)
        context.obj = given.combined_with(context.obj or CommonOptions())
        return command(context.obj, **rest)

    decorated: Callable[..., R] = with_common
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def examples(*commands: str) -> str:
    """Return the end of a command's help: lines to copy, each without the name of the program."""
    heading = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  corpus-worker {command}" for command in commands)])


# Standard input as a target.

_HEAD_BYTES: Final = 65_536  # what the kind of a content is found by


@contextlib.contextmanager
def spooled_input() -> Iterator[Path]:
    """Yield a file with what standard input holds, its ending that of the kind found; it is deleted afterwards.

    Raises UsageError if nothing comes, or something else than addresses, JSON Lines, a page, a text or an archive.
    """
    import shutil
    import tempfile

    from worker.files.atomic import private_folder
    from worker.sources.files.inputs import STANDARD_INPUT

    if sys.stdin.isatty():
        print_note("corpus-worker: reading from the terminal; Ctrl-D ends the input")
    head = sys.stdin.buffer.read(_HEAD_BYTES)
    with private_folder(Path(tempfile.gettempdir())) as folder:
        path = folder / f"{STANDARD_INPUT}{_ending_of(head)}"
        with path.open("xb") as file:
            file.write(head)
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _ending_of(head: bytes) -> str:
    """Return the ending of a file with this content; raises UsageError for one that cannot be read."""
    from worker.sources.content import ContentKind, sniff_content

    endings = {
        ContentKind.HTML: ".html",
        ContentKind.XML: ".html",
        ContentKind.JSON: ".jsonl",
        ContentKind.URLS: ".txt",
        ContentKind.TEXT: ".txt",
        ContentKind.WARC: ".warc",
    }
    kind, compressed = sniff_content(head), head.startswith(b"\x1f\x8b")
    if kind not in endings or (compressed and kind is not ContentKind.WARC):
        found = f"{kind.value}, compressed" if compressed else kind.value
        raise UsageError(f"standard input: found {found}; expected addresses (one a line), JSON Lines or a page")
    return endings[kind] + (".gz" if compressed else "")


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_time(when: datetime | None) -> str | None:
    """Return a time as it is written in JSON, None for an unknown one."""
    return when.isoformat() if when else None


def print_json(value: object) -> None:
    """Print a value as one line of JSON, control characters escaped.

    Bytes of a file name that are not UTF-8 are escaped: readers of JSON refuse what Python has for them.
    """
    from worker.logs import escape_json

    written = json.dumps(value, ensure_ascii=False, default=str)
    click.echo(escape_json(_SURROGATE.sub(lambda match: f"\\\\x{ord(match[0]) & 0xFF:02x}", written)))


def print_note(line: str) -> None:
    """Write a line to standard error, control characters escaped; errors of the stream are ignored."""
    from worker.logs import escape

    with contextlib.suppress(OSError):
        click.echo(escape(line), err=True)


# Running asynchronous work until it ends or a signal requests a clean stop.


T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    """Run `work`, and cancel it on SIGINT or SIGTERM; return its result and the signal's number, 0 without a signal.

    A cancelled `work` returns its partial result. A second signal ends the process immediately, which is safe: the
    store relies on leases and transactions, not on a clean end.
    """
    import asyncio

    return asyncio.run(_until_signal(work))


async def _until_signal(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
    """Do what `run_until_signal` describes, inside a running event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work())
    received: list[int] = []

    def stop(number: int) -> None:
        if received:  # the second signal: end without cleaning up
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task, received[0] if received else 0
    except asyncio.CancelledError:
        if not received:
            raise
        raise SystemExit(128 + received[0]) from None  # `work` had no partial result to return
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


# Work on threads of a library, which ends with the process: nothing of it lasts before its last step.


def end_now() -> None:
    """End the process as interrupted, whatever it is doing: libraries that are being imported catch any exception."""
    os._exit(EXIT_INTERRUPTED)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible(end: Callable[[], None] = _interrupt) -> Iterator[threading.Event]:
    """Say at once that Ctrl-C was pressed during the block, and call `end`; the event says so to other threads.

    Another one is ignored then. So is the first one where the process was started so, as a script's jobs are.
    """
    said = threading.Event()

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        said.set()
        with suppress(OSError):
            os.write(2, b"corpus-worker: interrupted; nothing was written\n")  # the stream may be in use just now
        end()

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield said
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def end_at_once(*, applies: bool) -> Iterator[None]:
    """End the process when a signal interrupts the block, without the steps of Python's own end.

    A library's threads still run our functions then, and would abort the process.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as exc:
        if not applies:
            raise
        os._exit(exc.code if isinstance(exc, SystemExit) and isinstance(exc.code, int) else EXIT_INTERRUPTED)


# Standard streams may be closed, full, or in an encoding that lacks characters; no command fails because of that.


class ClosedStream(io.TextIOWrapper):
    """A replacement for a stream that was closed when the program started; its output is discarded."""


def repair_streams() -> None:
    """Replace closed standard streams, and make the output streams accept every character.

    Without this, the next file to be opened would get the closed stream's number (it may be the store), and would
    receive what a library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(number):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is `number`
            os.set_inheritable(number, True)  # noqa: FBT003 - a positional-only parameter
            file = open(number, "r+b" if number else "rb", buffering=0, closefd=False)  # noqa: SIM115
            setattr(sys, name, ClosedStream(io.BufferedWriter(file) if number else io.BufferedReader(file), "utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")  # output for other programs is UTF-8 in every locale


def _is_open(number: int) -> bool:
    """Return whether a file descriptor is open."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def discard_stdout() -> None:
    """Redirect standard output to /dev/null, so that flushing it at exit cannot fail again."""
    _redirect_to_null(sys.stdout, 1)


def flush_stderr() -> None:
    """Write what is left for standard error; if that fails, discard it, so that the exit status stays as it is."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _redirect_to_null(sys.stderr, 2)


def _redirect_to_null(stream: TextIO, number: int) -> None:
    with suppress(OSError, ValueError):
        if stream.fileno() == number:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
