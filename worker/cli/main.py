"""The group of commands, and how an error becomes a line and an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Final

import click

from worker.cli.backfill import backfill
from worker.cli.base import CommonOptions, discard_stdout, print_note, repair_streams
from worker.cli.doctor import config as config_command
from worker.cli.doctor import doctor
from worker.cli.duplicates import duplicates
from worker.cli.inspect import audit, export, extract, status, why
from worker.cli.maintenance import backup, migrate_store, prune, reprocess, upgrade_store
from worker.cli.run import ingest, run, seeds
from worker.cli.sources import sources
from worker.errors import ConfigurationError, UsageError, WorkerError

_EXIT_INTERRUPTED: Final = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpus-worker", message="%(prog)s %(version)s")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result.")
@click.option("-v", "--verbose", count=True, help="Log more.")
@click.option("-q", "--quiet", count=True, help="Log less.")
@click.pass_context
def cli(context: click.Context, config: Path | None, as_json: bool, verbose: int, quiet: int) -> None:
    """Grow a text corpus from news sites, beside a seed corpus, without copies."""
    context.obj = CommonOptions(config=config, as_json=as_json, verbosity=verbose - quiet)


def main() -> None:
    """Run the command line and end the process with its exit status."""
    repair_streams()
    # Nothing here gains by numpy's threads, whose memory is taken when it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
        # Whoever read our output has seen enough; closing it again at exit must not complain either.
        discard_stdout()
        sys.exit(0)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_EXIT_INTERRUPTED)
    except Exception as exc:
        if not _report_machine_error(exc) and not _report_write_error(exc):
            raise
        sys.exit(1)


def _report_machine_error(error: Exception) -> bool:
    """Say it in one line where the machine is to blame, even where there is no memory left to say it with."""
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
    """Say it in one line where a result cannot be written, and try no more."""
    if not isinstance(error, OSError):
        return False
    discard_stdout()
    print_note(
        f"corpus-worker: {error.filename or 'standard output'}: {error.strerror or error}; nothing more was done"
    )
    return True


def _run() -> int:
    """Run the command; raises OSError where what it has printed cannot be written, also at its end."""
    try:
        return cli.main(prog_name="corpus-worker", standalone_mode=False) or 0
    except SystemExit:
        if not isinstance(sys.stdout, io.TextIOBase):  # click puts another thing there where nobody reads on
            raise BrokenPipeError from None
        raise
    finally:
        sys.stdout.flush()


def _print_error(error: WorkerError) -> None:
    for line in str(error).splitlines():
        print_note(f"corpus-worker: {line}")


for _command in (ingest, run, seeds, status, audit, why, duplicates, export):
    cli.add_command(_command)
for _command in (sources, backfill, config_command, doctor, extract, reprocess, migrate_store, backup, prune):
    cli.add_command(_command)
cli.add_command(upgrade_store)
