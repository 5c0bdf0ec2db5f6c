"""The commands that hand the corpus on: `export` writes it in a format, `release` as a data set to publish."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from worker.cli.base import ClosedStream, CommonOptions, examples, options, print_json, print_note
from worker.errors import UsageError
from worker.export.columns import NAMED_FILTERS, TextFilter, read_filter, require_text
from worker.export.formats import FORMATS, format_of, require_output, write_export
from worker.export.outputs import local_path, shown_output
from worker.export.signals import quality_columns, without_personal_data
from worker.models import Kind
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.extract.quality import LanguageDetector

R = TypeVar("R")

_SPLIT: Final = re.compile(r"[A-Za-z0-9_]+")  # the names of splits that `datasets` accepts
_COUNT: Final = click.IntRange(0, 2**31 - 1)  # the numbers that the store's column for words can hold
_FILTERS: Final = (
    click.option("--to", "until", metavar="TIME", help="Texts dated up to the end of this day, or before this time."),
    click.option("--source", "sources", multiple=True, metavar="NAME", help="Texts of this source (repeatable)."),
    click.option("--language", "languages", multiple=True, metavar="CODE", help="Texts in this language (repeatable)."),
    click.option("--kind", "kinds", multiple=True, type=click.Choice([*map(str, Kind)]), help="Texts of this kind."),
    click.option("--min-words", type=_COUNT, default=0, metavar="N", help="Texts of at least N words."),
    click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Texts with this value; also !=, >=, <=."),
    click.option("--filter", "named_filters", multiple=True, type=click.Choice([*NAMED_FILTERS]),
                 help="Texts that meet the thresholds of this filter."),
    click.option("--quality", is_flag=True, help="Also write the columns of quality signals."),
    click.option("--mask-pii", is_flag=True, help="Mask e-mail addresses, phone numbers and ID numbers."),
)  # fmt: skip


def _filters(*from_names: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return a decorator that adds the filters to a command, which receives them as the keywords of `read_filter`.

    `from_names` are the names of the option for the earliest time.
    """
    earliest = click.option(*from_names, "since", metavar="TIME", help="Texts dated from this day or time on.")

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        for option in reversed((earliest, *_FILTERS)):
            command = option(command)
        return command

    return decorate


def _read_filter(given: dict[str, Any], *, copies: bool = False) -> TextFilter:
    """Return the filter that the options state; the language model is loaded if a text is measured with it."""
    change = without_personal_data if given["mask_pii"] else None
    return read_filter(given, copies=copies, quality=quality_columns(_language_score), change=change)


def _language_score(text: str, language: str) -> float:
    return _detector().probability(text, language)


@cache
def _detector() -> LanguageDetector:
    from worker.extract.quality import LanguageDetector

    return LanguageDetector()


@click.command(
    epilog=examples(
        "export --output corpus.jsonl",
        "export --format text --output texts/",
        "export --source example --from 2026-01-01",
    )
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(list(FORMATS)),
    help="The output format [default: by the ending of the output's name, else jsonl].",
)
@click.option(
    "-o", "--output", metavar="PATH", help="File, URL, or new folder for text (jsonl, csv, warc: default stdout)."
)
@click.option("--copies", is_flag=True, help="Also write the texts that are not exported, as copies of one that is.")
@_filters("--from", "--since")
@options
def export(common: CommonOptions, output_format: str | None, output: str | None, *, copies: bool, **given: Any) -> None:
    """Export the corpus, one text for each cluster of copies.

    Texts are ordered by id. A file, a folder or a remote object is written completely or not at all. A name that ends
    in .gz or .zst is compressed.
    """
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    wanted = _read_filter(given, copies=copies)
    output_format = output_format or format_of(output or "")
    require_output(output_format, output)
    if output_format == "warc" and given["mask_pii"]:
        raise UsageError("warc holds pages as they were fetched, so nothing can be masked; leave out --mask-pii")
    to_stdout = output is None or output in {"-", "/dev/stdout"}
    if isinstance(sys.stdout, ClosedStream) and to_stdout:
        raise UsageError("standard output is closed; name a file with --output FILE")
    if output and (path := local_path(output)):
        common.require_safe_output(settings, path)
    with open_read_only(settings) as store, store.reader.snapshot() as corpus:
        form = FORMATS[output_format]
        items = form.items_of(corpus, wanted.apply(corpus.texts(wanted.selection)))
        count = write_export(output_format, items, wanted.columns, output)
    if not count:
        known = {source.name for source in settings.sources}
        unknown = [name for name in given["sources"] if name not in known]
        why = f"; no source is called {', '.join(unknown)}" if unknown else ""
        print_note(f"corpus-worker: no text of the corpus meets the filters, so nothing was exported{why}")
    if output and common.as_json and not to_stdout:  # else the export itself is the result on standard output
        print_json({"exported": count, "format": output_format, "output": shown_output(output)})
    elif output and common.verbosity >= 0:
        print_note(f"{counted(count, form.noun)} written to {shown_output(output)}")


@click.command(epilog=examples("release corpus-2026-11", "release corpus-2026-12 --since corpus-2026-11"))
@click.argument("output", metavar="DIR")
@click.option(
    "--since",
    "previous",
    metavar="PREVIOUS",
    type=click.Path(path_type=Path),
    help="An earlier release: the difference to it is written as well, to DIR/delta.",
)
@click.option("--split", default="train", show_default=True, metavar="NAME", help="The name of the split.")
@click.option("--shard-size", default="500MB", show_default=True, metavar="SIZE", help="Size at which a file ends.")
@click.option("--title", default="A corpus of news articles", show_default=True, help="The title of the card.")
@_filters("--from")
@options
def release(
    common: CommonOptions,
    output: str,
    previous: Path | None,
    split: str,
    shard_size: str,
    title: str,
    **given: Any,
) -> None:
    """Write the corpus as a data set to publish.

    DIR, a new or empty folder, gets Parquet files, a card (README.md) and a manifest. The same store and options give
    the same bytes.
    """
    from worker.config.types import parse_size
    from worker.export.release import ReleaseOptions, write_release
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    folder = local_path(output)
    if folder is None:
        where = shown_output(output)
        raise UsageError(f"{where}: a release is written to a folder of this machine; name one, and upload that")
    common.require_safe_output(settings, folder)
    wanted = _read_filter(given)
    if not _SPLIT.fullmatch(split):
        raise UsageError(f"--split {split}: use letters, digits and _ only")
    try:
        shard_bytes = max(1, parse_size(shard_size))
    except ValueError as exc:
        raise UsageError(f"--shard-size {shard_size}: not {exc}") from None
    chosen = ReleaseOptions(
        columns=wanted.columns,
        split=split,
        shard_bytes=shard_bytes,
        title=require_text(title),
        since=previous,
        filters=wanted.written,
        configuration=_configuration(settings),
    )
    with open_read_only(settings) as store, store.reader.snapshot() as corpus:
        manifest = write_release(folder, corpus, wanted.apply(corpus.texts(wanted.selection)), chosen)
    _report(common, folder, manifest)


def _configuration(settings: Settings) -> dict[str, object]:
    """Return the settings that decide which texts are in the corpus, for the manifest and the card."""
    return {
        "fetch.user_agent": settings.fetch.user_agent,
        "fetch.obey_robots": settings.fetch.obey_robots,
        "rights.purpose": settings.rights.purpose,
        "rights.refuse": list(settings.rights.refused),
        "extract.languages": list(settings.extract.languages),
        "extract.min_words": settings.extract.min_words,
        "dedupe.merge_at": settings.dedupe.merge_at,
        "dedupe.keep": settings.dedupe.keep,
    }


def _report(common: CommonOptions, folder: Path, manifest: dict[str, Any]) -> None:
    """Print what was written."""
    delta = manifest["delta"]
    files = sum(name.startswith("data/") for name in manifest["files"])
    if common.as_json:
        counts = {name: delta[name] for name in ("new", "changed", "removed")} if delta else {}
        print_json({"released": manifest["texts"], "output": str(folder), "files": files, **counts})
    elif common.verbosity >= 0:
        print_note(f"{counted(manifest['texts'], 'text')} written to {folder} in {counted(files, 'file')}")
        if delta:
            print_note(
                f"since the earlier release: {delta['new']} new, {delta['changed']} changed, {delta['removed']} removed"
            )
