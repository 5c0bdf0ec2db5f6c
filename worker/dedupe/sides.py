"""Makes a text ready for comparing: its words, shingles, facts and lines, each found once and only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.dedupe.facts import Facts, dates_in, numbers, word_pairs
from worker.dedupe.restate import Places
from worker.dedupe.words import Words, distinct, shingles, words


# Without slots: what only some comparisons need is found when first asked for.
@dataclass(frozen=True, kw_only=True)
class Side:
    """One text made ready for comparing: its words, all shingles in order, the distinct ones sorted, and its title."""

    words: Words
    headline: str
    every: NDArray[np.uint64]
    distinct: NDArray[np.uint64]

    @cached_property
    def title(self) -> Words:
        """Return the words of the title."""
        return words(self.headline)

    @cached_property
    def vocabulary(self) -> NDArray[np.uint64]:
        """Return the distinct words, sorted."""
        return distinct(self.words.hashes)

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        """Return the distinct pairs of neighbouring words, sorted."""
        return distinct(word_pairs(self.words.hashes))

    @cached_property
    def places(self) -> Places:
        """Return where the pairs of neighbouring words stand."""
        return Places(self.words.hashes)

    @cached_property
    def line_starts(self) -> NDArray[np.bool_]:
        """Say of each word whether it is the first of its line."""
        begins = np.zeros(len(self.words), dtype=np.bool_)
        breaks = np.flatnonzero(np.frombuffer(self.words.text.encode("utf-32-le", "surrogatepass"), dtype="<u4") == 10)
        after = np.searchsorted(self.words.starts, np.append(0, breaks))
        begins[after[after < len(begins)]] = True
        return begins

    @cached_property
    def facts(self) -> Facts:
        """Return the numbers and names of the text."""
        return Facts(cut=self.words, also=self.title)

    @cached_property
    def title_numbers(self) -> frozenset[tuple[str, ...] | tuple[int, ...]]:
        """Return the numbers of the title."""
        return numbers(self.title)

    @cached_property
    def dates(self) -> frozenset[tuple[int, int]]:
        """Return the months and days that title and text name."""
        return dates_in(self.title.text) | dates_in(self.words.text)


def prepare(text: str, *, title: str = "") -> Side:
    """Make a text ready for comparing."""
    cut = words(text)
    every = shingles(cut.hashes)
    return Side(words=cut, headline=title, every=every, distinct=distinct(every))


def title_overlap(one: Words, two: Words) -> float:
    """Return the share of the shorter title's distinct words that the longer has; 0 where one is missing."""
    ours, theirs = set(one.hashes.tolist()), set(two.hashes.tolist())
    return len(ours & theirs) / min(len(ours), len(theirs)) if ours and theirs else 0.0
