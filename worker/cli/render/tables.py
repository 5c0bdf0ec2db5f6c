"""Tables and summaries for standard output, and the JSON records of the same data.

Each kind of data has a `print_…` function for people and a `…_record` function for `--json`. Text from outside passes
through `escape_markup` before rich prints it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.cli.base import json_time, print_json
from worker.config.types import format_duration
from worker.logs import escape
from worker.models import AuditReport, SourceState, State
from worker.models.base import counted, dataclass, format_utc

if TYPE_CHECKING:
    from worker.config.schema import Settings
    from worker.config.sources import SourceSettings
    from worker.runs.backfill import BackfillReport
    from worker.runs.discover_sources import SuggestedSource
    from worker.runs.doctor import CheckedSource
    from worker.runs.ingest import IngestReport
    from worker.storage.maintenance.manual_decisions import Rejudged
    from worker.storage.maintenance.rejudge import VerdictChange
    from worker.storage.seeds.importing import SeedFileRecord


_MARKUP: Final = re.compile(r"\\+|\[")
_NARROWEST: Final = 8  # characters of a cut column, below which it says nothing; chosen
# The order of states in every output: what was stored, what was not and why, and what is still waiting.
STATE_ORDER = (
    State.STORED,
    State.DUPLICATE,
    State.REVISED,
    State.UNCHANGED,
    State.REJECTED,
    State.BLOCKED,
    State.FAILED,
    State.PENDING,
)


def escape_markup(text: str) -> str:
    """Return text with control characters escaped and rich's markup disabled."""
    # rich unescapes backslashes only in front of a tag, so an empty tag is put behind each `\` run and each `[`.
    return _MARKUP.sub(lambda found: found[0] * (2 if found[0][0] == "\\" else 1) + "[none][/none]", escape(text))


def format_time(when: datetime | None) -> str:
    """Return a time in UTC, `-` for None."""
    return format_utc(when) if when else "-"


class ResultConsole(Console):
    """A console that raises BrokenPipeError once its reader has stopped reading; rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        """Raise the exception that is being handled, so that it reaches `main` also from inside an event loop."""
        raise  # noqa: PLE0704 - rich calls this from its `except BrokenPipeError`


def console(*, width: int = 200) -> ResultConsole:
    """Return the console for results; without a terminal it is at least 200 columns wide, so that few lines wrap."""
    found = ResultConsole(highlight=False, emoji=False)
    return found if found.is_terminal else ResultConsole(highlight=False, emoji=False, width=max(width, 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingTable:
    """A table with one line a row, whatever the width.

    Where it is too wide, columns are left out in the order of `dropped` until those in `least` have so many characters;
    then these are cut, `file` at its beginning. With `turned`, columns become rows instead. Columns are wide enough for
    the rows in `beside`, too.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[str] = ()
    dropped: Sequence[str] = ()
    least: Mapping[str, int] = field(default_factory=dict)
    gap: int = 2
    turned: bool = False
    beside: Sequence[Sequence[str]] = ()

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Yield the table as it fits."""
        table = Table(box=None, pad_edge=False, padding=(0, self.gap, 0, 0), show_header=True)
        if self.turned and self.width() > options.max_width:
            table.show_header = False
            for name, *cells in zip(self.names, *self.rows, strict=True):
                table.add_row(Text(name, style="bold"), *(Text(escape(cell), justify="right") for cell in cells))
        else:
            widths = self._fit(options.max_width)
            for name, width in widths.items():
                table.add_column(name, "", no_wrap=True, width=width, justify="right" if name in self.right else "left")
            for row in self.rows:
                by_name = {name: escape(cell) for name, cell in zip(self.names, row, strict=True)}
                table.add_row(*(Text(_cut(by_name[name], width, name)) for name, width in widths.items()))
        yield table

    def width(self) -> int:
        """Return the width of the whole table."""
        return self._total(self._widths())

    def _widths(self) -> dict[str, int]:
        columns = zip(self.names, *self.rows, *self.beside, strict=True)
        return {column[0]: max(cell_len(escape(cell)) for cell in column) for column in columns}

    def _total(self, widths: Mapping[str, int]) -> int:
        return sum(widths.values()) + self.gap * (len(widths) - 1)

    def _fit(self, width: int) -> dict[str, int]:
        """Return the columns that are shown, with their widths."""
        widths = self._widths()
        for name in self.dropped:
            if self._total({each: min(size, self.least.get(each, size)) for each, size in widths.items()}) > width:
                del widths[name]
        while self.least and self._total(widths) > width:
            name = max(self.least, key=lambda each: widths[each] - self.least[each])
            if widths[name] <= _NARROWEST:
                break
            widths[name] -= 1
        return widths


def _cut(cell: str, width: int, name: str) -> str:
    if cell_len(cell) <= width:
        return cell
    return f"…{set_cell_size(cell[::-1], width - 1)[::-1]}" if name == "file" else f"{set_cell_size(cell, width - 1)}…"


def print_ingest_summary(report: IngestReport, *, stopped_by: int) -> None:
    """Print the polls, the counts by outcome and the duration of an `ingest` run."""
    out, record = console(), report.as_record()
    if report.sources:
        out.print(_poll_table(report))
    out.print(_counts_table(record))
    worked = sum(report.tally.outcomes.values())
    earlier = worked + report.pending - report.tally.discovered
    if earlier > 0:
        out.print(f"{earlier:,} of these were discovered before this run: they were pending, or were rechecked")
    seconds = report.elapsed.total_seconds()
    rate = f", {worked / seconds:.1f} a second" if worked and seconds else ""
    ended = "stopped by a signal after" if stopped_by else "done in"
    out.print(f"{ended} {seconds:.1f} s{rate}")


def print_backfill_summary(report: BackfillReport, *, dry_run: bool, stopped_by: int) -> None:
    """Print the outcomes of this run of a backfill, and the progress of the whole backfill."""
    out, state = console(), report.state
    if not dry_run and not report.options.discover_only:
        out.print(_counts_table(report.as_record()))
    unread = f", {state.unread:,} could not be read" if state.unread else ""
    places = "place" if state.looked == 1 else "places"
    out.print(f"{state.looked:,} {places} looked at, {state.waiting:,} to go{unread}")
    left_out = f", {state.left_out:,} of other times left out" if state.left_out else ""
    out.print(f"{state.found:,} found, {state.new:,} of them new{left_out}")
    if dry_run:
        out.print("nothing was stored (--dry-run)")
    elif not report.finished:
        stopped = "stopped by a signal" if stopped_by else "not finished"
        waiting = f"{report.pending:,} found and not yet worked on; " if report.pending else ""
        out.print(f"{stopped}: {waiting}run the same command again to resume")


def _counts_table(record: Mapping[str, object]) -> FittingTable:
    """Return a table with one column for each state; it fits into 79 columns."""
    names = ("discovered", *(state.value for state in STATE_ORDER))
    return FittingTable(names=names, rows=[[str(record[name]) for name in names]], right=names, gap=1, turned=True)


def _poll_table(report: IngestReport) -> Table:
    """Return a table of the polled sources, with the entries found, the new ones, and the result."""
    table = Table(box=None, pad_edge=False)
    for name in ("source", "found", "new", "result"):  # found: entries in the source; new: those never seen before
        is_number = name in {"found", "new"}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=name != "result")
    for name, source in report.sources.items():
        table.add_row(escape_markup(name), str(source.found), str(source.new), escape_markup(source.result))
    return table


def print_source_table(settings: Settings, states: Mapping[str, SourceState], *, as_json: bool) -> None:
    """Print the configured sources, each with the state of its polls from the store."""
    rows = [(source, states.get(source.name, SourceState(name=source.name))) for source in settings.sources]
    if as_json:
        print_json([{**source.model_dump(mode="json"), **poll_record(state)} for source, state in rows])
        return
    table = FittingTable(
        names=("name", "kind", "enabled", "every", "last poll", "next poll", "found", "error", "url"),
        rows=[_source_cells(source, state, settings) for source, state in rows],
        dropped=("found", "every", "next poll", "kind", "enabled", "last poll"),
        least={"name": 16, "error": 12, "url": 30},
    )
    console(width=table.width()).print(table)


def _source_cells(source: SourceSettings, state: SourceState, settings: Settings) -> Sequence[str]:
    every, paused = state.interval or source.every or settings.schedule.every, not source.enabled
    return (
        source.name,
        source.kind,
        "paused" if paused else "yes",
        format_duration(every),
        format_time(state.polled_at),
        "-" if paused else format_time(state.due_at),
        str(state.found),
        "-" if paused else state.error or "-",
        source.url or source.path,
    )


def print_seed_files(files: Sequence[SeedFileRecord]) -> None:
    """Print the files of the seed corpus with their counts."""
    counts = ("rows", "imported", "copies", "refused")
    table = FittingTable(
        names=(*counts, "file"),
        rows=[(*(f"{getattr(each, name):,}" for name in counts), each.name) for each in files],
        right=counts,
        dropped=("refused", "copies"),
        least={"file": 30},
    )
    out = console(width=table.width())
    out.print(table)
    for each in files:
        if not each.finished:
            out.print(f"{escape_markup(each.name)}: not read to its end", soft_wrap=True)


def poll_record(state: SourceState) -> dict[str, object]:
    """Return the state of a source's polls as JSON values."""
    return {
        "polled_at": json_time(state.polled_at),
        "succeeded_at": json_time(state.succeeded_at),
        "due_at": json_time(state.due_at),
        "failures": state.failures,
        "error": state.error,
        "found": state.found,
    }


def audit_record(books: AuditReport) -> dict[str, object]:
    """Return the result of an audit as `audit --json` prints it."""
    return {"balanced": books.balanced, **counts_record(books), "problems": list(books.problems)}


def counts_record(books: AuditReport) -> dict[str, object]:
    """Return the number of candidates by state, and of articles, seeds and clusters."""
    return {
        "discovered": books.discovered,
        **{state.value: books.counts.get(state, 0) for state in STATE_ORDER},
        "articles": books.articles,
        "seeds": books.seeds,
        "clusters": books.clusters,
    }


def print_audit(books: AuditReport) -> None:
    """Print the books (discovered = the sum of all states), the size of the corpus, and the problems found."""
    out = console()
    parts = " + ".join(f"{books.counts.get(state, 0)} {state.value}" for state in STATE_ORDER)
    out.print(f"{books.discovered} discovered = {parts}")
    out.print(corpus_equation(texts=books.clusters, articles=books.articles, seeds=books.seeds))
    out.print("not exported are copies and earlier versions: one text of each cluster is exported")
    for problem in books.problems:
        out.print(f"problem: {escape_markup(problem)}", style="red")
    out.print("the books balance" if books.balanced else "the books do not balance", style="bold")


def corpus_equation(*, texts: int, articles: int, seeds: int) -> str:
    """Return the line that relates the exported texts to the stored articles and seeds."""
    stored = f"{counted(articles, 'article')} + {counted(seeds, 'seed')}"
    return f"{counted(texts, 'text')} = {stored} - {articles + seeds - texts:,} not exported"


def placement_before(place: Rejudged | VerdictChange) -> str:
    """Return an article's relation and cluster before a change, and whether it was exported."""
    return _placement(place.relation.value, place.cluster, exported=place.head)


def placement_after(place: Rejudged | VerdictChange) -> str:
    """Return an article's relation and cluster after a change, and whether it is exported."""
    return _placement(place.new_relation.value, place.new_cluster, exported=place.new_head)


def _placement(relation: str, cluster: int, *, exported: bool) -> str:
    """Return a relation, a cluster and whether the article is exported, as one phrase."""
    return f"{relation} in {cluster}, {'exported' if exported else 'not exported'}"


# For `sources add` and `sources check`: what can be polled.


def print_suggestions(found: Sequence[SuggestedSource]) -> None:
    """Print the suggested sources, best first, each with its address and the reason below it; `*` marks the picked."""
    out, line = console(), "{:<3}{:<9}{:>7}  {:<23}  {:>7}  {}"
    out.print(line.format("", "kind", "entries", "newest", "overlap", "articles"), style="bold")
    for proposal in found:
        rated = proposal.rated
        poll = rated.poll
        mark, entries = "*" if rated.picked else "", str(len(poll.keys)) if poll.keys else "-"
        overlap = f"{rated.overlap:.0%}" if poll.keys and not poll.error else "-"
        sample = escape_markup(proposal.sample) or "-"
        out.print(line.format(mark, poll.kind, entries, format_time(poll.newest), overlap, sample), soft_wrap=True)
        out.print(f"   {escape_markup(poll.url)}", soft_wrap=True)
        out.print(Padding(escape_markup(rated.reason), (0, 0, 0, 3), expand=False))


def suggestion_record(proposal: SuggestedSource) -> dict[str, object]:
    """Return a suggested source as JSON values."""
    rated = proposal.rated
    poll = rated.poll
    return {
        "kind": poll.kind,
        "url": poll.url,
        "title": poll.title,
        "entries": len(poll.keys),
        "newest": json_time(poll.newest),
        "overlap": round(rated.overlap, 3),
        "share": round(poll.share, 3),
        "sample": proposal.sample,
        "picked": rated.picked,
        "reason": rated.reason,
    }


def print_checks(checked: Sequence[CheckedSource]) -> None:
    """Print the result of checking each source as a table, and below it the problems found and what to do."""
    table = FittingTable(
        names=("name", "kind", "result", "entries", "newest", "overlap"),
        rows=[_check_cells(each) for each in checked],
        right=("entries", "overlap"),
        dropped=("overlap", "kind"),
        least={"name": 20},
    )
    out = console(width=table.width())
    out.print(table)
    for each in checked:
        if remark := _remark(each):
            out.print(
                Padding(
                    f"{escape_markup(each.result.source.name)}: {escape_markup(remark)}", (0, 0, 0, 2), expand=False
                )
            )


def _check_cells(checked: CheckedSource) -> Sequence[str]:
    result, entries = checked.result, checked.result.entries
    return (
        result.source.name,
        result.source.kind,
        checked.finding.level.value,
        str(entries),
        format_time(result.newest),
        f"{checked.overlap:.0%}" if entries else "-",
    )


def _remark(checked: CheckedSource) -> str:
    """Return what to print below the table for a checked source: its problem, or the links left out; may be empty."""
    finding, offsite = checked.finding, checked.result.offsite
    if finding.remedy:
        return f"{finding.detail} -> {finding.remedy}"
    return f"{offsite:,} {'link' if offsite == 1 else 'links'} to other sites left out" if offsite else ""


def check_record(checked: CheckedSource) -> dict[str, object]:
    """Return the result of checking one source as JSON values."""
    result, finding = checked.result, checked.finding
    return {
        "name": result.source.name,
        "kind": result.source.kind,
        "url": result.source.url,
        "level": finding.level.value,
        "entries": result.entries,
        "newest": json_time(result.newest),
        "overlap": round(checked.overlap, 3),
        "other_sites": result.offsite,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }
