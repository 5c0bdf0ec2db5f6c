"""Lays two texts side by side, passage by passage, for people who ask why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.dedupe.align import Run, align
from worker.dedupe.words import Words, words

_SHORTEST_SHARED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of both texts: `shared` ones say the same words, others differ (either side may be empty)."""

    shared: bool
    newcomer: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """Two texts cut into passages, in the newcomer's order; `shared_words` counts words in shared ones.

    A passage of the other text that stands elsewhere in the newcomer is shared where the newcomer has it; what only
    the other has comes where it stands there, or last.
    """

    passages: tuple[Passage, ...]
    shared_words: int


def explain(newcomer: str, other: str) -> Passages:
    """Align two texts and return their passages; takes time in proportion to their length."""
    ours, theirs = words(newcomer), words(other)
    runs = _whole_runs(align(ours.hashes, theirs.hashes).runs, len(ours), len(theirs))
    return Passages(
        passages=tuple(_passages(ours, theirs, runs)),
        shared_words=sum(run.length for run in runs),
    )


def _whole_runs(runs: tuple[Run, ...], ours: int, theirs: int) -> list[Run]:
    """Join runs that touch in both texts, and leave out short ones and those whose words another run has already."""
    joined: list[Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last and (last.ours + last.length, last.theirs + last.length) == (run.ours, run.theirs):
            joined[-1] = Run(last.ours, last.theirs, last.length + run.length)
        else:
            joined.append(run)
    whole = ours == theirs == sum(run.length for run in joined)
    taken_here, taken_there = bytearray(ours), bytearray(theirs)
    kept = []
    for run in sorted(joined, key=lambda run: -run.length):
        here, there = slice(run.ours, run.ours + run.length), slice(run.theirs, run.theirs + run.length)
        if (run.length < _SHORTEST_SHARED and not whole) or any(taken_here[here]) or any(taken_there[there]):
            continue
        taken_here[here] = taken_there[there] = b"\1" * run.length
        kept.append(run)
    return sorted(kept)


def _passages(ours: Words, theirs: Words, runs: list[Run]) -> Iterator[Passage]:
    unseen = _between(runs, len(theirs))
    place = 0
    for run in [*runs, Run(len(ours), len(theirs), 0)]:
        before = unseen.pop(run.theirs, (0, 0))
        if place < run.ours or before[0] < before[1]:
            yield Passage(shared=False, newcomer=_slice(ours, place, run.ours), other=_slice(theirs, *before))
        place = run.ours + run.length
        if run.length:
            other = _slice(theirs, run.theirs, run.theirs + run.length)
            yield Passage(shared=True, newcomer=_slice(ours, run.ours, place), other=other)


def _between(runs: list[Run], length: int) -> dict[int, tuple[int, int]]:
    """Return the stretches that only the other text has, by where the run after them begins in it."""
    stretches = {}
    place = 0
    for run in [*sorted(runs, key=lambda run: run.theirs), Run(0, length, 0)]:
        stretches[run.theirs] = (place, run.theirs)
        place = run.theirs + run.length
    return stretches


def _slice(cut: Words, start: int, end: int) -> str:
    return cut.text[cut.starts[start] : cut.ends[end - 1]] if start < end else ""
