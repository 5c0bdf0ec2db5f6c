"""The commands that look after a store: `backup`, `prune`, `upgrade-store`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click

from worker.cli.common import Common, options, print_json
from worker.errors import UsageError

_MOST_SHOWN: Final = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@options
def backup(common: Common, file: Path, force: bool) -> None:
    """Copy a SQLite store to FILE while it is in use, and check the copy: its pages, and whether its books balance."""
    from worker.clock import SystemClock
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if file == Path("-"):
        raise UsageError("a backup goes into a file: name one")
    common.require_foreign(settings, file)
    clock = SystemClock()
    started = clock.monotonic()
    with open_reading(settings) as store:
        made = store.back_up(file, replace=force)
    seconds = round(clock.monotonic() - started, 1)
    if common.as_json:
        sums = {"discovered": made.books.discovered, "articles": made.books.articles, "texts": made.books.clusters}
        print_json({"file": str(made.path), "bytes": made.size, "seconds": seconds, "balanced": True, **sums})
        return
    click.echo(f"{made.path}: {_size(made.size)}, {made.books.clusters:,} texts, sound, made in {seconds} s")


@click.command()
@click.option("--older-than", "age", metavar="AGE", help='For example "90d"; by default what [store] keep_pages says.')
@click.option("--dry-run", is_flag=True, help="Count what would go; delete nothing.")
@options
def prune(common: Common, age: str | None, dry_run: bool) -> None:
    """Let go of raw pages, histories and what else is not needed any more from before AGE; never of a text.

    Pages that are gone cannot be extracted again by `reprocess`. Work on the store goes on meanwhile.
    """
    from worker.clock import SystemClock
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    before = SystemClock().now() - _age(age, settings.store.keep_pages)
    with open_reading(settings) as store:
        pruned = store.prune(older_than=before, dry_run=dry_run)
    counts = {name: getattr(pruned, name) for name in ("pages", "events", "robots", "hosts", "moves", "places")}
    if common.as_json:
        print_json({"before": _iso(before), "dry_run": dry_run, **counts, "page_bytes": pruned.page_bytes})
        return
    told = ", ".join(f"{count:,} {_CALLED.get(name, name)}" for name, count in counts.items())
    verb = "would go" if dry_run else "are gone"
    click.echo(f"from before {before:%Y-%m-%d %H:%M} UTC {verb}: {told}; {_size(pruned.page_bytes)} of pages")
    if pruned.pages and not dry_run and settings.store.url.startswith("sqlite"):
        click.echo("the room in the store's file is used again; `VACUUM` in sqlite3, with nobody at work, shrinks it")


@click.command("upgrade-store")
@options
def upgrade_store(common: Common) -> None:
    """Change the tables of a store from an older version of the program, with everything in it.

    Stop the workers first. `run`, `ingest`, `backfill` and `seeds import` do the same at their start; on PostgreSQL
    only the owner of the tables can.
    """
    from worker.configuration import mask
    from worker.logs import escape
    from worker.storage import borrowed_keys, upgrade_store

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    before, after = upgrade_store(settings.store.url)
    borrowed = borrowed_keys(settings.store.url)
    if common.as_json:
        print_json({"before": before, "after": after, "borrowed_keys": [asdict(each) for each in borrowed]})
        return
    told = "is up to date already" if before == after else f"is up to date, and was at {before}"
    click.echo(f"{mask(settings.store.url)} {told}: schema {after}")
    if borrowed:
        click.echo(
            f"{len(borrowed)} articles are kept under an address that only their page, or a saved file, called theirs; "
            "they stay, and such words count for nothing from now on:"
        )
    for each in borrowed[:_MOST_SHOWN]:
        click.echo(escape(f"  article {each.id}: {each.canonical_url}, from {each.url}"))


_CALLED: Final = {"robots": "robots.txt", "places": "places of backfills"}


def _age(given: str | None, configured: timedelta | None) -> timedelta:
    from worker.quantities import parse_duration

    if given is None and configured is not None:
        return configured
    if given is None:
        raise UsageError("say how old: give --older-than AGE, such as 90d, or set [store] keep_pages")
    try:
        age = parse_duration(given)
    except ValueError as exc:
        raise UsageError(f'--older-than "{given}": give {exc}') from None
    if age <= timedelta(0):
        raise UsageError("--older-than 0: everything would go; give an age such as 90d")
    return age


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _size(count: int) -> str:
    """Return a number of bytes as people read it."""
    for unit, power in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return f"{count} bytes"
