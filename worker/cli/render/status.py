"""The output of `status`: a page of at most 80 columns (as long as names and numbers are short), and a JSON record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from worker.cli.base import json_time
from worker.cli.render.tables import STATE_ORDER, FittingTable, corpus_equation, poll_record
from worker.config.load import mask_url
from worker.config.schema import Settings
from worker.config.sources import SourceSettings
from worker.config.types import format_age, format_countdown, format_duration, format_rounded
from worker.logs import escape
from worker.models import Alarm, BackfillStatus, SourceState, SourceStats, State, StoreStats
from worker.models.base import counted
from worker.models.records import source_warnings
from worker.storage.corpus.search_index import MAX_QUEUED
from worker.storage.queue.workers import WorkerRecord

# Columns of the table of sources. `brought` counts the addresses that a source named first, `yield` is the share of
# them that were stored.
_NUMERIC_COLUMNS = ("found", "brought", "stored", "yield")
_COLUMNS = ("source", "polled", "next", "every", *_NUMERIC_COLUMNS)
_COUNT_COLUMNS = ("discovered", *(state.value for state in STATE_ORDER))


def status_record(
    figures: StoreStats, *, daemon: str, workers: Sequence[WorkerRecord], backfills: Sequence[BackfillStatus] = ()
) -> dict[str, object]:
    """Return the status as `status --json` prints it.

    The names are part of the outside interface; `docs/reference.md` lists them.
    """
    return {
        "discovered": sum(figures.counts.values()),
        **{state.value: figures.counts.get(state, 0) for state in STATE_ORDER},
        "articles": figures.articles,
        "seeds": figures.seeds,
        "clusters": figures.texts,
        "unindexed": figures.unindexed,
        "due": figures.due,
        "held": figures.held,
        "bytes": figures.size,
        "recent": {format_duration(span): dict(counts) for span, counts in figures.recent.items()},
        "rejected_by_reason": {
            reason: {"pages": pages, "kept": kept} for reason, (pages, kept) in figures.rejected.items()
        },
        "daemon": daemon,
        "workers": {each.name: _worker_record(each) for each in workers},
        "backfills": {each.state.name: _backfill_record(each) for each in backfills},
        "sources": {source.name: _source_record(source) for source in figures.sources},
    }


def _worker_record(worker: WorkerRecord) -> dict[str, object]:
    return {
        "candidates": worker.candidates,
        "sources": worker.sources,
        "command": worker.command or None,
        "ended": worker.ended,
    }


def _backfill_record(backfill: BackfillStatus) -> dict[str, object]:
    """Return an unfinished backfill as JSON values."""
    state = backfill.state
    return {
        "begun_at": json_time(state.begun_at),
        "worker": backfill.worker,
        "looked": state.looked,
        "waiting": state.waiting,
        "unread": state.unread,
        "found": state.found,
        "pending": backfill.pending,
    }


def _source_record(source: SourceStats) -> dict[str, object]:
    """Return the poll state, the learned statistics and the counts of a source as JSON values."""
    learned = source.state.learned
    return {
        **poll_record(source.state),
        "interval": format_duration(source.state.interval) if source.state.interval else None,
        "plan": learned.plan,
        "failing_since": json_time(learned.failing_since),
        "fault": learned.fault,
        "gaps": learned.gaps,
        "gap_at": json_time(learned.gap_at),
        "alarms": [] if source.paused else [_alarm_record(each) for each in learned.alarms],
        "paused": source.paused,
        "candidates": {state.value: count for state, count in source.counts.items()},
        "newest_at": json_time(source.newest_at),
    }


def _alarm_record(alarm: Alarm) -> dict[str, object]:
    return {"what": alarm.what, "since": json_time(alarm.since), "detail": alarm.detail}


def render_status(
    settings: Settings,
    figures: StoreStats,
    *,
    daemon: str | None,
    workers: Sequence[WorkerRecord],
    backfills: Sequence[BackfillStatus] = (),
) -> RenderableType:
    """Return the status page: the store, the counts by outcome, and the sources, those with warnings first.

    `daemon` is empty if none is running, None if that is not known.
    """
    known, now = {source.name: source for source in figures.sources}, figures.at
    sources = [(each, known.get(each.name, _never_polled(each))) for each in settings.sources]
    return Group(
        *_header(settings, figures, daemon=daemon or no_daemon(known=daemon is not None), workers=workers),
        *(_backfill_line(each) for each in backfills),
        "",
        _counts(figures),
        *_legend(_counts_legend(figures)),
        *_rejections(figures),
        "",
        *_sources(sources, settings, now=now),
        *_legend(_sources_legend(figures, [each for _, each in sources])),
    )


# The legends below both tables explain which numbers add up to which.


def _legend(lines: Sequence[str]) -> Iterator[Text]:
    """Return explanations of a table as dimmed lines."""
    return (_line(line, style="dim") for line in lines)


def _counts_legend(figures: StoreStats) -> tuple[str, ...]:
    """Explain the rows of the counts table: only the row `in all` adds up to the number of addresses."""
    return (
        f"in all: every address found, by its current state; {figures.pending:,} more are pending",
        "the last hour and day: what happened then; an address decided twice counts twice",
    )


def _sources_legend(figures: StoreStats, shown: Sequence[SourceStats]) -> tuple[str, ...]:
    """Explain the columns of the sources table, and count the candidates of no configured source."""
    if not shown:
        return ()
    others = sum(figures.counts.values()) - sum(source.known for source in shown)
    rest = (f"{others:,} more came from targets, or from sources no longer configured",) if others > 0 else ()
    meaning = "found: entries of the last poll; brought: addresses this source named first"
    return (meaning, *rest)


def _never_polled(source: SourceSettings) -> SourceStats:
    """Return empty statistics for a configured source that the store does not know."""
    return SourceStats(name=source.name, state=SourceState(name=source.name), paused=not source.enabled)


def _header(
    settings: Settings, figures: StoreStats, *, daemon: str, workers: Sequence[WorkerRecord]
) -> Iterator[RenderableType]:
    """Yield the lines about the store, the daemon, the workers, the corpus and the queue."""
    size = f", {figures.size / 10**6:,.1f} MB" if figures.size else ""
    held = f"; {figures.held:,} wait for a source that is paused" if figures.held else ""
    lines = {
        "store": f"{mask_url(settings.store.url)}{size}",
        "daemon": daemon,
        "at work": ", ".join(str(each) for each in workers if not each.ended) or "none",
        "corpus": corpus_equation(texts=figures.texts, articles=figures.articles, seeds=figures.seeds),
        "queue": f"{figures.pending:,} pending, {figures.due:,} of them due now{held}",
    }
    if ended := [str(each) for each in workers if each.ended]:
        lines["ended"] = f"{', '.join(ended)}: the next `run` or `ingest` on this machine takes it over"
    if figures.unindexed > MAX_QUEUED:
        lines["search"] = f"{figures.unindexed:,} texts are not in its index yet: `ingest` and `run` add them"
    for name, value in lines.items():
        yield _line(f"{name:<8}{value}")


def no_daemon(*, known: bool) -> str:
    """Return the text in place of a daemon's name: none is running, or it cannot be known."""
    return "not running" if known else "not known: a connection pooler or its lock file hides it"


def _backfill_line(backfill: BackfillStatus) -> Text:
    """Return the line about one unfinished backfill."""
    state = backfill.state
    places = f"{state.looked:,} of {state.looked + state.waiting:,} places looked at"
    # The stored name is the source, the first day and, if one was given, the last day.
    return _line(
        f"backfill {state.name}: {places}, {state.found:,} found, {backfill.pending:,} pending, "
        f"{f'at work: {backfill.worker}' if backfill.worker else 'no worker'}"
    )


def _counts(figures: StoreStats) -> FittingTable:
    """Return the table of candidates by state: in all, and within the last hour and day."""
    rows = {"in all": {"discovered": sum(figures.counts.values()), **{s.value: n for s, n in figures.counts.items()}}}
    for span, counts in sorted(figures.recent.items()):
        rows[f"last {format_duration(span)}"] = dict(counts)
    names = _COUNT_COLUMNS[:-1]
    return FittingTable(
        names=("", *("found" if name == "discovered" else name for name in names)),
        rows=[(label, *(f"{counts.get(each, 0):,}" for each in names)) for label, counts in rows.items()],
        right=("found", *names),
        gap=1,
        turned=True,
    )


def _rejections(figures: StoreStats) -> Iterator[Text]:
    """Yield a line with the rejected pages by reason, and how many of them can be extracted again."""
    if not figures.rejected:
        return
    reasons = ", ".join(f"{reason or 'no reason'} {pages:,}" for reason, (pages, _) in figures.rejected.items())
    kept = sum(kept for _, kept in figures.rejected.values())
    yield _line(f"rejected: {reasons}; {counted(kept, 'page')} kept (`reprocess --rejected` extracts them again)")


def _sources(
    sources: Sequence[tuple[SourceSettings, SourceStats]], settings: Settings, *, now: datetime
) -> Iterator[RenderableType]:
    """Yield the sources as two tables with equal column widths: those with warnings, and the others.

    The warnings follow below the first table, in red. Without any, there is one table and no heading.
    """
    warned = [pair for pair in sources if _warnings(pair[1], now=now)]
    well = [pair for pair in sources if not _warnings(pair[1], now=now)]
    rows = {pair[1].name: _cells(*pair, settings, now=now) for pair in sources}
    for title, group in (("with trouble", warned), ("in order" if warned else "", well)):
        if not group:
            continue
        if title:
            yield _line(f"{title}:", style="bold")
        yield FittingTable(
            names=_COLUMNS,
            rows=[rows[source.name] for _, source in group],
            right=_NUMERIC_COLUMNS,
            dropped=("every", "yield", "brought", "found", "next"),
            least={"source": 20},
            gap=1,
            beside=[*rows.values()],
        )
        for _, source in group:
            lines = (_line(f"{source.name}: {warning}", style="red") for warning in _warnings(source, now=now))
            yield from (Padding(each, (0, 0, 0, 2)) for each in lines)
        if title and group is warned and well:
            yield ""


def _cells(configured: SourceSettings, source: SourceStats, settings: Settings, *, now: datetime) -> Sequence[str]:
    """Return the cells of one source; a name is cut to 24 characters so that the line stays within 80 columns."""
    state, stored = source.state, source.counts.get(State.STORED, 0)
    share = f"{stored / source.known:.0%}" if source.known else ""
    return (
        configured.name if len(configured.name) <= 24 else f"{configured.name[:23]}…",
        format_age(state.polled_at, now=now),
        format_countdown(state.due_at, now=now) if configured.enabled else "paused",
        format_rounded(state.interval or configured.every or settings.schedule.every),
        f"{state.found:,}",
        f"{source.known:,}",
        f"{stored:,}",
        share,
    )


def _warnings(source: SourceStats, *, now: datetime) -> list[str]:
    return [each.detail for each in source_warnings(source, now=now)]


def _line(line: str, *, style: str = "") -> Text:
    """Return a line as text without markup, its control characters escaped."""
    return Text(escape(line), style=style)
