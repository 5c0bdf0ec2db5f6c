"""The command that goes back: `backfill`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import SILENT, CommonOptions, options, print_json, print_note, run_until_signal

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.runs.backfill import BackfillOptions, BackfillReport


class _Day(click.DateTime):
    """A day, told apart from what is none in words that need no knowledge of strftime."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the day at midnight; anything but year, month and day is refused."""
        try:
            return (
                value if isinstance(value, datetime) else datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC)
            )
        except ValueError:
            self.fail(f"{value!r} is no day; write one as 2026-01-31", param, ctx)


_DAY: Final = _Day()


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--from", "first", type=_DAY, required=True, metavar="DATE", help="The first day, as 2026-01-31.")
@click.option("--to", "last", type=_DAY, metavar="DATE", help="The last day; today, where the source is, if left out.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Work on at most N candidates.")
@click.option("--changed-later", is_flag=True, help="Take what was changed after the span, but perhaps written in it.")
@click.option("--discover-only", is_flag=True, help="Only find candidates; leave the work on them to the daemon.")
@click.option("--again", is_flag=True, help="Look at everything again, even what was looked at before.")
@click.option("--dry-run", is_flag=True, help="Show what would be found; store nothing, fetch no article.")
@options
def backfill(
    common: CommonOptions,
    name: str,
    first: datetime,
    last: datetime | None,
    limit: int | None,
    **flags: bool,
) -> None:
    """Go back through the past of the source NAME: its sitemaps, archive and listing pages, or its WARC files.

    What was published in the days from --from to --to is found, fetched and judged like everything else, behind the
    news. Stopped in whatever way, the same command goes on where it was.
    """
    from worker.clock import SystemClock
    from worker.runs.backfill import BackfillOptions, today_at

    settings = common.settings()
    orders = BackfillOptions(
        source=name,
        first=first.date(),
        last=last.date() if last else today_at(settings, name, now=SystemClock().now()),
        open_ended=last is None,
        limit=limit,
        changed_later=flags["changed_later"],
        discover_only=flags["discover_only"] or flags["dry_run"],
        afresh=flags["again"],
    )
    orders.source_of(settings)
    raise SystemExit(_backfill(common, settings, orders, dry_run=flags["dry_run"]))


def _backfill(common: CommonOptions, settings: Settings, orders: BackfillOptions, *, dry_run: bool) -> int:
    from worker.app import open_app
    from worker.cli.render.progress import BackfillReporter
    from worker.runs.backfill import BackfillRun
    from worker.runs.dry_run import open_dry_run

    watch = BackfillReporter(shown=common.loudness >= 0)
    common.set_up_logs(settings.log.format, quietly=sys.stderr.isatty() and common.loudness >= 0)

    async def work() -> BackfillReport:
        opening = (
            open_dry_run(settings, watch, watch.stepped) if dry_run else open_app(settings, watch, command="backfill")
        )
        async with opening as app:
            run = BackfillRun(app, orders)
            with contextlib.suppress(asyncio.CancelledError):
                async with watch.over(run):
                    await run.run()
            return await run.report()

    report, stopped_by = run_until_signal(work)
    _tell(common, report, dry_run=dry_run, stopped_by=stopped_by)
    if stopped_by:
        return 128 + stopped_by
    return 0 if report.succeeded else 1


def _tell(common: CommonOptions, report: BackfillReport, *, dry_run: bool, stopped_by: int) -> None:
    from worker.cli.render.tables import print_backfill_summary

    if common.as_json:
        print_json({**report.as_record(), **({"dry_run": True} if dry_run else {})})
    elif common.loudness > SILENT:
        print_backfill_summary(report, dry_run=dry_run, stopped_by=stopped_by)
    if not report.succeeded:
        reason = report.error or report.counts.last_error
        print_note(f"corpus-worker: {report.options.source}: {reason}")
