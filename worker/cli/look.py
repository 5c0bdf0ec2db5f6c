"""The commands that look: `audit`, `why`, `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import MappingProxyType
from typing import Final

import click

from worker.cli.common import Common, note, options, print_json
from worker.cli.streams import Discarded
from worker.errors import UsageError

_NEEDS_A_PLACE: Final = MappingProxyType(
    {
        "text": "goes into a folder; name a new or empty one with --output DIR",
        "parquet": "goes into a file; name one with --output FILE",
    }
)


@click.command()
@options
def audit(common: Common) -> None:
    """Check that the books balance: every candidate in one state, every article with its index rows."""
    from worker.cli.show import books_lines, books_record
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_reading(settings) as store:
        books = store.reader.audit()
    if common.as_json:
        print_json(books_record(books))
    else:
        books_lines(books)
    raise SystemExit(0 if books.balanced else 1)


@click.command()
@click.argument("url_or_id", metavar="URL-or-ID")
@options
def why(common: Common, url_or_id: str) -> None:
    """Tell one article's whole history: discovered where, fetched when, decided what and against which article."""
    from worker.cli.history import as_record, show, tell
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_reading(settings) as store:
        told = tell(store.reader, url_or_id)
    if common.as_json:
        print_json(as_record(told))
    else:
        show(told)


@click.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "text", "parquet"]), default="jsonl", show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File, or new folder for text; default for jsonl: stdout."
)
@options
def export(common: Common, form: str, output: Path | None) -> None:
    """Write the corpus out, one text a cluster, ordered by id."""
    from worker.export import FORMATS
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if output is None and form in _NEEDS_A_PLACE:
        raise UsageError(f"{form} {_NEEDS_A_PLACE[form]}")
    if isinstance(sys.stdout, Discarded) and output in {None, Path("-"), Path("/dev/stdout")}:
        raise UsageError("standard output is closed; name a file with --output FILE")
    if output:
        common.require_foreign(settings, output)
    with open_reading(settings) as store:
        count = FORMATS[form](store.reader.heads(), None if output == Path("-") else output)
    if output and common.as_json:
        print_json({"exported": count, "format": form, "output": str(output)})
    elif output and common.loudness >= 0:
        note(f"{count} texts written to {output}")
