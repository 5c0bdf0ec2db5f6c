"""The commands about copies: `duplicates` lists them, and `dedupe` finds them in a corpus that is not in the store.

`mark`, `review` and `fit` let people correct the judge.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.base import (
    SILENT,
    CommonOptions,
    end_at_once,
    end_now,
    examples,
    interruptible,
    json_time,
    options,
    print_json,
    print_note,
)
from worker.errors import UsageError, install_hint
from worker.models.base import counted
from worker.models.browsing import UNDONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from worker.models import DuplicateLink
    from worker.runs.fit_judge import FitReport
    from worker.storage.corpus.judge_model import UnsurePair
    from worker.storage.maintenance.manual_decisions import Rejudged

_LARGEST_ID: Final = 2**63 - 1  # the largest integer that SQLite and PostgreSQL (bigint) can store
_ID: Final = click.IntRange(min=1, max=_LARGEST_ID)
_MIN_FACTOR_CHANGE: Final = 0.05
"""Weights that `fit` changed by less than 5% are not printed: chosen to keep the list short, not measured."""
_MAX_PROBLEMS_SHOWN: Final = 10  # with the input of `dedupe`: half a screen
_MAX_CHANGES_SHOWN: Final = 20  # pairs that `fit` lists: one screen; `--json` prints all of them


@click.group(invoke_without_command=True, epilog=examples("duplicates", "duplicates --all --format jsonl"))
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "jsonl"]),
    default="table",
    show_default=True,
    help="The output format.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Also list pairs that keep both texts: follow-ups, templates, overlaps."
)
@options
def duplicates(common: CommonOptions, output_format: str, everything: bool) -> None:
    """List the recognised copies.

    Each is listed below the text that is exported instead.
    """
    if click.get_current_context().invoked_subcommand:  # `duplicates mark` and the like
        return
    from worker.storage.store import open_read_only

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    with open_read_only(settings) as store:
        links = store.reader.duplicates(links_that_keep_both=everything)
        if output_format == "table" and not common.as_json:
            print_duplicates(links)
            return
        for link in links:
            print_json(duplicate_record(link))


def duplicate_record(link: DuplicateLink) -> dict[str, object]:
    """Return a recognised copy as `duplicates --format jsonl` prints it."""
    return {
        "url": link.url,
        "source": link.source,
        "fetched_at": link.fetched_at.isoformat(),
        "published_at": json_time(link.published_at),
        "duplicate_of": link.duplicate_of,
        "duplicate_of_url": link.duplicate_of_url,
        "duplicate_of_fetched_at": json_time(link.duplicate_of_fetched_at),
        "duplicate_of_published_at": json_time(link.duplicate_of_published_at),
        "first_host": link.first_host,
        "relation": link.relation.value,
        "jaccard": round(link.jaccard, 4),
        "containment": round(link.containment, 4),
        "probability": None if link.probability is None else round(link.probability, 4),
        "shared_words": link.shared_words,
    }


def _format_times(published_at: datetime | None, fetched_at: datetime | None) -> str:
    from worker.cli.render.tables import format_time

    return f"published {format_time(published_at)}, fetched {format_time(fetched_at)}"


def print_duplicates(links: Iterable[DuplicateLink]) -> int:
    """Print the recognised copies grouped by the exported text; return their number."""
    from worker.cli.render.tables import console, escape_markup

    out, kept = console(), None
    rows = sorted(links, key=lambda link: (link.duplicate_of, link.id))
    for link in rows:
        if link.duplicate_of != kept:
            kept = link.duplicate_of
            out.print(f"[bold]{kept}  {escape_markup(link.duplicate_of_title)}[/]", soft_wrap=True)
            out.print(f"  {escape_markup(link.duplicate_of_url)}", soft_wrap=True)
            times = _format_times(link.duplicate_of_published_at, link.duplicate_of_fetched_at)
            first = f"; first: {escape_markup(link.first_host)}" if link.first_host else ""
            out.print(f"  {times}{first}", soft_wrap=True)
        figures = f"jaccard {link.jaccard:.2f}, containment {link.containment:.2f}, {link.shared_words:,} shared words"
        out.print(f"    {link.id}  {link.relation.value}: {figures}", soft_wrap=True)
        out.print(f"      {escape_markup(link.title)}", soft_wrap=True)
        out.print(f"      {escape_markup(link.url)}", soft_wrap=True)
        out.print(f"      {_format_times(link.published_at, link.fetched_at)}", soft_wrap=True)
    out.print(f"{len(rows):,} recognised")
    return len(rows)


@click.command(epilog=examples("duplicates mark 12 40 --same", "duplicates mark --original 12"))
@click.argument("ids", type=_ID, nargs=-1, metavar="[ID ID]")
@click.option("--same", is_flag=True, help="Both are the same item; one text is exported.")
@click.option("--different", is_flag=True, help="They are two items; both texts are exported.")
@click.option("--undo", is_flag=True, help="Take back what was said of both; the judge decides again.")
@click.option(
    "--original",
    type=_ID,
    metavar="ID",
    help="This article, by its id in `why`, is the original: the newest version of its page is exported.",
)
@options
def mark(
    common: CommonOptions, ids: tuple[int, ...], same: bool, different: bool, undo: bool, original: int | None
) -> None:
    """Mark articles as the same, different or the original.

    Give two ids of articles, as `why` shows them, with --same, --different or --undo, or one with --original. A mark
    overrides the judge.
    """
    from worker.runs import reprocess

    decided = _read_decision(ids, same=same, different=different, undo=undo, original=original)
    settings = common.settings()
    common.set_up_logs(settings.log.format)
    if original is not None:
        ids, moved = (original,), reprocess.mark_original(settings, original)
    else:
        moved = reprocess.mark(settings, *ids, decided=decided)
    if common.as_json:
        again = [_change_record(each) for each in moved]
        print_json({"articles": list(ids), "decided": decided, "judged_again": again})
    elif common.verbosity > SILENT:
        _print_changes(ids, decided, moved)


def _read_decision(ids: tuple[int, ...], *, same: bool, different: bool, undo: bool, original: int | None) -> str:
    """Return the decision on the command line: `same`, `different`, `undone` or `original`.

    Raises UsageError if it is unclear.
    """
    if original is not None:
        if ids or same or different or undo:
            raise UsageError("--original names one article by itself: leave out the other ids and options")
        return "original"
    if same + different + undo != 1:
        raise UsageError("give one of --same, --different and --undo with two article ids, or --original ID")
    if len(ids) != 2:
        raise UsageError(f"give the ids of two articles, as `why URL` shows them; found {len(ids)}")
    if ids[0] == ids[1]:
        raise UsageError(f"article {ids[0]} is given twice: give the ids of two articles, as `why URL` shows them")
    return "same" if same else "different" if different else UNDONE


def _change_record(moved: Rejudged) -> dict[str, object]:
    """Return how a mark changed one article's verdict, as JSON values."""
    return {
        "id": moved.id,
        "url": moved.url,
        "from": {"relation": moved.relation.value, "cluster": moved.cluster, "exported": moved.head},
        "to": {"relation": moved.new_relation.value, "cluster": moved.new_cluster, "exported": moved.new_head},
    }


def _print_changes(ids: tuple[int, ...], decided: str, moved: tuple[Rejudged, ...]) -> None:
    """Print the stored mark, and every article whose relation, cluster or export changed because of it."""
    from worker.cli.render.tables import console, escape_markup, placement_after, placement_before

    out = console()
    if decided == "original":
        exported = next((each.id for each in moved if each.new_head), ids[0])
        newest = f"; exported is the newest version of its page, article {exported}" if exported != ids[0] else ""
        out.print(f"remembered: article {ids[0]} is the original{newest}")
    else:
        said = {"same": "are the same item", "different": "are different items", UNDONE: "are not marked any more"}
        out.print(f"remembered: articles {ids[0]} and {ids[1]} {said[decided]}")
    changed = [each for each in moved if placement_before(each) != placement_after(each)]
    for each in changed:
        out.print(f"  {each.id}  {placement_before(each)} -> {placement_after(each)}  {escape_markup(each.url)}")
    if not changed:
        out.print("  no verdict changed")


@click.command(epilog=examples("duplicates review --limit 5"))
@click.option(
    "--limit", type=click.IntRange(min=1, max=1000), default=20, show_default=True, help="The number of pairs."
)
@options
def review(common: CommonOptions, limit: int) -> None:
    """List the pairs about which the judge was least sure.

    Marking these with `duplicates mark` improves the judge most.
    """
    from worker.runs.fit_judge import find_unsure_pairs

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    pairs = find_unsure_pairs(settings, most=limit)
    if common.as_json:
        for each in pairs:
            print_json(asdict(each))
    elif common.verbosity > SILENT:
        _print_pairs(pairs)


def _print_pairs(pairs: list[UnsurePair]) -> None:
    """Print the probability and relation of each pair, and below it the titles and addresses of both articles."""
    from worker.cli.render.tables import console, escape_markup

    out = console()
    for each in pairs:
        out.print(f"{each.probability:.2f}  {each.relation.value}")
        for number, title, url in (
            (each.article, each.title, each.url),
            (each.other, each.other_title, each.other_url),
        ):
            out.print(f"  {number:>6}  {escape_markup(title)}\n          {escape_markup(url)}")
    if pairs:
        out.print("to decide a pair: corpus-worker duplicates mark ID ID --same (or --different)")
    else:
        out.print("nothing to review: there is no compared pair without a mark")


@click.command(epilog=examples("duplicates fit --dry-run"))
@click.option("--force", is_flag=True, help="Store the fitted weights even if they are no better.")
@click.option("-n", "--dry-run", is_flag=True, help="Show the fitted weights; store nothing.")
@options
def fit(common: CommonOptions, force: bool, dry_run: bool) -> None:
    """Fit the judge's weights to the marks in this store.

    They are stored if they do better than the shipped ones on marks that they were not fitted to (cross-validation).
    New articles are judged with these weights; `reprocess --dedupe` applies them to stored ones.
    """
    from worker.runs.fit_judge import fit_judge

    settings = common.settings()
    common.set_up_logs(settings.log.format)
    fitted = fit_judge(settings, dry_run=dry_run, force=force)
    if common.as_json:
        print_json(asdict(fitted))
    elif common.verbosity > SILENT:
        _print_fit(fitted, dry_run=dry_run)
    raise SystemExit(0 if fitted.applied or dry_run else 1)


def _print_fit(fitted: FitReport, *, dry_run: bool) -> None:
    """Print how well shipped and fitted weights do on the marks, and which weights changed.

    `wrong` and the log loss of the fitted weights come from cross-validation: each mark is judged by weights fitted
    without it.
    """
    from worker.cli.render.tables import console

    out = console()
    unused = f"; {fitted.unused} more do not count, as their texts share no words" if fitted.unused else ""
    marks = counted(fitted.same + fitted.different, "mark")
    out.print(f"{marks}: {fitted.same} the same, {fitted.different} different{unused}")
    for name, score in (("shipped weights", fitted.before), ("fitted, on marks left out", fitted.after)):
        out.print(f"  {name:<26} {score.wrong} wrong, mean log loss {score.loss:.3f}")
    moved = {name: factor for name, factor in fitted.factors.items() if abs(factor - 1.0) >= _MIN_FACTOR_CHANGE}
    for name, factor in sorted(moved.items(), key=lambda each: -abs(each[1] - 1.0)):
        out.print(f"  {name.replace('_', ' '):<26} counts {factor:.2f} times as much")
    out.print(f"  every pair                 {fitted.shift:+.2f} on the sum")
    _print_changed_pairs(fitted)
    if not fitted.is_better:
        out.print("on marks left out the fitted weights are no better than the shipped ones: mark more pairs")
    if not fitted.applied:
        out.print(
            "nothing was stored (--dry-run)" if dry_run else "nothing was stored; --force stores them all the same"
        )
        return
    out.print("the weights are stored; a running daemon loads them at its next start or SIGHUP")
    out.print(
        "stored articles keep their verdict until `corpus-worker reprocess --dedupe` (--dry-run shows the changes)"
    )


for _command in (mark, review, fit):
    duplicates.add_command(_command)


def _print_changed_pairs(fitted: FitReport) -> None:
    """Print how many stored pairs the fitted weights decide otherwise, and the first with both probabilities."""
    from worker.cli.render.tables import console, escape_markup

    out = console()
    count = len(fitted.changed)
    out.print(f"{count} of the {fitted.compared} stored pairs nearest to the threshold would be decided otherwise")
    for each in fitted.changed[:_MAX_CHANGES_SHOWN]:
        out.print(f"  {each.before:.2f} -> {each.after:.2f}  {each.article}  {escape_markup(each.title)}")
        out.print(f"                {each.other}  {escape_markup(each.other_title)}")
    if count > _MAX_CHANGES_SHOWN:
        out.print(f"  and {count - _MAX_CHANGES_SHOWN} more (--json lists all)")


@click.command(epilog=examples("dedupe corpus/*.parquet --output deduplicated"))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    "--out",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A new or empty folder for the result.",
)
@click.option("--ray", metavar="ADDRESS", help="Run on this Ray cluster, or on a new one on this machine (`local`).")
@options
def dedupe(common: CommonOptions, inputs: tuple[str, ...], out: Path, ray: str | None) -> None:
    """Deduplicate a corpus that is not in the store.

    Copies are recognised by the same judge as the worker's. INPUT is a Parquet or JSON Lines file, a folder or pattern
    of these, or a URL of one. No store is needed or changed.
    """
    settings = common.settings(needs_file=False)
    common.set_up_logs(settings.log.format, quietly=True)
    from worker.clock import SystemClock

    try:
        with interruptible(end_now):
            from worker.batch.dedupe import DedupeJob
            from worker.batch.dedupe import dedupe as run
    except ModuleNotFoundError as exc:
        if exc.name not in {"daft", "pyarrow"}:
            raise
        raise UsageError(f"dedupe needs {exc.name}: {install_hint('batch')}") from None
    job = DedupeJob(inputs=inputs, out=out, settings=settings.dedupe, now=SystemClock().now(), ray=ray)
    with end_at_once(applies=ray is None), interruptible() as interrupted:
        is_quiet = common.verbosity < 0
        report = run(job, tell=lambda step: None if is_quiet or interrupted.is_set() else print_note(f"{step} …"))
    if common.as_json:
        print_json(report)
    elif common.verbosity > SILENT:
        _print_report(report, out)


def _print_report(report: Mapping[str, Any], out: Path) -> None:
    """Print what was kept, and on standard error the first problems with the input."""
    left_out = f", {counted(report['left_out'], 'row')} left out" if report["left_out"] else ""
    click.echo(
        f"{out}: {counted(report['texts'], 'text')} kept of {counted(report['rows'], 'row')}; "
        f"{counted(report['copies'], 'copy')} in {counted(report['clusters'], 'cluster')}, "
        f"{counted(report['empty'], 'row')} without text{left_out}"
    )
    for problem in report["problems"][:_MAX_PROBLEMS_SHOWN]:
        print_note(f"corpus-worker: {problem}")
    if (more := len(report["problems"]) - _MAX_PROBLEMS_SHOWN) > 0:
        print_note(f"corpus-worker: {more:,} more such lines are in {out / 'report.json'}")
