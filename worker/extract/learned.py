"""What is learned about a host: which paragraphs it sets into article after article; pure, bounded, without order.

A paragraph is boilerplate of a host if it stood in many of its articles AND in a large share of all that were counted.
Both are needed: a paper repeats its own background paragraphs in every follow-up of a long story, an agency's sentence
is quoted again and again, and neither may ever be lost. They stand in a few of a hundred articles; boilerplate
stands in a third of them or in all.

Counts are kept for the most frequent paragraphs (the space-saving idea of Metwally, Agrawal and El Abbadi, 2005,
without its overestimate: a newcomer starts at one, so a count is never too high).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.extract.text import fold

_LEAST_ARTICLES = 8
_SHARE = 0.3
_SHARE_OF_PROSE = 0.6
_PROSE_WORDS = 30
_CAPACITY = 2_000
# Halve at this many articles: what a site no longer prints is forgotten, and no number grows for ever.
_HORIZON = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCounts:
    """How many articles of a host were counted, and in how many of them each paragraph key stood."""

    articles: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)


def paragraph_key(text: str) -> int:
    """Return a signed 64-bit key of a paragraph that does not see case, blanks or punctuation.

    Long paragraphs differ in their lowest bit from short ones: `boilerplate_of` asks more of prose.
    """
    return key_of_folded(fold(text))


def key_of_folded(folded: str) -> int:
    """Return the key of a paragraph that is folded already."""
    digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
    is_prose = folded.count(" ") >= _PROSE_WORDS - 1
    return (int.from_bytes(digest, "little", signed=True) & ~1) | is_prose


def count_article(known: HostCounts, paragraphs: Iterable[int]) -> HostCounts:
    """Return the counts with one more article; the result does not depend on the order of its paragraphs."""
    counts = dict(known.counts)
    for key in set(paragraphs):
        counts[key] = counts.get(key, 0) + 1
    articles = known.articles + 1
    if articles >= _HORIZON:
        articles //= 2
        counts = {key: count // 2 for key, count in counts.items() if count > 1}
    if len(counts) > _CAPACITY:
        frequent = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        counts = dict(frequent[: _CAPACITY // 2])
    return HostCounts(articles=articles, counts=counts)


def boilerplate_of(known: HostCounts) -> frozenset[int]:
    """Return the keys of the paragraphs that are boilerplate of the host."""
    return frozenset(key for key, count in known.counts.items() if _is_boilerplate(key, count, known.articles))


def _is_boilerplate(key: int, count: int, articles: int) -> bool:
    share = _SHARE_OF_PROSE if key & 1 else _SHARE
    return count >= _LEAST_ARTICLES and count >= share * articles
