"""Progress on standard error: a bar for `ingest`, a spinner for `reprocess`, a line with an estimate for `backfill`.

The bar and the spinner are drawn on a terminal only; elsewhere the log has one line for each outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

import click

from worker.cli.base import print_note
from worker.clock import SystemClock
from worker.config.types import format_duration
from worker.models import BackfillProgress, Claim, Outcome, Source, State
from worker.models.base import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

    from worker.fetch.request import Step
    from worker.pipeline.seeds import SeedProgress
    from worker.runs.backfill import BackfillRun


_MAX_UNSTORED: Final = 10
"""Outcomes without an article that are kept as lines: of the few pages that a person names, not of a folder of them."""


class _Display:
    """Something that is drawn on standard error while work goes on, if `shown`, and disappears at its end."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self.shown:
            self._bar = self._make_bar()
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def _make_bar(self) -> Bar:
        """Return what is drawn, with its task."""
        raise NotImplementedError


class ProgressBar(_Display):
    """An observer that counts candidates and outcomes, and draws them as a progress bar.

    `unstored` are the first few outcomes without an article, each as a line.
    """

    def __init__(self, *, shown: bool) -> None:
        super().__init__(shown=shown)
        self.unstored: list[str] = []
        self._found = 0
        self._states: Counter[State] = Counter()

    def _make_bar(self) -> Bar:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        bar = _bar_of(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        bar.add_task("discovering", total=None, rate="")
        return bar

    def discovered(self, source: Source, *, new: int) -> None:
        """Count the candidates that were added."""
        self._found += new
        self._draw(source.name)

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Count the outcome of one candidate."""
        self._states[outcome.state] += 1
        if outcome.article is None and len(self.unstored) < _MAX_UNSTORED:
            self.unstored.append(f"{claim.url}: {outcome.state.value} ({outcome.reason}): {outcome.detail}")
        self._draw(claim.host or claim.source)

    def _draw(self, where: str) -> None:
        """Update the bar: total, counts by state, and rate; before the first outcome, the current source."""
        if not self._bar:
            return
        task = self._bar.tasks[0]
        counts = "  ".join(f"{count} {state.value}" for state, count in sorted(self._states.items()))
        rate = f"{sum(self._states.values()) / task.elapsed:.1f}/s" if task.elapsed else ""
        self._bar.update(
            task.id,
            total=max(self._found, sum(self._states.values())),
            completed=sum(self._states.values()),
            description=counts or f"discovering {where}",
            rate=rate,
        )


def _bar_of(*columns: ProgressColumn) -> Bar:
    """Return a rich progress bar of these columns on standard error that disappears when it stops."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    return Bar(*columns, console=Console(stderr=True, emoji=False), transient=True)


class Spinner(_Display):
    """A spinner with the current step and the number of pages or articles done."""

    def _make_bar(self) -> Bar:
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = _bar_of(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        bar.add_task("starting", total=None)
        return bar

    def update(self, what: str, done: int) -> None:
        """Show the current step, such as `extracted`, and the number of pages or articles it has reached."""
        if self._bar:
            things = "pages" if what == "extracted" else "articles"
            self._bar.update(self._bar.tasks[0].id, description=f"{done} {things} {what}")


class SeedBar(_Display):
    """A bar with the rows of the seed file that is being imported."""

    def _make_bar(self) -> Bar:
        from rich.progress import BarColumn, TextColumn

        bar = _bar_of(BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        bar.add_task("reading", total=None)
        return bar

    def update(self, progress: SeedProgress) -> None:
        """Show how far the import is."""
        if self._bar:
            line = f"{progress.name}: {progress.line}"
            self._bar.update(self._bar.tasks[0].id, total=progress.of, completed=progress.rows, description=line)


# The progress line of `backfill`: how far it has come, and roughly how long it will take. None of the following
# values is measured; each trades a quick reaction for a calm display.


_REPORT_INTERVAL: Final = timedelta(seconds=20)  # in a log file: three lines a minute
_TERMINAL_INTERVAL: Final = timedelta(seconds=1)  # on a terminal, where the line is overwritten
_RATE_WINDOW_S: Final = 120.0
"""The rate is averaged over two minutes: one host's delay of seconds evens out, a change of pace still shows."""
_MIN_SAMPLES: Final = 3  # with fewer finished candidates, an estimate would jump with each of them
_MINUTE: Final = timedelta(minutes=1)  # estimates are rounded to whole minutes


@dataclass(slots=True)
class EtaEstimator:
    """Estimates the remaining time from `end_times`, the monotonic times in seconds of recent outcomes."""

    end_times: deque[float] = field(default_factory=deque)
    done: int = 0

    def count(self, now_s: float) -> None:
        """Record that a candidate ended at `now_s`."""
        self.done += 1
        self.end_times.append(now_s)
        while now_s - self.end_times[0] > _RATE_WINDOW_S:
            self.end_times.popleft()

    def remaining(self, left: int, *, now_s: float) -> timedelta | None:
        """Return an estimate of the time for `left` more candidates; None with too few samples."""
        if left == 0:
            return timedelta(0)
        lately = [moment for moment in self.end_times if now_s - moment <= _RATE_WINDOW_S]
        if len(lately) < _MIN_SAMPLES or now_s <= lately[0]:
            return None
        return timedelta(seconds=left * (now_s - lately[0]) / len(lately))


def progress_line(state: BackfillProgress, *, done: int, left: int, remaining: timedelta | None) -> str:
    """Return the progress of a backfill as one line.

    Counted are the places (sitemaps, pages) read and known, the articles found, and the candidates done and left.
    """
    parts = [f"{state.looked:,} of {state.looked + state.waiting:,} places looked at", f"{state.found:,} found"]
    parts += [f"{done:,} done", f"{left:,} left"]
    if remaining:
        whole = max(_MINUTE, timedelta(minutes=round(remaining / _MINUTE)))
        parts.append(f"about {format_duration(whole)} more" + (" for these" if state.waiting else ""))
    return ", ".join(parts)


class BackfillReporter:
    """An observer that prints the progress of a backfill if `shown`: in place on a terminal, else line by line."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._in_place = sys.stderr.isatty()
        self._clock = SystemClock()
        self._eta = EtaEstimator()

    def discovered(self, source: Source, *, new: int) -> None:
        """Do nothing: the number of articles found is read with the backfill's progress."""

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002 - the observer's signature
        """Count one finished candidate for the estimate."""
        self._eta.count(self._clock.monotonic())

    def stepped(self, step: Step) -> None:
        """Do nothing: fetch steps are printed by `doctor` only."""

    @asynccontextmanager
    async def reporting(self, run: BackfillRun) -> AsyncIterator[None]:
        """Print the progress of a run repeatedly while the block runs."""
        reporting = asyncio.create_task(self._report_periodically(run))
        try:
            yield
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            if self._shown and self._in_place:
                _write("\r\x1b[K")

    async def _report_periodically(self, run: BackfillRun) -> None:
        """Print the progress line in an endless loop, which `reporting` cancels."""
        while self._shown:
            await self._clock.sleep(_TERMINAL_INTERVAL if self._in_place else _REPORT_INTERVAL)
            state, left = await run.progress()
            remaining = self._eta.remaining(left, now_s=self._clock.monotonic())
            line = progress_line(state, done=self._eta.done, left=left, remaining=remaining)
            if self._in_place:
                _write(f"\r\x1b[K{line}")
            else:
                print_note(line)


def _write(text: str) -> None:
    """Write to standard error without a newline; a closed stream is ignored."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True, nl=False)
