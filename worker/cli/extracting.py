"""The command `extract`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from worker.cli.common import Common, note, options, print_json
from worker.cli.signals import until_signal

if TYPE_CHECKING:
    from worker.models import Article, Rights
    from worker.preview import Preview
    from worker.settings import Settings

_LONGEST_SHOWN: Final = 200


@click.command()
@click.argument("target", metavar="FILE-or-URL")
@click.option("--explain", is_flag=True, help="Also show where each field and each dropped block came from.")
@options
def extract(common: Common, target: str, explain: bool) -> None:
    """Print what would be stored of a page, a file or every file of a folder; store nothing."""
    settings = common.settings()
    common.set_up_logs(settings.log.format, quietly=True)
    articles, _ = until_signal(lambda: _extract(common, settings, target, explain=explain))
    raise SystemExit(0 if articles else 1)


async def _extract(common: Common, settings: Settings, target: str, *, explain: bool) -> int:
    """Print a preview of everything the target holds; return how many articles there were."""
    from worker.preview import preview

    articles = 0
    async for each in preview(settings, target):
        articles += each.explanation.article is not None
        if common.as_json:
            print_json(_record(each, explain=explain))
        else:
            _show(each, explain=explain)
    return articles


def _record(preview: Preview, *, explain: bool) -> dict[str, object]:
    from worker.export.fields import plain, previewed

    told = preview.explanation
    record: dict[str, object] = {
        "place": preview.place,
        "article": plain(previewed(told.article)) if told.article else None,
        "reason": told.reason,
        "message": told.message,
    }
    if explain:
        record["fields"] = [{"name": each.name, "value": each.value, "origin": each.origin} for each in told.fields]
        record["figures"] = dict(told.figures)
        record["dropped"] = [{"text": each.text, "why": each.why} for each in told.dropped]
        record["steps"] = [{"what": step.what, "detail": step.detail, "url": step.url} for step in preview.steps]
    return record


def _show(preview: Preview, *, explain: bool) -> None:

    told = preview.explanation
    if told.article:
        _show_article(told.article)
    else:
        reason = f" ({told.reason})" if told.reason else ""
        note(f"corpus-worker: {preview.place}: no article{reason}: {told.message}")
    if explain:
        _show_explanation(preview)


def _show_article(article: Article) -> None:
    from worker.cli.show import clean, console

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
    out.print(f"[bold]{clean(article.title) or 'no title'}[/]", soft_wrap=True)
    for name, value in facts.items():
        out.print(f"  {name:<10} {clean(value)}", soft_wrap=True)
    for paragraph in article.text.split("\n"):
        out.print(f"\n{clean(paragraph)}", soft_wrap=True)
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


def _show_explanation(preview: Preview) -> None:
    told = preview.explanation
    _section("fetch", [(step.what, f"{step.detail}  ({step.url})") for step in preview.steps])
    _section(
        "fields, and where each came from", [(each.name, f"{each.value}  <- {each.origin}") for each in told.fields]
    )
    _section("figures", told.figures)
    _section("left out", [(each.why, each.text) for each in told.dropped])


def _section(heading: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print named values under a heading; nothing where there are none."""
    from worker.cli.show import clean, console

    if not rows:
        return
    out = console()
    out.print(f"[bold]{heading}[/]")
    for name, value in rows:
        flat = " ".join(value.split())
        short = flat if len(flat) <= _LONGEST_SHOWN else f"{flat[:_LONGEST_SHOWN]}…"
        out.print(f"  {clean(name)}: {clean(short)}", soft_wrap=True)
