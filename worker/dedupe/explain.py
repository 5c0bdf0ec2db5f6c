"""Lays two texts side by side, passage by passage, for people who ask why."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Two texts cut into passages, in the newcomer's order; `shared_words` counts words in shared ones."""

    passages: tuple[Passage, ...]
    shared_words: int


def explain(newcomer: str, other: str) -> Passages:
    """Align two texts word by word."""
    ours, theirs = words(newcomer), words(other)
    return Passages(passages=tuple(_passages(ours, theirs, _matches(ours, theirs))), shared_words=0)


def _matches(ours: Words, theirs: Words) -> list[tuple[int, int, int]]:
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, ours.hashes.tolist(), theirs.hashes.tolist(), autojunk=False)
    return [(a, b, n) for a, b, n in matcher.get_matching_blocks() if n >= _SHORTEST_SHARED]


def _passages(ours: Words, theirs: Words, matches: list[tuple[int, int, int]]) -> list[Passage]:
    passages: list[Passage] = []
    a = b = 0
    for start_a, start_b, length in [*matches, (len(ours), len(theirs), 0)]:
        if a < start_a or b < start_b:
            passages.append(Passage(shared=False, newcomer=_slice(ours, a, start_a), other=_slice(theirs, b, start_b)))
        a, b = start_a + length, start_b + length
        if length:
            passages.append(Passage(shared=True, newcomer=_slice(ours, start_a, a), other=_slice(theirs, start_b, b)))
    return passages


def _slice(cut: Words, start: int, end: int) -> str:
    return cut.text[cut.starts[start] : cut.ends[end - 1]] if start < end else ""
