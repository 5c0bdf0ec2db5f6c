"""Shows how a run goes: a bar with counts and rate on a terminal, nothing elsewhere (the log tells it there)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

from worker.models import Claim, Outcome, Source, State

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """Counts what happens, and draws it where `shown`."""

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._found = 0
        self._states: Counter[State] = Counter()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self.shown:
            self._bar = _make_bar()
            self._bar.add_task("discovering", total=None, rate="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def discovered(self, source: Source, *, new: int) -> None:
        """Note that candidates were added."""
        self._found += new
        self._draw(source.name)

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Note that the work on one candidate ended."""
        self._states[outcome.state] += 1
        self._draw(claim.host or claim.source)

    def _draw(self, where: str) -> None:
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


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    return Bar(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True, emoji=False),
        transient=True,
    )
