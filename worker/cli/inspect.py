"""The read-only commands: `status`, `audit`, `why` and `extract`. They open the store without writing."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Sequence
from contextlib import aclosing, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from worker.cli.base import CommonOptions, examples, options, print_json, print_note, run_until_signal, spooled_input
from worker.errors import UsageError
from worker.logs import escape
from worker.models.base import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from worker.config.schema import Settings
    from worker.models import Article, BackfillStatus, StoreStats
    from worker.runs.preview import ExtractPreview
    from worker.storage.queue.workers import WorkerRecord
    from worker.storage.store import Store


_WATCH_INTERVAL: Final = timedelta(seconds=2)  # chosen: reads as live, and is long beside the time of one status query


@click.command(epilog=examples("status", "status --watch"))
@click.option("--watch", is_flag=True, help="Refresh every two seconds until Ctrl-C.")
@options
def status(common: CommonOptions, watch: bool) -> None:
    """Show the queue, recent outcomes, workers and sources.

    Unfinished backfills are shown as well. The store is only read, so this works beside a running daemon.
    """
    from worker.cli.render.tables import console
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if watch and not common.as_json and not console().is_terminal:
        raise UsageError("--watch needs a terminal; with --json it prints one object a line")
    with open_read_only(settings) as store:
        if watch:
            import asyncio

            asyncio.run(_watch(settings, store, as_json=common.as_json))
        elif common.as_json:
            print_json(_status_json(settings, store))
        else:
            console().print(_status_page(settings, store))


async def _watch(settings: Settings, store: Store, *, as_json: bool) -> None:
    """Print the status every two seconds, until a signal ends the process.

    On a terminal each page replaces the one before on the alternate screen; with `as_json`, each record is a line.
    """
    from rich.live import Live

    from worker.cli.render.tables import console
    from worker.clock import SystemClock

    clock = SystemClock()
    if as_json:
        while True:
            print_json(_status_json(settings, store))
            await clock.sleep(_WATCH_INTERVAL)
    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_status_page(settings, store), refresh=True)
            await clock.sleep(_WATCH_INTERVAL)


class _Status(NamedTuple):
    """Everything that `status` shows, read from the store at one time."""

    figures: StoreStats
    daemon: str | None
    workers: tuple[WorkerRecord, ...]
    backfills: tuple[BackfillStatus, ...]


def _read_status(settings: Settings, store: Store) -> _Status:
    """Return the store's statistics, its daemon, its workers and its unfinished backfills.

    Sources that are disabled or no longer configured are marked as paused.
    """
    from worker.clock import SystemClock
    from worker.storage.store import is_dead

    now = SystemClock().now()
    figures = store.reader.figures(now=now).mark_paused([source.source() for source in settings.sources])
    return _Status(
        replace(figures, rejected=store.reader.rejections()),
        store.reader.daemon(),
        store.workers(now=now),
        tuple(
            replace(each, worker="") if is_dead(each.worker) else each for each in store.backfills.unfinished(now=now)
        ),
    )


def _status_json(settings: Settings, store: Store) -> dict[str, object]:
    """Return the record that `status --json` prints."""
    from worker.cli.render.status import status_record

    read = _read_status(settings, store)
    return status_record(read.figures, daemon=read.daemon or "", workers=read.workers, backfills=read.backfills)


def _status_page(settings: Settings, store: Store) -> RenderableType:
    """Return the page that `status` prints."""
    from worker.cli.render.status import render_status

    read = _read_status(settings, store)
    return render_status(
        settings,
        read.figures,
        daemon=read.daemon,
        workers=read.workers,
        backfills=read.backfills,
    )


@click.command(epilog=examples("audit"))
@options
def audit(common: CommonOptions) -> None:
    """Check that the books balance.

    Every candidate must be in exactly one state, and every article must have its index rows.
    """
    from worker.cli.render.tables import audit_record, print_audit
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        books = store.reader.audit()
    if common.as_json:
        print_json(audit_record(books))
    else:
        print_audit(books)
    raise SystemExit(0 if books.balanced else 1)


@click.command(epilog=examples("why https://example.com/article", "why 12"))
@click.argument("url_or_id", metavar="URL-or-ID")
@options
def why(common: CommonOptions, url_or_id: str) -> None:
    """Show the history of one article.

    The history shows where the article was discovered, when it was fetched, and how it was judged and why.
    """
    from worker.cli.render.why import history_record, print_history
    from worker.runs.reading import load_history
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        history = load_history(store.reader, url_or_id)
    if common.as_json:
        print_json(history_record(history))
    else:
        print_history(history)


# The command `extract`: a preview of one page, of a file, or of every file in a folder.


_STANDARD_INPUT: Final = "file:///dev/stdin"
_MARKDOWN_INLINE: Final = re.compile(r"[\\`*_\[\]<>&~]")
_MARKDOWN_BLOCK: Final = re.compile(r"^(\s*|\s*\d+)([#+=-]|(?<=\d)[.)])")
"""What begins a heading, a list, a rule or a numbered list."""
_MAX_SHOWN: Final = 200  # characters of one value of `--explain`: about two lines of a wide terminal


@click.command(
    epilog=examples(
        "extract https://example.com/article", "extract page.html --explain", "extract --format json - < page.html"
    )
)
@click.argument("target", metavar="FILE-or-URL")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    help="The output format [default: text].",
)
@click.option("--explain", is_flag=True, help="Show every field, and where it and each dropped block came from.")
@options
def extract(common: CommonOptions, target: str, form: str | None, explain: bool) -> None:
    """Print what would be stored from a page, file or folder.

    Nothing is stored. A URL is fetched as politely as in a run. FILE is read as by `ingest`; a list of addresses is
    fetched; - is standard input.
    """
    if common.as_json and form not in {None, "json"}:
        raise UsageError(f"--json and --format {form} exclude each other; give one of them")
    if explain and form not in {None, "json"}:
        raise UsageError(
            f"--explain and --format {form} exclude each other; only --format json has the origins as well"
        )
    settings = common.settings(needs_file=False)
    common.set_up_logs(settings.log.format, quietly=True)
    form = "json" if common.as_json else "explained" if explain and not form else form or "text"
    with spooled_input() if target == "-" else nullcontext(Path()) as path:
        articles, _ = run_until_signal(lambda: _extract(settings, target, path, form=form, explain=explain))
    raise SystemExit(0 if articles else 1)


async def _extract(settings: Settings, target: str, standard_input: Path, *, form: str, explain: bool) -> int:
    """Print a preview of each page of the target; return the number of articles found."""
    from worker.extract.ipc import extract_rules
    from worker.extract.pool import ProcessExtractor

    articles = 0
    async with aclosing(ProcessExtractor(extract_rules(settings))) as extractor:
        await extractor.launch()
        from worker.runs.preview import preview  # takes about as long as the processes take to start, so beside it

        place = str(standard_input) if target == "-" else target
        async with aclosing(preview(settings, place, extractor)) as previews:
            async for each in previews:
                shown = _as_standard_input(each, standard_input) if target == "-" else each
                if form == "json":
                    print_json(_preview_record(shown, explain=explain))
                else:
                    _print_preview(shown, form=form, is_first=not articles)
                articles += shown.explanation.article is not None
    return articles


def _as_standard_input(preview: ExtractPreview, spooled: Path) -> ExtractPreview:
    """Return the preview with `-` for the file that standard input was saved to."""
    from worker.sources.files.inputs import name_standard_input
    from worker.urls import file_url

    found, place = preview.explanation, file_url(spooled)
    if (article := found.article) and article.url == place:
        article = replace(article, url=_STANDARD_INPUT, canonical_url=_STANDARD_INPUT)
    elif article and article.canonical_url == place:
        article = replace(article, canonical_url=_STANDARD_INPUT)
    message = name_standard_input(found.message, spooled)
    found = replace(found, article=article, message=message)
    return replace(preview, place=preview.place.replace(str(spooled), "-"), explanation=found)


def _preview_record(preview: ExtractPreview, *, explain: bool) -> dict[str, object]:
    """Return the preview of one page as JSON values; `explain` adds origins, figures and left-out blocks."""
    from worker.export.columns import previewed_fields, to_json_values

    found = preview.explanation
    record: dict[str, object] = {
        "place": preview.place,
        "article": to_json_values(previewed_fields(found.article)) if found.article else None,
        "reason": found.reason,
        "message": found.message,
    }
    if explain:
        record["fields"] = [{"name": each.name, "value": each.value, "origin": each.origin} for each in found.fields]
        record["figures"] = dict(found.figures)
        record["dropped"] = [{"text": each.text, "why": each.why} for each in found.dropped]
        record["steps"] = [{"what": step.what, "detail": step.detail, "url": step.url} for step in preview.steps]
    return record


def _print_preview(preview: ExtractPreview, *, form: str, is_first: bool) -> None:
    """Print the article of a page in a format (`explained`: how it was extracted as well), or why it has none."""
    found = preview.explanation
    if found.article is None:
        reason = f" ({found.reason})" if found.reason else ""
        print_note(f"corpus-worker: {preview.place}: no article{reason}: {found.message}")
    elif form == "explained":
        _print_article(found.article)
    else:
        written = {"markdown": _markdown, "html": _html}.get(form, _text)(found.article)
        # Another program gets every character as it would be stored.
        shown = "\n".join(map(escape, written.split("\n"))) if sys.stdout.isatty() else written
        click.echo(shown if is_first else f"\n{shown}")
    if form == "explained":
        _print_explanation(preview)


def _text(article: Article) -> str:
    return article.text


def _markdown(article: Article) -> str:
    """Return the title as a heading, then the paragraphs, in CommonMark."""
    return "\n\n".join([f"# {_escape_markdown(article.title)}", *map(_escape_markdown, article.text.split("\n"))])


def _escape_markdown(line: str) -> str:
    """Return a line in which no character is taken for markup."""
    return _MARKDOWN_BLOCK.sub(r"\1\\\2", _MARKDOWN_INLINE.sub(r"\\\g<0>", line))


def _html(article: Article) -> str:
    """Return a page with the article alone, which `extract` and `ingest` can read again."""
    published = article.published_at.isoformat() if article.published_at else ""
    properties = {"article:published_time": published, "article:author": ", ".join(article.authors)}
    head = [
        '<meta charset="utf-8">',
        f"<title>{html.escape(article.title)}</title>",
        f'<link rel="canonical" href="{html.escape(article.url)}">',
        *(f'<meta property="{name}" content="{html.escape(value)}">' for name, value in properties.items() if value),
    ]
    body = [
        f"<h1>{html.escape(article.title)}</h1>",
        *(f"<p>{html.escape(each)}</p>" for each in article.text.split("\n")),
    ]
    top = f'<!DOCTYPE html>\n<html lang="{html.escape(article.language)}">\n<head>'
    return "\n".join([top, *head, "</head>", "<body>", "<article>", *body, "</article>", "</body>", "</html>"])


def _print_article(article: Article) -> None:
    """Print an article's title and metadata, then its paragraphs."""
    from worker.cli.render.tables import console, escape_markup
    from worker.cli.render.why import format_rights, shown_fields

    out = console()
    facts = {
        "url": article.url,
        "canonical": article.canonical_url,
        "authors": ", ".join(article.authors) or "unknown",
        "published": _format_published(article),
        "modified": _format_time(article.modified_at),
        "language": f"{article.language}, {counted(article.words, 'word')}",
        "rights": format_rights(article.rights) or "no signal",
        **{name.replace("_", " "): f"{value} (from {origin})" for name, value, origin in shown_fields(article)},
    }
    out.print(f"[bold]{escape_markup(article.title) or 'no title'}[/]", soft_wrap=True)
    for name, value in facts.items():
        out.print(f"  {name:<10} {escape_markup(value)}", soft_wrap=True)
    for paragraph in article.text.split("\n"):
        out.print(f"\n{escape_markup(paragraph)}", soft_wrap=True)
    out.print()


def _format_published(article: Article) -> str:
    """Return the publication date with its origin, marked as a guess if no place states it."""
    if not article.published_at:
        return "unknown"
    guessed = ", a guess" if article.is_date_guessed else ""
    return f"{_format_time(article.published_at)} (from {article.published_at_from or 'an unknown place'}{guessed})"


def _format_time(when: datetime | None) -> str:
    from worker.models.base import format_utc

    return format_utc(when) if when else "unknown"


def _print_explanation(preview: ExtractPreview) -> None:
    """Print the fetch steps, the origin of each field, the figures and the left-out blocks."""
    found = preview.explanation
    _print_section("fetch", [(step.what, f"{step.detail}  ({step.url})") for step in preview.steps])
    _print_section(
        "fields, and where each came from", [(each.name, f"{each.value}  <- {each.origin}") for each in found.fields]
    )
    _print_section("figures", found.figures)
    _print_section("left out", [(each.why, each.text) for each in found.dropped])


def _print_section(heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print named values under a heading; print nothing if there are none."""
    from worker.cli.render.tables import console, escape_markup

    if not rows:
        return
    out = console()
    out.print(f"[bold]{heading}[/]")
    for name, value in rows:
        flat = " ".join(value.split())
        short = flat if len(flat) <= _MAX_SHOWN else f"{flat[:_MAX_SHOWN]}…"
        out.print(f"  {escape_markup(name)}: {escape_markup(short)}", soft_wrap=True)
