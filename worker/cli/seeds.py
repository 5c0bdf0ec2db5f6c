"""The commands of the seed corpus: `seeds import`, `seeds list` and `seeds remove`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import (
    SILENT,
    CommonOptions,
    examples,
    json_time,
    options,
    print_json,
    print_note,
    run_until_signal,
)
from worker.errors import NotFoundError, UsageError
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.models import Article
    from worker.pipeline.prepare_seeds import SeedPreview
    from worker.pipeline.seeds import SeedReport
    from worker.storage.seeds.removal import RemovedSeeds, SeedPlaces
    from worker.storage.store import Store

_SHOWN_ROWS: Final = 3  # of a dry run, as the command's help says
_SHOWN_NAMES: Final = 5  # of seed files in a message: enough to see what they look like
_SHOWN_LENGTH: Final = 200  # characters of a text in a dry run: about two lines of a wide terminal


@click.group()
@options
def seeds(common: CommonOptions) -> None:
    """Manage the seed corpus."""


@seeds.command("import", epilog=examples("seeds import", "seeds import --dry-run texts.parquet"))
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would come, with three rows; store nothing.")
@options
def import_seeds(common: CommonOptions, paths: tuple[str, ...], dry_run: bool) -> None:
    """Import the seed corpus, or the seeds at PATH.

    A PATH is a file, a folder or a glob: text files, JSON Lines, CSV, Parquet, Arrow, WARC. Sub-folders are included;
    what was imported before is skipped. The sub-folder `sample` holds the texts of the demonstration and is skipped;
    name it as PATH to import it.
    """
    if "-" in paths:
        raise UsageError("-: a seed is known by its file; save them to a file, and import that")
    settings = common.settings()
    if not (paths or settings.seeds.path):
        raise UsageError("no seeds are configured: name a PATH, or set [seeds] path")
    if dry_run:
        common.set_up_logs(settings.log.format, quietly=True)
        _print_preview(common, _preview(settings, paths))
        return
    report, stopped_by = _import(common, settings, paths)
    if common.as_json:
        counts = {name: getattr(report, name) for name in ("found", "imported", "known", "copies", "refused")}
        files = {"files_read": report.files, "files_unchanged": report.unchanged}
        print_json({**counts, **files, "problems": list(report.problems)})
    elif common.verbosity > SILENT:
        click.echo(_summary(report))
    for note in report.notes:
        print_note(f"corpus-worker: {note}")
    if not report.found and not report.problems:
        print_note(f"corpus-worker: {_no_seeds_message(paths or settings.seeds.path)}")
    if stopped_by:
        raise SystemExit(128 + stopped_by)
    raise SystemExit(0 if report.found else 1)


def _import(common: CommonOptions, settings: Settings, paths: tuple[str, ...]) -> tuple[SeedReport, int]:
    """Import the seeds with a progress bar on a terminal; return the report, and the number of a signal."""
    from worker.app import open_app
    from worker.cli.render.progress import ProgressBar, SeedBar

    bar = SeedBar(shown=sys.stderr.isatty() and common.verbosity >= 0)
    common.set_up_logs(settings.log.format, quietly=bar.shown)

    async def work() -> SeedReport:
        async with open_app(settings, ProgressBar(shown=False), command="seeds") as app:
            return await app.import_seeds(paths, bar.update)

    with bar:
        return run_until_signal(work)


def _summary(report: SeedReport) -> str:
    copies = f" ({counted(report.copies, 'copy')} of other texts, linked)" if report.copies else ""
    refused = f", {report.refused:,} without an article" if report.refused else ""
    found = counted(report.found, "seed")
    return f"{found} found: {report.imported:,} imported{copies}, {report.known:,} known already{refused}"


def _no_seeds_message(paths: tuple[str, ...]) -> str:
    """Return what to do if there are no seeds, and whether sample texts were skipped."""
    from worker.sources.files.seeds import FORMS, SAMPLE, sample_size

    left_out = [
        f"; the {sample} of the demonstration in {Path(path) / SAMPLE} are left out unless named"
        for path in paths
        if (sample := sample_size(Path(path)))
    ]
    forms = ", ".join(FORMS)
    return f"{', '.join(paths)}: no seed in it; seeds are files of these kinds: {forms}{''.join(left_out)}"


def _preview(settings: Settings, paths: tuple[str, ...]) -> SeedPreview:
    """Return what an import would find."""
    from worker.app import seed_options
    from worker.clock import SystemClock
    from worker.dedupe.judge import Deduper
    from worker.pipeline.prepare_seeds import make_reader, preview_seeds

    chosen = seed_options(settings)
    reader = make_reader(chosen, SystemClock().now(), Deduper().parameters)
    return preview_seeds(paths or settings.seeds.path, reader, clean=chosen.clean, shown=_SHOWN_ROWS)


def _print_preview(common: CommonOptions, preview: SeedPreview) -> None:
    if common.as_json:
        rows = [_row_record(article) for article in preview.articles]
        print_json({"dry_run": True, "files": dict(preview.files), "rows": rows, "problems": list(preview.problems)})
    else:
        for name, count in preview.files.items():
            click.echo(f"{name}: {'an unknown number of' if count is None else f'about {count:,}'} rows")
        for article in preview.articles:
            click.echo("".join(f"\n  {name:<13} {value}" for name, value in _row_record(article).items()))
        for problem in preview.problems:
            print_note(problem)
        click.echo("nothing was stored (--dry-run)")
    raise SystemExit(0 if preview.articles else 1)


def _row_record(article: Article) -> dict[str, object]:
    """Return the fields of a row as values to print; the text is shortened."""
    shown = article.text.replace("\n", " ")
    return {
        "url": article.url,
        "title": article.title,
        "published_at": json_time(article.published_at),
        "id": article.external_id,
        "language": article.language,
        "words": article.words,
        "text": shown if len(shown) <= _SHOWN_LENGTH else f"{shown[:_SHOWN_LENGTH]}…",
    }


@seeds.command("list", epilog=examples("seeds list"))
@options
def list_seeds(common: CommonOptions) -> None:
    """List the seed files in the store.

    Each file with its rows, the seeds imported from it, and how many of its rows are copies of other texts; the text
    files of a folder are one line.
    """
    from worker.cli.render.tables import print_seed_files
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        files = store.seeds.count_files()
    if common.as_json:
        names = ("name", "rows", "imported", "copies", "refused")
        print_json([{**{name: getattr(each, name) for name in names}, "finished": each.finished} for each in files])
    else:
        print_seed_files(files)


@seeds.command("remove", epilog=examples("seeds remove seeds/old.jsonl"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-n", "--dry-run", is_flag=True, help="Count what would be removed; remove nothing.")
@options
def remove_seeds(common: CommonOptions, names: tuple[str, ...], dry_run: bool) -> None:
    """Remove seeds from the corpus for good.

    NAME is a file or folder as `seeds list` shows it, one text file of a folder, or a pattern with * of these. Articles
    that were copies of a removed seed are judged again, and exported where nothing else has their text.
    """
    from worker.dedupe.judge import Deduper
    from worker.storage.store import open_store

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_store(settings.store.url, parameters=Deduper().parameters, create=False) as store:
        known, places = _known_names(store), [_find(store, name) for name in names]
        removed = sum_of(_removed(store, settings, places, dry_run=dry_run))
    if common.as_json:
        print_json({"names": list(names), "dry_run": dry_run, **asdict(removed)})
    elif common.verbosity > SILENT:
        verb = "would be removed" if dry_run else "removed"
        again = f", {counted(removed.judged, 'other')} judged again" if removed.judged else ""
        click.echo(f"{counted(removed.places, 'seed')} {verb}: {counted(removed.articles, 'article')} less{again}")
    if removed.places and not dry_run:
        _warn_of_return(settings, names)
    unknown = [name for name, found in zip(names, places, strict=True) if not (found.files or found.texts)]
    if unknown:
        raise NotFoundError("\n".join(f"{name}: no seed of that name is in the store; {known}" for name in unknown))


def _known_names(store: Store) -> str:
    """Return the first names that `seeds list` shows, for a message."""
    files = [each.name for each in store.seeds.count_files()]
    more = f" and {len(files) - _SHOWN_NAMES:,} more, as `corpus-worker seeds list` lists them"
    shown = ", ".join(files[:_SHOWN_NAMES]) + (more if len(files) > _SHOWN_NAMES else "")
    return f"there are {shown}" if files else "there is none"


def _find(store: Store, name: str) -> SeedPlaces:
    """Return the seeds that a name means; of an unknown folder those of older versions with the texts of its files."""
    from worker.sources.files.seed_rows import shown_name
    from worker.sources.files.seeds import ending_of

    for written in dict.fromkeys((name, shown_name(Path(name)))):
        found = store.seed_removal.find(written)
        if found.files or found.texts:
            return found
    path = Path(name)
    texts = [each for each in sorted(path.rglob("*")) if each.is_file() and ending_of(each.name) == ".txt"]
    return store.seed_removal.find_former([hashlib.sha256(each.read_bytes()).hexdigest() for each in texts])


def _removed(store: Store, settings: Settings, places: list[SeedPlaces], *, dry_run: bool) -> Iterator[RemovedSeeds]:
    """Yield what each step removes, or would remove."""
    from worker.clock import SystemClock
    from worker.dedupe.judge import Deduper

    judge = Deduper(settings.dedupe, store.reader.weights()).judge
    for each in places:
        if dry_run:
            yield store.seed_removal.count(each)
        else:
            yield from store.seed_removal.steps(each, judge, now=SystemClock().now())


def sum_of(steps: Iterator[RemovedSeeds]) -> RemovedSeeds:
    """Return the sum of the steps of a removal."""
    from worker.storage.seeds.removal import RemovedSeeds

    return sum(steps, RemovedSeeds())


def _warn_of_return(settings: Settings, names: tuple[str, ...]) -> None:
    """Say that removed seeds come back at the next import, if their files are still configured."""
    from worker.sources.files.article_files import InputProblem
    from worker.sources.files.seeds import find_seed_files

    found = [each for each in find_seed_files(settings.seeds.path) if not isinstance(each, InputProblem)]
    removed = {Path(name) for name in names}
    back = sorted(each.name for each in found if removed & {Path(each.name), *Path(each.name).parents})
    if back:
        print_note(f"corpus-worker: {', '.join(back[:3])}: still in [seeds] path, so the next run imports it again")
