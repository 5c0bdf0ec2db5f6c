"""The command group, and the translation of errors into one line on standard error and an exit status.

| exit status | raised |
|---|---|
| 0 | nothing, or BrokenPipeError: the reader of our output has stopped |
| 1 | WorkerError, or an OSError from the machine (disk full, no memory) |
| 2 | UsageError, ConfigurationError, click's own usage errors |
| 130 | KeyboardInterrupt; commands that stop cleanly return 128 plus the signal's number themselves |
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Final, cast

import click

from worker.cli.base import (
    EXIT_INTERRUPTED,
    CommonOptions,
    discard_stdout,
    flush_stderr,
    options,
    print_note,
    repair_streams,
)
from worker.errors import ConfigurationError, UsageError, WorkerError

_COLLECT_AFTER: Final = 10_000
"""New objects after which the garbage collector looks at them, 700 otherwise: importing makes many and leaves none."""


SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Begin": {"init": "begin", "sources": "sources", "seeds": "seeds", "config": "begin", "doctor": "begin"},
    "Collect": {"ingest": "run", "run": "run", "backfill": "backfill"},
    "Look": {"status": "inspect", "search": "browse", "why": "inspect", "web": "browse", "extract": "inspect"},
    "Correct": {"duplicates": "duplicates", "reprocess": "maintenance", "forget": "maintenance"},
    "Take out": {"export": "export", "release": "export", "dedupe": "duplicates"},
    "Look after": {
        "audit": "inspect",
        "backup": "maintenance",
        "prune": "maintenance",
        "upgrade-store": "maintenance",
        "migrate-store": "maintenance",
    },
}
"""The commands by what a person wants to do, as `--help` lists them, each with its module in `worker.cli`."""


class _Commands(Mapping[str, click.Command]):
    """Every command by name; the module of one is imported when it is taken."""

    _modules: Final = {name: module for commands in SECTIONS.values() for name, module in commands.items()}

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"worker.cli.{self._modules[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class SectionedGroup(click.Group):
    """The program: its help lists the commands in sections."""

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of the help for each of `SECTIONS`."""
        width = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - formatter.current_indent - width - 2
                rows = [(f"{name:<{width}}", self.commands[name].get_short_help_str(limit)) for name in names]
                formatter.write_dl(rows)


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=cast("MutableMapping[str, click.Command]", _Commands()),
    epilog="`corpus-worker COMMAND --help` describes a command and shows an example.",
)
@options
def cli(common: CommonOptions) -> None:
    """Collect news articles into a text corpus, next to a seed corpus, and recognise duplicates."""


def main() -> None:
    """Run the command line and end the process with its exit status."""
    repair_streams()
    gc.set_threshold(_COLLECT_AFTER)
    atexit.register(gc.freeze)  # looking for garbage once more takes longer than the system takes to free it all
    # numpy's BLAS threads bring no speed here, and their memory is allocated when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # There are no plugins of pydantic's here, and it would read the entry points of every installed package for them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        sys.exit(_run())
    except click.ClickException as exc:
        with contextlib.suppress(OSError):
            exc.show()
        sys.exit(exc.exit_code)
    except (ConfigurationError, UsageError) as exc:
        _print_error(exc)
        sys.exit(2)
    except WorkerError as exc:
        _print_error(exc)
        sys.exit(1)
    except BrokenPipeError:
        # The program that reads our output has stopped reading (`| head`): that is no error, at exit either.
        discard_stdout()
        sys.exit(0)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(EXIT_INTERRUPTED)
    except Exception as exc:
        if not _report_machine_error(exc) and not _report_write_error(exc):
            raise
        sys.exit(1)
    finally:
        flush_stderr()


def _report_machine_error(error: Exception) -> bool:
    """Print one line if the machine caused the error (memory, disk, file limits), and return whether it did.

    Where memory is too short even for that, write a fixed line and exit with status 1.
    """
    try:
        from worker.errors import as_machine_error

        lack = as_machine_error(error)
        if lack is not None:
            _print_error(lack)
    except (MemoryError, ImportError):
        os.write(2, b"corpus-worker: the machine has too little memory: raise the limits of this process (ulimit -v)\n")
        os._exit(1)
    return lack is not None


def _report_write_error(error: Exception) -> bool:
    """Print one line if the error is a failed write of a result, and return whether it is."""
    if not isinstance(error, OSError):
        return False
    discard_stdout()
    print_note(
        f"corpus-worker: {error.filename or 'standard output'}: {error.strerror or error}; nothing more was done"
    )
    return True


def _run() -> int:
    """Run the command and return its exit status; raises OSError if its output cannot be written, also on flush."""
    if "" in sys.argv[1:]:  # mostly a shell variable that is not set; as a path it would be the current folder
        raise UsageError("one of the arguments is empty: leave it out, or write what it stands for")
    try:
        return cli.main(prog_name="corpus-worker", standalone_mode=False) or 0
    except SystemExit:
        if not isinstance(sys.stdout, io.TextIOBase):  # click replaces stdout after a broken pipe
            raise BrokenPipeError from None
        raise
    finally:
        sys.stdout.flush()


def _print_error(error: WorkerError) -> None:
    """Print each line of an error's message on standard error, after the program's name."""
    for line in str(error).splitlines():
        print_note(f"corpus-worker: {line}")
