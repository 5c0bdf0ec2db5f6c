"""The commands that work: `ingest`, `run`, `seeds import`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.common import DEFAULT_CONFIG, SILENT, Common, note, options, print_json
from worker.cli.signals import until_signal
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.oneshot import Orders, RunReport
    from worker.pipeline import SeedReport
    from worker.settings import Settings


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="Poll only this source (repeatable).")
@click.option(
    "--as",
    "taken_as",
    type=click.Choice(["article", "feed", "sitemap", "listing"]),
    help="What a URL is; left out: told from the page.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Work on at most N candidates.")
@click.option("--dry-run", is_flag=True, help="Show what would be done; store nothing.")
@options
def ingest(
    common: Common,
    targets: tuple[str, ...],
    sources: tuple[str, ...],
    taken_as: str | None,
    limit: int | None,
    dry_run: bool,
) -> None:
    """Work once: poll every enabled source, then fetch, extract and judge until nothing is due.

    A TARGET is a URL or a path (.html, .txt, .jsonl, .warc[.gz], or a folder of these), taken instead of the configured
    sources. A URL is taken for an article unless its page is clearly a feed, a sitemap or a listing page; --as decides.
    """
    from worker.cli.rehearse import rehearse
    from worker.oneshot import Orders

    if targets and sources:
        raise UsageError("targets and --source do not go together; give one or the other")
    if taken_as and not targets:
        raise UsageError("--as says what a target is; name the address")
    settings = common.settings()
    orders = Orders(targets=targets, sources=sources, limit=limit, taken_as=taken_as or "")
    if dry_run:
        raise SystemExit(rehearse(common, settings, orders))
    raise SystemExit(_ingest(common, settings, orders))


def _ingest(common: Common, settings: Settings, orders: Orders) -> int:
    from worker.app import opened
    from worker.cli.progress import Progress
    from worker.cli.show import run_summary
    from worker.oneshot import OneShot

    progress = Progress(shown=sys.stderr.isatty() and common.loudness >= 0)
    common.set_up_logs(settings.log.format, quietly=progress.shown)

    async def work() -> RunReport:
        async with opened(settings, progress, command="ingest") as app:
            run = OneShot(app, orders)
            with contextlib.suppress(asyncio.CancelledError):
                await run.run()
            return await run.report()

    with progress:
        report, stopped_by = until_signal(work)
    if common.as_json:
        print_json(report.as_record())
    elif common.loudness > SILENT:
        run_summary(report, stopped_by=stopped_by)
    if not orders.targets and not any(source.enabled for source in settings.sources):
        remedy = "add one with `corpus-worker sources add URL`"
        note(f"corpus-worker: no source is configured and enabled: {remedy}")
    if stopped_by:
        return 128 + stopped_by
    return 0 if report.did_its_work else 1


@click.command()
@options
def run(common: Common) -> None:
    """Run as a daemon: poll each source when it is due, work off what it finds, until stopped."""
    from worker.daemon import Daemon

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    raise SystemExit(Daemon(settings, reread=common.settings, config=common.config or DEFAULT_CONFIG).run())


@click.group()
def seeds() -> None:
    """Look after the seed corpus."""


@seeds.command("import")
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@options
def import_seeds(common: Common, folder: Path | None) -> None:
    """Import the seed corpus, or the files of DIR and its sub-folders; what was imported before is left alone.

    A sub-folder called `sample` holds the demonstration's texts and is left out; name it to import it.
    """
    from worker.app import opened
    from worker.cli.progress import Progress

    settings = common.settings()
    common.set_up_logs(settings.log.format)

    async def work() -> SeedReport:
        async with opened(settings, Progress(shown=False), command="seeds") as app:
            return await app.import_seeds(folder)

    report, stopped_by = until_signal(work)
    if common.as_json:
        print_json({"found": report.found, "imported": report.imported, "problems": list(report.problems)})
    else:
        known = report.found - report.imported - report.refused
        click.echo(f"{report.found} seeds found: {report.imported} imported, {known} known already{_refused(report)}")
    if not report.found and not report.problems:
        note(f"corpus-worker: {_no_seeds(folder or Path(settings.seeds.path))}")
    if stopped_by:
        raise SystemExit(128 + stopped_by)
    raise SystemExit(0 if report.found else 1)


def _refused(report: SeedReport) -> str:
    return f", {report.refused} without an article" if report.refused else ""


def _no_seeds(folder: Path) -> str:
    from worker.app import NO_SEEDS
    from worker.sources.seeds import SAMPLE, sample_size

    sample = sample_size(folder)
    left_out = f"; the {sample} of the demonstration in {folder / SAMPLE} are left out unless named" if sample else ""
    return f"{folder}: {NO_SEEDS}{left_out}"
