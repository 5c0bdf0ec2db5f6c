"""The command `status`: what is going on, once or again every two seconds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from worker.cli.common import Common, options, print_json
from worker.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.models import BackfillStanding, Figures
    from worker.settings import Settings
    from worker.storage import Store
    from worker.storage.workers import WorkerRecord

_EVERY: Final = timedelta(seconds=2)


@click.command()
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@options
def status(common: Common, watch: bool) -> None:
    """Show what is going on: the queue, what was done lately, who is at work, and every source."""
    from worker.cli.show import console
    from worker.reading import open_reading

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if watch and not common.as_json and not console().is_terminal:
        raise UsageError("--watch needs a terminal; with --json it prints one object a line")
    with open_reading(settings) as store:
        if watch:
            asyncio.run(_watch(settings, store, as_json=common.as_json))
        elif common.as_json:
            print_json(_record(settings, store))
        else:
            console().print(_page(settings, store))


async def _watch(settings: Settings, store: Store, *, as_json: bool) -> None:
    """Show it again and again; only a signal ends that."""
    from rich.live import Live

    from worker.cli.show import console
    from worker.clock import SystemClock

    clock = SystemClock()
    if as_json:
        while True:
            print_json(_record(settings, store))
            await clock.sleep(_EVERY)
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_page(settings, store), refresh=True)
            await clock.sleep(_EVERY)


class _Look(NamedTuple):
    figures: Figures
    daemon: str
    daemons_known: bool
    workers: tuple[WorkerRecord, ...]
    backfills: tuple[BackfillStanding, ...]


def _look(settings: Settings, store: Store) -> _Look:
    """Return the figures of a store, who holds it as its daemon, who is at work on it, and who goes back on it."""
    from worker.clock import SystemClock

    now = SystemClock().now()
    figures = store.reader.figures(now=now).under([source.source() for source in settings.sources])
    return _Look(
        replace(figures, rejected=store.reader.rejections()),
        store.daemon(),
        store.knows_daemons(),
        store.reader.workers(now=now),
        store.backfills.under_way(now=now),
    )


def _record(settings: Settings, store: Store) -> dict[str, object]:
    from worker.cli.standing import record

    look = _look(settings, store)
    return record(look.figures, daemon=look.daemon, workers=look.workers, backfills=look.backfills)


def _page(settings: Settings, store: Store) -> RenderableType:
    from worker.cli.standing import page

    look = _look(settings, store)
    return page(
        settings,
        look.figures,
        daemon=look.daemon,
        workers=look.workers,
        backfills=look.backfills,
        daemons_known=look.daemons_known,
    )
