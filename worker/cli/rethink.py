"""The command `reprocess`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Self

import click

from worker.cli.common import SILENT, Common, note, options, print_json
from worker.cli.signals import until_signal
from worker.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from worker.reprocess import Report
    from worker.storage.marking import Moved
    from worker.storage.rethinking import Change


def placement_before(place: Moved | Change) -> str:
    """Return where an article was: its relation, its cluster, and whether it was exported."""
    return _place(place.relation.value, place.cluster, exported=place.head)


def placement_after(place: Moved | Change) -> str:
    """Return where an article is now."""
    return _place(place.new_relation.value, place.new_cluster, exported=place.new_head)


def _place(relation: str, cluster: int, *, exported: bool) -> str:
    return f"{relation} in {cluster}, {'exported' if exported else 'not exported'}"


@click.command()
@click.option("--dedupe", is_flag=True, help="Judge again only; extract nothing again.")
@click.option("--rejected", is_flag=True, help="Extract only the kept pages that gave no article; judge nothing else.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@options
def reprocess(common: Common, dedupe: bool, rejected: bool, dry_run: bool) -> None:
    """Extract every kept page and judge every article again, under the settings as they are now; needs no network."""
    from worker.reprocess import Reprocessing

    if dedupe and rejected:
        raise UsageError("say either --dedupe, which extracts nothing, or --rejected, which extracts rejected pages")
    settings = common.settings()
    gauge = _Gauge(shown=sys.stderr.isatty() and common.loudness >= 0)
    common.set_up_logs(settings.log.format, quietly=gauge.shown)
    work = Reprocessing(settings, extract=not dedupe, rejected=rejected, watcher=gauge.tell)

    async def until_done() -> Report | None:
        try:
            return await (work.rehearse() if dry_run else work.carry_out())
        except asyncio.CancelledError:
            return None

    with gauge:
        report, stopped_by = until_signal(until_done)
    if report is None:
        note("stopped; the same command goes on from here")
    elif common.as_json:
        print_json(_record(report))
    elif common.loudness > SILENT:
        _show(report, in_full=dry_run or common.loudness > 0)
    raise SystemExit(128 + stopped_by if stopped_by else 0)


def _record(report: Report) -> dict[str, object]:
    made = report.extracted
    return {
        "applied": report.applied,
        "indexed": report.indexed,
        "extracted": made and {"other": made.other, "same": made.same, "none": made.none, "urls": list(made.urls)},
        "judged": report.judged,
        "changed": len(report.changes),
        "texts_before": report.texts_before,
        "texts_after": report.texts_after,
        "changes": [_change_record(change) for change in report.changes],
    }


def _change_record(change: Change) -> dict[str, object]:
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


def _show(report: Report, *, in_full: bool) -> None:
    from worker.cli.show import clean, console

    out = console()
    if report.indexed:
        out.print(f"{report.indexed} articles indexed again")
    if made := report.extracted:
        kept = f", {made.none} without an article, whose text is kept" if made.none else ""
        out.print(f"{made.other + made.same + made.none} pages extracted: {made.other} other texts{kept}")
        for url in made.urls:
            out.print(f"  another text: {clean(url)}")
    if in_full and report.changes:
        _show_changes(report.changes)
    would = "changed" if report.applied else "would change"
    out.print(f"{len(report.changes)} articles {would}: {report.texts_before} texts before, {report.texts_after} after")
    if not report.applied:
        out.print("nothing was changed (--dry-run)")


def _show_changes(changes: tuple[Change, ...]) -> None:
    from rich.table import Table

    from worker.cli.show import clean, console

    table = Table(box=None, pad_edge=False)
    for name in ("article", "before", "after", "against", "jaccard", "contained", "title"):
        table.add_column(name, overflow="fold")
    for each in changes:
        figures = (f"{each.jaccard:.2f}", f"{each.containment:.2f}") if each.against else ("", "")
        title = f"{clean(each.title)}\n{clean(each.url)}"
        table.add_row(
            str(each.id), placement_before(each), placement_after(each), str(each.against or ""), *figures, title
        )
    console().print(table)


class _Gauge:
    """Shows on a terminal what is being done and how far it came."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True, emoji=False), transient=True)
            self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, what: str, done: int) -> None:
        """Show what is being done, and to how many."""
        if self._bar:
            things = "pages" if what == "extracted" else "articles"
            self._bar.update(self._bar.tasks[0].id, description=f"{done} {things} {what}")
