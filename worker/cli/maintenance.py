"""The commands that maintain a store: `backup`, `prune`, `upgrade-store`, `migrate-store`, `reprocess` and `forget`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.base import SILENT, CommonOptions, examples, options, print_json, print_note, run_until_signal
from worker.errors import UsageError
from worker.logs import escape
from worker.models.base import counted

if TYPE_CHECKING:
    from worker.runs.forget import ForgetResult
    from worker.runs.reprocess import ReprocessReport
    from worker.storage.maintenance.forget import ForgetReport, NamedArticle
    from worker.storage.maintenance.rejudge import VerdictChange


_MAX_SHOWN: Final = 20  # articles that `upgrade-store` lists: one screen; `--json` prints all of them


@click.command(epilog=examples("backup /backup/corpus.db"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@options
def backup(common: CommonOptions, file: Path, force: bool) -> None:
    """Copy a SQLite store to FILE, also while it is in use.

    The copy is checked (every page of the file, and whether its books balance) before it gets its name.
    """
    from worker.clock import SystemClock
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if file == Path("-"):
        raise UsageError("a backup goes into a file: give its name")
    common.require_safe_output(settings, file)
    clock = SystemClock()
    started = clock.monotonic()
    with open_read_only(settings) as store:
        made = store.back_up(file, replace=force)
    seconds = round(clock.monotonic() - started, 1)
    if common.as_json:
        sums = {"discovered": made.books.discovered, "articles": made.books.articles, "texts": made.books.clusters}
        print_json({"file": str(made.path), "bytes": made.size, "seconds": seconds, "balanced": True, **sums})
        return
    texts = counted(made.books.clusters, "text")
    click.echo(f"{made.path}: {_format_size(made.size)}, {texts}, sound, made in {seconds} s")


@click.command(epilog=examples("prune --older-than 90d --dry-run"))
@click.option("--older-than", "age", metavar="AGE", help='For example "90d"; default: [store] keep_pages.')
@click.option("-n", "--dry-run", is_flag=True, help="Count what would be deleted; delete nothing.")
@options
def prune(common: CommonOptions, age: str | None, dry_run: bool) -> None:
    """Delete old raw pages, histories and other records.

    Deleted is what is older than AGE and no longer needed, never a text. `reprocess` cannot extract deleted pages
    again. The store stays usable meanwhile.
    """
    from worker.clock import SystemClock
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    before = SystemClock().now() - _minimum_age(age, settings.store.keep_pages)
    with open_read_only(settings) as store:
        pruned = store.prune(older_than=before, dry_run=dry_run)
    counts = {name: getattr(pruned, name) for name in ("pages", "events", "robots", "hosts", "moves", "places")}
    if common.as_json:
        print_json({"before": _iso(before), "dry_run": dry_run, **counts, "page_bytes": pruned.page_bytes})
        return
    listed = ", ".join(f"{count:,} {_COUNT_LABELS.get(name, name)}" for name, count in counts.items())
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(f"older than {before:%Y-%m-%d %H:%M} UTC, {verb}: {listed}; {_format_size(pruned.page_bytes)} of pages")
    if pruned.pages and not dry_run and settings.store.url.startswith("sqlite"):
        click.echo("SQLite reuses the freed space; to shrink the file, stop all workers and run VACUUM in sqlite3")


@click.command("upgrade-store", epilog=examples("upgrade-store"))
@options
def upgrade_store(common: CommonOptions) -> None:
    """Upgrade the tables of a store from an older version.

    All data is kept. Stop the workers first. `run`, `ingest`, `backfill` and `seeds import` also upgrade when they
    start. On PostgreSQL, only the owner of the tables can upgrade them. Texts that full-text search lacks are put into
    its index by `run` and `ingest`, beside their other work.
    """
    from worker.config.load import mask_url
    from worker.storage.corpus.audit import misplaced_articles
    from worker.storage.db.migrate import upgrade_store

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    before, after = upgrade_store(settings.store.url)
    borrowed = misplaced_articles(settings.store.url)
    if common.as_json:
        keys = [asdict(each) for each in borrowed]
        print_json({"before": before, "after": after, "borrowed_keys": keys})
        return
    result = "is already up to date" if before == after else f"was upgraded from {before}"
    click.echo(f"{mask_url(settings.store.url)} {result}: schema {after}")
    if borrowed:
        click.echo(
            f"{counted(len(borrowed), 'article')} under an address that only their own page, or a saved file, claims; "
            "they stay as they are, and such claims are ignored from now on:"
        )
    for each in borrowed[:_MAX_SHOWN]:
        click.echo(escape(f"  article {each.id}: {each.canonical_url}, from {each.url}"))


# Counts of `prune` whose field names do not explain themselves in the printed summary.
_COUNT_LABELS: Final = {"robots": "robots.txt", "places": "places of backfills"}


def _minimum_age(given: str | None, configured: timedelta | None) -> timedelta:
    """Return the age from which records are deleted, given or else configured; raises UsageError."""
    from worker.config.types import parse_duration

    if given is None and configured is not None:
        return configured
    if given is None:
        raise UsageError("no age: give --older-than AGE, such as 90d, or set [store] keep_pages")
    try:
        age = parse_duration(given)
    except ValueError as exc:
        raise UsageError(f'--older-than "{given}": give {exc}') from None
    if age <= timedelta(0):
        raise UsageError("--older-than 0: everything would be deleted; give an age such as 90d")
    return age


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _format_size(count: int) -> str:
    """Return a number of bytes in its largest decimal unit, such as `1.5 MB`."""
    for unit, power in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} bytes"


# The command `migrate-store`: copies a whole store into another database.


@click.command(
    "migrate-store",
    epilog=examples("migrate-store sqlite:///data/corpus.db postgresql+psycopg://corpus@localhost/corpus"),
)
@click.argument("origin", metavar="FROM")
@click.argument("target", metavar="TO")
@options
def migrate_store(common: CommonOptions, origin: str, target: str) -> None:
    """Copy a whole store into an empty database.

    Both stores are then compared, row by row. FROM and TO are store URLs (sqlite:///path,
    postgresql+psycopg://user@host/database). Stop all workers on both stores first. An interrupted copy resumes when it
    is repeated; no other command uses TO before it is complete.
    """
    from worker.clock import SystemClock
    from worker.config.load import mask_url
    from worker.config.types import is_store_url
    from worker.storage.maintenance.copy_store import move_store

    common.set_up_logs()
    for url in (origin, target):
        if not is_store_url(url):
            raise UsageError(
                f"{mask_url(url)}: not a store URL; write sqlite:///path or postgresql+psycopg://user@host/database"
            )
    if origin == target:
        raise UsageError("FROM and TO are the same store; there is nothing to move")

    def report_table(table: str, rows: int) -> None:
        if common.verbosity >= 0 and not common.as_json:
            print_note(f"{table}: {counted(rows, 'row')}")

    moved = move_store(origin, target, now=SystemClock().now(), progress=report_table)
    if common.as_json:
        print_json({"tables": {each.table: {"rows": each.rows, "copied": each.copied} for each in moved}})
        return
    rows, copied = sum(each.rows for each in moved), sum(each.copied for each in moved)
    tables = counted(len(moved), "table")
    click.echo(f"{counted(rows, 'row')} in {tables}, {copied:,} of them copied now; both stores are identical")
    click.echo(f'set [store] url = "{mask_url(target)}" to use the new store')


# The command `reprocess`: extracts and judges again, from what is stored.


@click.command(epilog=examples("reprocess --dry-run", "reprocess --dedupe"))
@click.option("--dedupe", is_flag=True, help="Only judge all articles again; extract nothing.")
@click.option("--rejected", is_flag=True, help="Only extract (and judge) stored pages that were rejected.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change; change nothing.")
@options
def reprocess(common: CommonOptions, dedupe: bool, rejected: bool, dry_run: bool) -> None:
    """Extract and judge everything in the store again.

    The current settings are used; no network is needed. After any kind of stop, the same command resumes.
    """
    import asyncio

    from worker.cli.render.progress import Spinner
    from worker.runs.reprocess import ReprocessRun

    if dedupe and rejected:
        raise UsageError("give either --dedupe, which extracts nothing, or --rejected, which extracts rejected pages")
    settings = common.settings()
    spinner = Spinner(shown=sys.stderr.isatty() and common.verbosity >= 0)
    common.set_up_logs(settings.log.format, quietly=spinner.shown)
    work = ReprocessRun(settings, extract=not dedupe, rejected=rejected, watcher=spinner.update)

    async def until_done() -> ReprocessReport | None:  # None: stopped by a signal; the progress is in the store
        try:
            return await (work.dry_run() if dry_run else work.run())
        except asyncio.CancelledError:
            return None

    with spinner:
        report, stopped_by = run_until_signal(until_done)
    if report is None:
        print_note("stopped; run the same command again to resume")
    elif common.as_json:
        print_json(_report_record(report))
    elif common.verbosity > SILENT:
        _print_report(report, in_full=dry_run or common.verbosity > 0)
    raise SystemExit(128 + stopped_by if stopped_by else 0)


def _report_record(report: ReprocessReport) -> dict[str, object]:
    """Return the result of `reprocess` as JSON values."""
    made = report.extracted
    return {
        "applied": report.applied,
        "indexed": report.indexed,
        "extracted": made and {**asdict(made), "urls": list(made.urls)},
        "judged": report.judged,
        "changed": len(report.changes),
        **{name: getattr(report, name) for name in ("texts_before", "texts_after", "to_fetch")},
        "changes": [_change_record(change) for change in report.changes],
    }


def _change_record(change: VerdictChange) -> dict[str, object]:
    """Return how `reprocess` changed one article's verdict, as JSON values."""
    return {
        "id": change.id,
        "url": change.url,
        "title": change.title,
        "from": {"relation": change.relation.value, "cluster": change.cluster, "exported": change.head},
        "to": {"relation": change.new_relation.value, "cluster": change.new_cluster, "exported": change.new_head},
        "against": change.against,
        "jaccard": round(change.jaccard, 4),
        "containment": round(change.containment, 4),
    }


def _print_report(report: ReprocessReport, *, in_full: bool) -> None:
    """Print the result of `reprocess`; `in_full` includes a table of all changed verdicts."""
    from worker.cli.render.tables import console, escape_markup
    from worker.cli.render.why import print_changes

    out = console()
    if report.indexed:
        out.print(f"{counted(report.indexed, 'article')} indexed again")
    if made := report.extracted:
        kept = f", {made.none} without an article, whose text is kept" if made.none else ""
        kept += f"; {report.to_fetch} that a filter had kept out unread wait for `ingest`" if report.to_fetch else ""
        filled = f", {counted(made.filled, 'article')} given fields that were missing" if made.filled else ""
        pages = counted(made.other + made.same + made.none, "page")
        out.print(f"{pages} extracted: {counted(made.other, 'text')} changed{filled}{kept}")
        for url in made.urls:
            out.print(f"  a different text: {escape_markup(url)}")
    if in_full and report.changes:
        print_changes(report.changes)
    would = "changed" if report.applied else "would change"
    texts = f"{counted(report.texts_before, 'text')} before, {report.texts_after:,} after"
    out.print(f"{counted(len(report.changes), 'article')} {would}: {texts}")
    if not report.applied:
        out.print("nothing was changed (--dry-run)")


# The command `forget`: deletes a page, an article or a whole host for good.


@click.command(
    epilog=examples(
        'forget https://example.com/article --reason "request 17"', "forget --host example.com --reason closed -n"
    )
)
@click.argument("targets", nargs=-1, metavar="[URL-or-ID]...")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Everything of HOST and below it (repeatable).")
@click.option("--reason", metavar="TEXT", help="Why, such as the number of a request; `why` shows it.")
@click.option("--copies", is_flag=True, help="Also the copies of the same text on other pages.")
@click.option("--lift", is_flag=True, help="Allow it to be found again; what was deleted does not come back.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@options
def forget(
    common: CommonOptions, targets: tuple[str, ...], hosts: tuple[str, ...], reason: str | None, copies: bool,
    lift: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Delete pages, articles or whole hosts for good.

    Everything that the store holds of them is deleted, and they are never fetched, imported or stored again. Every
    version of a page is included; copies elsewhere stay, unless --copies is given. Nothing is asked, and there is no
    undo. A running daemon need not be stopped. - is standard input: a URL or id a line.
    """
    from worker.runs import forget as runs

    listed = runs.targets_in(sys.stdin.read()) if "-" in targets else {}
    wanted = {**listed, **dict.fromkeys((each for each in targets if each != "-"), "")}
    if not wanted and not hosts:
        raise UsageError("nothing to forget: give a URL, an article's id, or --host HOST")
    if not lift and not (reason and reason.strip()):
        raise UsageError("no reason: give --reason TEXT, such as the number of the request")
    if lift and (copies or dry_run or reason):
        raise UsageError("--lift goes with no other option: leave out --reason, --copies and --dry-run")
    requests = runs.requests_for(wanted, hosts, reason=(reason or "").strip(), copies=copies)
    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    if lift:
        _print_lifted(common, runs.lift(settings, requests))
        return
    result = runs.forget(settings, requests, places=wanted, dry_run=dry_run)
    if common.as_json:
        print_json({**result.as_record(), "dry_run": dry_run})
    elif common.verbosity > SILENT:
        _print_forgotten(result, dry_run=dry_run)


def _print_lifted(common: CommonOptions, lifted: Iterable[tuple[str, datetime]]) -> None:
    """Print what may be found again, and since when it was forgotten."""
    if common.as_json:
        print_json({"lifted": [{"target": target, "forgotten_at": _iso(since)} for target, since in lifted]})
        return
    from worker.models.base import format_utc

    for target, since in lifted:
        click.echo(escape(f"{target}: may be found again (it was forgotten on {format_utc(since)})"))


def _print_forgotten(result: ForgetResult, *, dry_run: bool) -> None:
    """Print what was deleted for each request, what stays, and what a person still has to do."""
    from worker.cli.render.tables import placement_after, placement_before

    for each in result.reports:
        click.echo(escape(f"{each.request.target}: {_describe_forgotten(each, dry_run=dry_run)}"))
        _print_named(each.selection.articles)
        if each.selection.copies:
            click.echo("copies that stay (--copies forgets them, too):")
            _print_named(each.selection.copies)
        for moved in each.judged_again:
            if placement_before(moved) != placement_after(moved):
                click.echo(escape(f"  {moved.id}  {placement_before(moved)} -> {placement_after(moved)}  {moved.url}"))
    if result.to_do:
        click.echo("left to do by hand:")
    for line in result.to_do:
        click.echo(escape(f"  {line}"))


def _describe_forgotten(report: ForgetReport, *, dry_run: bool) -> str:
    """Return in one line how much was deleted, or that nothing was there."""
    found, verb = report.selection, "would be forgotten" if dry_run else "forgotten"
    if found.articles or found.pages:
        counts = {"text": len(found.articles), "raw page": found.pages, "address": len(found.urls)}
        return f"{verb}: " + ", ".join(counted(count, name) for name, count in counts.items())
    if found.since is not None:
        from worker.models.base import format_utc

        return f"was forgotten on {format_utc(found.since)} already; nothing of it is left"
    return f"{verb}: the store had no text of it, and will never fetch it"


def _print_named(articles: tuple[NamedArticle, ...]) -> None:
    for each in articles:
        click.echo(escape(f"  article {each.id}  {each.title}  {each.url}"))
