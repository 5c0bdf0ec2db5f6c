"""The command `backfill`: collects what a source published between two days."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import SILENT, CommonOptions, examples, options, print_json, print_note, run_until_signal

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.runs.backfill import BackfillOptions, BackfillReport


class _DayType(click.DateTime):
    """A day as an option value; its error message shows an example instead of a strftime format."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return midnight UTC of the day; fails for everything but `YYYY-MM-DD`."""
        try:
            return (
                value if isinstance(value, datetime) else datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC)
            )
        except ValueError:
            self.fail(f"{value!r} is not a day; write it as 2026-01-31", param, ctx)


_DAY: Final = _DayType()


@click.command(epilog=examples("backfill example --from 2026-01-01 --to 2026-01-31"))
@click.argument("name", metavar="NAME")
@click.option("--from", "first", type=_DAY, required=True, metavar="DATE", help="The first day, such as 2026-01-31.")
@click.option("--to", "last", type=_DAY, metavar="DATE", help="The last day; default: today in the source's time zone.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Process at most N candidates.")
@click.option(
    "--changed-later", is_flag=True, help="Include pages last changed after the span; they may have been written in it."
)
@click.option("--discover-only", is_flag=True, help="Only find candidates; the daemon or `ingest` processes them.")
@click.option("--again", is_flag=True, help="Read all sitemaps and pages again, even those read before.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be found; store nothing, fetch no article.")
@options
def backfill(
    common: CommonOptions,
    name: str,
    first: datetime,
    last: datetime | None,
    limit: int | None,
    **flags: bool,
) -> None:
    """Collect older articles of the source NAME.

    Articles published from --from to --to are found in the source's sitemaps, archive and listing pages, or WARC files.
    They are fetched and deduplicated like all others, at a lower priority than news. After any kind of stop, the same
    command resumes.
    """
    from worker.clock import SystemClock
    from worker.runs.backfill import BackfillOptions, today_at

    settings = common.settings()
    backfill_options = BackfillOptions(
        source=name,
        first=first.date(),
        last=last.date() if last else today_at(settings, name, now=SystemClock().now()),
        open_ended=last is None,
        limit=limit,
        changed_later=flags["changed_later"],
        discover_only=flags["discover_only"] or flags["dry_run"],
        afresh=flags["again"],
    )
    backfill_options.source_of(settings)
    raise SystemExit(_backfill(common, settings, backfill_options, dry_run=flags["dry_run"]))


def _backfill(common: CommonOptions, settings: Settings, backfill_options: BackfillOptions, *, dry_run: bool) -> int:
    """Run the backfill (or its dry run) and print the result; return the exit status."""
    import asyncio

    from worker.app import open_app
    from worker.cli.render.progress import BackfillReporter
    from worker.fetch.http.network_backend import require_named_agent
    from worker.runs.backfill import BackfillRun
    from worker.runs.dry_run import open_dry_run

    reporter = BackfillReporter(shown=common.verbosity >= 0)
    common.set_up_logs(settings.log.format, quietly=sys.stderr.isatty() and common.verbosity >= 0)

    async def work() -> BackfillReport:
        await require_named_agent(settings.fetch, [backfill_options.source_of(settings).url])
        opening = (
            open_dry_run(settings, reporter, reporter.stepped)
            if dry_run
            else open_app(settings, reporter, command="backfill")
        )
        async with opening as app:
            run = BackfillRun(app, backfill_options)
            with contextlib.suppress(asyncio.CancelledError):  # a signal: report what was done until then
                async with reporter.reporting(run):
                    await run.run()
            return await run.report()

    report, stopped_by = run_until_signal(work)
    _print_report(common, report, dry_run=dry_run, stopped_by=stopped_by)
    if stopped_by:
        return 128 + stopped_by
    return 0 if report.succeeded else 1


def _print_report(common: CommonOptions, report: BackfillReport, *, dry_run: bool, stopped_by: int) -> None:
    """Print the summary of a backfill, and its error on standard error if nothing could be read."""
    from worker.cli.render.tables import print_backfill_summary

    if common.as_json:
        print_json({**report.as_record(), **({"dry_run": True} if dry_run else {})})
    elif common.verbosity > SILENT:
        print_backfill_summary(report, dry_run=dry_run, stopped_by=stopped_by)
    if not report.succeeded:
        reason = report.error or report.counts.last_error
        print_note(f"corpus-worker: {report.options.source}: {reason}")
