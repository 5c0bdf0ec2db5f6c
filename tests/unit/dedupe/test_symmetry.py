"""The verdict on two texts does not depend on which of them arrived first."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.articles import NEARDUP, Pair, read_labels, read_pairs
from tests.bench.in_memory_index import met
from tests.unit.dedupe.factories import article, edited, neighbour, prose
from worker.dedupe.judge import Deduper
from worker.models import Relation, Verdict

ONE_ITEM = {Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION}
TURNED = {Relation.CONTAINED: Relation.CONTAINS, Relation.CONTAINS: Relation.CONTAINED}
DEDUPER = Deduper()


def judged(text: list[str], stored: list[str], *, titles: tuple[str, str]) -> Verdict:
    arriving = article(text, title=titles[0])
    return DEDUPER.judge(arriving, DEDUPER.fingerprint(arriving), [neighbour(stored, title=titles[1])])


@st.composite
def versions(draw: st.DrawFn) -> list[str]:
    """Draw a variant of one story: cut, moved, edited, with a new opening, within other text, or repeated."""
    rng = random.Random(draw(st.integers(0, 10_000)))
    story = prose(draw(st.integers(1, 2)), sentences=draw(st.integers(3, 14)), words=draw(st.sampled_from([6, 12, 20])))
    story = [line for line in story if rng.random() >= draw(st.sampled_from([0.0, 0.3, 0.6]))]
    if draw(st.booleans()):
        rng.shuffle(story)
    if draw(st.booleans()):
        story = edited(story, every=draw(st.sampled_from([4, 9, 30])), seed=rng.randrange(99))
    if draw(st.booleans()):
        numbers = f"Sáng {rng.randint(1, 9)}/5 ông Trần Văn {rng.choice(['Bình', 'Hoà'])} nhận {rng.randint(1, 9)} tỷ"
        story = [numbers, *story]
    above, below = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return [*prose(50 + rng.randrange(9), sentences=above), *story, *prose(70 + rng.randrange(9), sentences=below)]


@settings(max_examples=80)
@given(
    one=versions(),
    two=versions(),
    titles=st.tuples(*[st.sampled_from(["", "một hai ba", "một hai bốn 5", "sáu 7"])] * 2),
)
def test_the_verdict_does_not_depend_on_the_order(one: list[str], two: list[str], titles: tuple[str, str]) -> None:
    first = judged(one, two, titles=titles)
    second = judged(two, one, titles=(titles[1], titles[0]))

    seen, turned = first.considered[0], second.considered[0]
    equally_long = len(" ".join(one).split()) == len(" ".join(two).split())
    assert turned.relation == TURNED.get(seen.relation, seen.relation) or (
        equally_long and turned.relation is seen.relation is Relation.CONTAINED
    )
    assert (turned.rule, turned.jaccard, turned.containment) == (seen.rule, seen.jaccard, seen.containment)


def every_pair() -> list[Pair]:
    """Return all labelled pairs."""
    files = ("pairs", None), ("reuters_pairs", None), ("near_identical_pairs", read_labels())
    return [pair for name, labels in files for pair in read_pairs(NEARDUP / f"{name}.jsonl", labels=labels)]


@pytest.mark.skipif(not NEARDUP.is_dir(), reason=f"the labelled pairs are not there ({NEARDUP})")
def test_labelled_pairs_are_judged_the_same_in_either_order() -> None:
    for pair in every_pair():
        first, second = met(pair.two, pair.one, DEDUPER), met(pair.one, pair.two, DEDUPER)

        assert (first.relation in ONE_ITEM) == (second.relation in ONE_ITEM), (pair.one.key, pair.two.key)
