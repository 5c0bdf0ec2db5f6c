"""The command `status`: what is going on, once or again every two seconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from worker.cli.base import ClosedStream, CommonOptions, options, print_json, print_note, run_until_signal
from worker.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.config.schema import Settings
    from worker.models import Article, BackfillStatus, Rights, StoreStats
    from worker.runs.preview import ExtractPreview
    from worker.storage import Store
    from worker.storage.queue.workers import WorkerRecord


_EVERY: Final = timedelta(seconds=2)


@click.command()
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@options
def status(common: CommonOptions, watch: bool) -> None:
    """Show what is going on: the queue, what was done lately, who is at work, and every source."""
    from worker.cli.render.tables import console
    from worker.storage.opening import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if watch and not common.as_json and not console().is_terminal:
        raise UsageError("--watch needs a terminal; with --json it prints one object a line")
    with open_read_only(settings) as store:
        if watch:
            asyncio.run(_watch(settings, store, as_json=common.as_json))
        elif common.as_json:
            print_json(_record(settings, store))
        else:
            console().print(_page(settings, store))


async def _watch(settings: Settings, store: Store, *, as_json: bool) -> None:
    """Show it again and again; only a signal ends that."""
    from rich.live import Live

    from worker.cli.render.tables import console
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


class _Status(NamedTuple):
    figures: StoreStats
    daemon: str
    daemons_known: bool
    workers: tuple[WorkerRecord, ...]
    backfills: tuple[BackfillStatus, ...]


def _read_status(settings: Settings, store: Store) -> _Status:
    """Return the figures of a store, who holds it as its daemon, who is at work on it, and who goes back on it."""
    from worker.clock import SystemClock

    now = SystemClock().now()
    figures = store.reader.figures(now=now).mark_paused([source.source() for source in settings.sources])
    return _Status(
        replace(figures, rejected=store.reader.rejections()),
        store.daemon(),
        store.knows_daemons(),
        store.reader.workers(now=now),
        store.backfills.under_way(now=now),
    )


def _record(settings: Settings, store: Store) -> dict[str, object]:
    from worker.cli.render.status import status_record

    look = _read_status(settings, store)
    return status_record(look.figures, daemon=look.daemon, workers=look.workers, backfills=look.backfills)


def _page(settings: Settings, store: Store) -> RenderableType:
    from worker.cli.render.status import render_status

    look = _read_status(settings, store)
    return render_status(
        settings,
        look.figures,
        daemon=look.daemon,
        workers=look.workers,
        backfills=look.backfills,
        daemons_known=look.daemons_known,
    )


# The commands that look: `audit`, `why`, `export`.


_NEEDS_A_PLACE: Final = MappingProxyType(
    {
        "text": "goes into a folder; name a new or empty one with --output DIR",
        "parquet": "goes into a file; name one with --output FILE",
    }
)


@click.command()
@options
def audit(common: CommonOptions) -> None:
    """Check that the books balance: every candidate in one state, every article with its index rows."""
    from worker.cli.render.tables import audit_record, print_audit
    from worker.storage.opening import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        books = store.reader.audit()
    if common.as_json:
        print_json(audit_record(books))
    else:
        print_audit(books)
    raise SystemExit(0 if books.balanced else 1)


@click.command()
@click.argument("url_or_id", metavar="URL-or-ID")
@options
def why(common: CommonOptions, url_or_id: str) -> None:
    """Tell one article's whole history: discovered where, fetched when, decided what and against which article."""
    from worker.cli.render.why import history_record, load_history, print_history
    from worker.storage.opening import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        told = load_history(store.reader, url_or_id)
    if common.as_json:
        print_json(history_record(told))
    else:
        print_history(told)


@click.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "text", "parquet"]), default="jsonl", show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File, or new folder for text; default for jsonl: stdout."
)
@options
def export(common: CommonOptions, form: str, output: Path | None) -> None:
    """Write the corpus out, one text a cluster, ordered by id."""
    from worker.export import FORMATS
    from worker.storage.opening import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if output is None and form in _NEEDS_A_PLACE:
        raise UsageError(f"{form} {_NEEDS_A_PLACE[form]}")
    if isinstance(sys.stdout, ClosedStream) and output in {None, Path("-"), Path("/dev/stdout")}:
        raise UsageError("standard output is closed; name a file with --output FILE")
    if output:
        common.require_foreign(settings, output)
    with open_read_only(settings) as store:
        count = FORMATS[form](store.reader.heads(), None if output == Path("-") else output)
    if output and common.as_json:
        print_json({"exported": count, "format": form, "output": str(output)})
    elif output and common.loudness >= 0:
        print_note(f"{count} texts written to {output}")


# The command `extract`.


_MAX_SHOWN: Final = 200


@click.command()
@click.argument("target", metavar="FILE-or-URL")
@click.option("--explain", is_flag=True, help="Also show where each field and each dropped block came from.")
@options
def extract(common: CommonOptions, target: str, explain: bool) -> None:
    """Print what would be stored of a page, a file or every file of a folder; store nothing."""
    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    articles, _ = run_until_signal(lambda: _extract(common, settings, target, explain=explain))
    raise SystemExit(0 if articles else 1)


async def _extract(common: CommonOptions, settings: Settings, target: str, *, explain: bool) -> int:
    """Print a preview of everything the target holds; return how many articles there were."""
    from worker.runs.preview import preview

    articles = 0
    async for each in preview(settings, target):
        articles += each.explanation.article is not None
        if common.as_json:
            print_json(_preview_record(each, explain=explain))
        else:
            _show_preview(each, explain=explain)
    return articles


def _preview_record(preview: ExtractPreview, *, explain: bool) -> dict[str, object]:
    from worker.export.formats import previewed_fields, to_json_values

    told = preview.explanation
    record: dict[str, object] = {
        "place": preview.place,
        "article": to_json_values(previewed_fields(told.article)) if told.article else None,
        "reason": told.reason,
        "message": told.message,
    }
    if explain:
        record["fields"] = [{"name": each.name, "value": each.value, "origin": each.origin} for each in told.fields]
        record["figures"] = dict(told.figures)
        record["dropped"] = [{"text": each.text, "why": each.why} for each in told.dropped]
        record["steps"] = [{"what": step.what, "detail": step.detail, "url": step.url} for step in preview.steps]
    return record


def _show_preview(preview: ExtractPreview, *, explain: bool) -> None:

    told = preview.explanation
    if told.article:
        _show_article(told.article)
    else:
        reason = f" ({told.reason})" if told.reason else ""
        print_note(f"corpus-worker: {preview.place}: no article{reason}: {told.message}")
    if explain:
        _show_explanation(preview)


def _show_article(article: Article) -> None:
    from worker.cli.render.tables import console, escape_markup

    out = console()
    facts = {
        "url": article.url,
        "canonical": article.canonical_url,
        "authors": ", ".join(article.authors) or "unknown",
        "published": _published(article),
        "modified": _moment(article.modified_at),
        "language": f"{article.language}, {article.words:,} words",
        "rights": _rights(article.rights) or "no signal",
    }
    out.print(f"[bold]{escape_markup(article.title) or 'no title'}[/]", soft_wrap=True)
    for name, value in facts.items():
        out.print(f"  {name:<10} {escape_markup(value)}", soft_wrap=True)
    for paragraph in article.text.split("\n"):
        out.print(f"\n{escape_markup(paragraph)}", soft_wrap=True)
    out.print()


def _published(article: Article) -> str:
    if not article.published_at:
        return "unknown"
    guessed = ", a guess" if article.is_date_guessed else ""
    return f"{_moment(article.published_at)} (from {article.published_at_from or 'an unknown place'}{guessed})"


def _moment(when: datetime | None) -> str:
    return when.isoformat() if when else "unknown"


def _rights(rights: Rights) -> str:
    """Return what a page says may be done with it, in one line."""
    said = {
        "robots": ", ".join(rights.robots),
        "tdm-reservation": rights.tdm_reservation,
        "licence": rights.licence,
        "copyright": rights.copyright_holder,
    }
    return "; ".join(f"{name}: {value}" for name, value in said.items() if value)


def _show_explanation(preview: ExtractPreview) -> None:
    told = preview.explanation
    _section("fetch", [(step.what, f"{step.detail}  ({step.url})") for step in preview.steps])
    _section(
        "fields, and where each came from", [(each.name, f"{each.value}  <- {each.origin}") for each in told.fields]
    )
    _section("figures", told.figures)
    _section("left out", [(each.why, each.text) for each in told.dropped])


def _section(heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print named values under a heading; nothing where there are none."""
    from worker.cli.render.tables import console, escape_markup

    if not rows:
        return
    out = console()
    out.print(f"[bold]{heading}[/]")
    for name, value in rows:
        flat = " ".join(value.split())
        short = flat if len(flat) <= _MAX_SHOWN else f"{flat[:_MAX_SHOWN]}…"
        out.print(f"  {escape_markup(name)}: {escape_markup(short)}", soft_wrap=True)
