"""The commands that fetch and store: `ingest` (with `--dry-run`) and `run` (the daemon)."""

from __future__ import annotations

import contextlib
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.base import (
    SILENT,
    CommonOptions,
    examples,
    options,
    print_json,
    print_note,
    run_until_signal,
    spooled_input,
)
from worker.errors import UsageError
from worker.logs import escape
from worker.models import Claim, Outcome, Source, State
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.fetch.request import Step
    from worker.runs.ingest import IngestOptions, IngestReport


@click.command(
    epilog=examples(
        "ingest",
        "ingest https://example.com/rss --limit 10",
        "ingest saved-pages/",
        "ingest - < addresses.txt",
        "ingest -n https://example.com/a",
    )
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="Poll and process only this source (repeatable)."
)
@click.option(
    "--as",
    "read_as",
    type=click.Choice(["article", "feed", "sitemap", "listing"]),
    help="What each URL is; detected from the page by default.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Process at most N candidates.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done; store nothing.")
@options
def ingest(
    common: CommonOptions,
    targets: tuple[str, ...],
    sources: tuple[str, ...],
    read_as: str | None,
    limit: int | None,
    dry_run: bool,
) -> None:
    """Poll all sources once and process what they have.

    Candidates are fetched, extracted and deduplicated until nothing is due.

    A TARGET is a URL or a path (.html, .txt, .jsonl, .warc[.gz], or a folder of these), used instead of the configured
    sources; - is standard input: addresses, JSON Lines or a page. Without --as, a URL is an article unless its page is
    clearly a feed, a sitemap or a listing page.
    """
    from worker.runs.ingest import IngestOptions

    if targets and sources:
        raise UsageError("targets and --source exclude each other; give one or the other")
    if read_as and not targets:
        raise UsageError("--as sets the kind of a target, and there is none; give its URL")
    settings = common.settings(needs_file=not (dry_run and targets))
    ingest_options = IngestOptions(targets=targets, sources=sources, limit=limit, read_as=read_as or "")
    work = ingest_dry_run if dry_run else _ingest
    if "-" not in targets:
        raise SystemExit(work(common, settings, ingest_options))
    with spooled_input() as path:
        _require_addresses(path)
        raise SystemExit(work(common, settings, replace(ingest_options, standard_input=str(path))))


def _require_addresses(path: Path) -> None:
    """Raise UsageError if standard input holds a page or text without an address to store it under."""
    from worker.sources.files.article_files import declared_canonical
    from worker.sources.files.url_list import has_url_line

    if path.suffix == ".txt" and not has_url_line(path):
        raise UsageError(
            "standard input: no line is a web address; write one a line with http:// or https://, or save a text to a "
            "file"
        )
    if path.suffix == ".html" and declared_canonical(path.read_bytes()) is None:
        raise UsageError(
            'standard input: the page does not give its address (<link rel="canonical">); save it to a file, '
            "or give it as JSON Lines with url and html"
        )


def _ingest(common: CommonOptions, settings: Settings, ingest_options: IngestOptions) -> int:
    """Run `ingest` with a progress bar on a terminal; print the summary and return the exit status."""
    import asyncio

    from worker.cli.render.progress import ProgressBar
    from worker.cli.render.tables import print_ingest_summary
    from worker.extract.ipc import extract_rules
    from worker.extract.pool import ProcessExtractor
    from worker.runs.ingest import IngestRun

    # With a bar on the terminal, the log lines of single outcomes would only tear it apart: log warnings only.
    progress = ProgressBar(shown=sys.stderr.isatty() and common.verbosity >= 0)
    common.set_up_logs(settings.log.format, quietly=progress.shown)
    has_sources = ingest_options.targets or any(source.enabled for source in settings.sources)

    async def work() -> IngestReport:
        async with contextlib.aclosing(ProcessExtractor(extract_rules(settings))) as extractor:
            if has_sources:
                await extractor.launch()
            from worker.app import open_app  # takes about as long as an extraction process takes to start, so beside it

            async with open_app(
                settings, progress, command="ingest", extractor=extractor, by_request=bool(ingest_options.targets)
            ) as app:
                run = IngestRun(app, ingest_options)
                with contextlib.suppress(asyncio.CancelledError):  # a signal: report what was done until then
                    await run.run()
                return await run.report()

    with progress:
        report, stopped_by = run_until_signal(work)
    if common.as_json:
        print_json(report.as_record())
    elif common.verbosity > SILENT:
        print_ingest_summary(report, stopped_by=stopped_by)
    for line in progress.unstored if progress.shown and ingest_options.targets else ():
        print_note(line)  # the bar has taken the place of the log's lines; who names a page wants to know
    if not has_sources:
        _print_nothing_polled(settings)
    return 128 + stopped_by if stopped_by else 0 if report.succeeded else 1


def _print_nothing_polled(settings: Settings) -> None:
    why = "every source is paused (`sources resume NAME`)" if settings.sources else "no source is configured"
    print_note(f"corpus-worker: nothing was polled: {why}; add one with `corpus-worker sources add URL`")


@click.command(epilog=examples("run", "run --config /etc/corpus-worker/worker.toml"))
@options
def run(common: CommonOptions) -> None:
    """Run as a daemon, until stopped.

    Each source is polled when it is due, and its candidates are fetched, extracted and deduplicated.
    """
    from worker.runs.daemon import Daemon

    common = replace(common, config=common.config_file())  # stays the same file, whatever is written meanwhile
    settings = common.settings()
    common.set_up_logs(settings.log.format)
    status = Daemon(settings, reread=common.settings, config=common.config).run()
    if common.as_json:
        print_json({"exit_status": status, "signal": signal.Signals(status - 128).name if status > 128 else None})
    raise SystemExit(status)


# `ingest --dry-run`: prints every decision of every fetch, and the outcome each candidate would have.


def ingest_dry_run(common: CommonOptions, settings: Settings, ingest_options: IngestOptions) -> int:
    """Run `ingest` without storing anything; return the exit status."""
    import asyncio

    from worker.cli.render.tables import print_ingest_summary
    from worker.runs.dry_run import open_dry_run
    from worker.runs.ingest import IngestRun

    common.set_up_logs(settings.log.format, quietly=True)
    printer = _StepPrinter(to_error=common.as_json)

    async def work() -> IngestReport:
        asked = bool(ingest_options.targets)
        async with open_dry_run(settings, printer, printer.stepped, by_request=asked) as app:
            run = IngestRun(app, replace(ingest_options, with_seeds=False))
            with contextlib.suppress(asyncio.CancelledError):
                await run.run()
            return await run.report()

    report, stopped_by = run_until_signal(work)
    if common.as_json:
        print_json({**report.as_record(), "dry_run": True})
    else:
        print_ingest_summary(report, stopped_by=stopped_by)
        click.echo("nothing was stored (--dry-run)")
    if stopped_by:
        return 128 + stopped_by
    return 0 if report.succeeded else 1


class _StepPrinter:
    """An observer that prints each fetch step and outcome; `to_error` sends them to standard error."""

    def __init__(self, *, to_error: bool) -> None:
        self._to_error = to_error

    def stepped(self, step: Step) -> None:
        """Print one decision of a fetch."""
        self._print(f"  {step.what:<10} {step.detail}" + (f"  ({step.url})" if step.url else ""))

    def discovered(self, source: Source, *, new: int) -> None:
        """Print how many new candidates a poll of the source found."""
        self._print(f"{source.name}: {counted(new, 'candidate')} the store does not know")

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Print the outcome that a candidate would have."""
        would = "would be tried again" if outcome.state is State.PENDING else f"would be {outcome.state.value}"
        reason = f" ({outcome.reason})" if outcome.reason else ""
        self._print(f"{claim.url}\n  {would}{reason}: {outcome.detail}")

    def _print(self, text: str) -> None:
        click.echo("\n".join(map(escape, text.split("\n"))), err=self._to_error)
