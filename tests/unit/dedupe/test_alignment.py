"""The alignment of two texts, for the judge and for `why`."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dedupe.factories import edited, prose
from worker.dedupe.alignment import _longest_in_order, align, align_passages
from worker.dedupe.prepared import prepare
from worker.dedupe.similarity import compare, unmatched_passages
from worker.dedupe.tokenizer import may_be_aligned, sketch, tokenize

STORY = prose(1)
LETTERS = st.lists(st.sampled_from("abcdefghij"), max_size=60)


def shares(one: str, two: str) -> tuple[float, float]:
    found = align(tokenize(one).hashes, tokenize(two).hashes)
    return float(found.ours.mean()), float(found.theirs.mean())


def test_equal_texts_match_in_every_word() -> None:
    assert shares(" ".join(STORY), " ".join(STORY)) == (1.0, 1.0)


def test_words_edited_all_over_leave_the_others_matched() -> None:
    ours, theirs = shares(" ".join(edited(STORY, every=7)), " ".join(STORY))

    assert 0.78 < ours < 0.9
    assert 0.78 < theirs < 0.9


def test_moved_paragraphs_are_matched() -> None:
    moved = edited([*STORY[9:], *STORY[4:9], *STORY[:4]], every=12)
    found = align(tokenize(" ".join(moved)).hashes, tokenize(" ".join(STORY)).hashes)

    assert found.ours.mean() > 0.85


def test_moved_phrases_are_not_matched() -> None:
    phrase = "công ty trách nhiệm hữu hạn một thành viên"
    one = [*STORY[:4], f"{phrase} {prose(5)[0]}", *STORY[4:8]]
    two = [*STORY[:8], f"{prose(6)[0]} {phrase}", *prose(7)[:3]]

    found = align(tokenize(" ".join(one)).hashes, tokenize(" ".join(two)).hashes)

    place = tokenize(" ".join(STORY[:4]))
    assert not found.ours[len(place) : len(place) + 8].any()


def _length_by_table(one: list[str], two: list[str]) -> int:
    """Return the length of a longest common subsequence, by the textbook's table."""
    rows = [[0] * (len(two) + 1)]
    for word in one:
        above, row = rows[-1], [0]
        for at, other in enumerate(two):
            row.append(above[at] + 1 if word == other else max(above[at + 1], row[at]))
        rows.append(row)
    return rows[-1][-1]


@given(LETTERS, LETTERS)
def test_the_longest_runs_in_order_are_a_longest_common_subsequence(one: list[str], two: list[str]) -> None:
    runs = _longest_in_order(tokenize(" ".join(one)).hashes, tokenize(" ".join(two)).hashes, most=60)

    assert sum(run.length for run in runs) == _length_by_table(one, two)
    for run in runs:
        assert one[run.ours : run.ours + run.length] == two[run.theirs : run.theirs + run.length]
    for before, after in pairwise(runs):
        assert before.ours + before.length <= after.ours
        assert before.theirs + before.length <= after.theirs


@given(LETTERS, LETTERS)
def test_runs_have_the_same_words_in_both_texts(one: list[str], two: list[str]) -> None:
    ours, theirs = tokenize(" ".join(one)).hashes, tokenize(" ".join(two)).hashes

    found = align(ours, theirs)

    for run in found.runs:
        here, there = slice(run.ours, run.ours + run.length), slice(run.theirs, run.theirs + run.length)
        assert run.length > 0
        assert np.array_equal(ours[here], theirs[there])
    assert (len(found.ours), len(found.theirs)) == (len(ours), len(theirs))


@given(LETTERS, LETTERS)
def test_passages_contain_every_word_of_both_texts_once(one: list[str], two: list[str]) -> None:
    told = align_passages(" ".join(one), " ".join(two))

    assert " ".join(part for each in told.passages if (part := each.text)) == " ".join(one)
    other = sorted(" ".join(part for each in told.passages if (part := each.other)).split())
    assert other == sorted(two)
    shared = [each for each in told.passages if each.shared]
    assert all(each.text == each.other for each in shared)
    assert told.shared_words == sum(len(each.text.split()) for each in shared)


def test_passages_show_shared_and_differing_text_as_it_was_written() -> None:
    told = align_passages("Thủ đô Hà Nội, hôm nay. Mưa to", "Hôm qua thủ đô Hà Nội - hôm nay! Nắng đẹp")

    assert [(each.shared, each.text, each.other) for each in told.passages] == [
        (False, "", "Hôm qua"),
        (True, "Thủ đô Hà Nội, hôm nay", "thủ đô Hà Nội - hôm nay"),
        (False, "Mưa to", "Nắng đẹp"),
    ]
    assert told.shared_words == 6


def test_huge_texts_are_aligned_in_bounded_time() -> None:
    began = time.process_time()

    align_passages("một " * 300_000, "một " * 200_000)
    align_passages(" ".join(edited(prose(3, sentences=4000), every=9)), " ".join(prose(3, sentences=4000)))

    assert time.process_time() - began < 300


def test_a_passage_bridges_single_words_and_short_ones_are_left_out() -> None:
    marks = np.array([1] * 3 + [0] * 5 + [1] + [0] * 5 + [1] * 4 + [0] * 6 + [1], dtype=np.bool_)

    assert list(unmatched_passages(marks)) == [(3, 14)]


def test_a_passage_on_another_topic_is_off_topic() -> None:
    story = prepare("\n".join(STORY))
    page = prepare("\n".join([*prose(60)[:4], *STORY[:8]]))
    found = compare(page, story).ours

    assert not found.is_on_topic(0, 72)
    assert found.is_on_topic(72, 150)


def test_similarity_counts_distinct_shingles_and_words() -> None:
    similarity = compare(prepare("một hai ba bốn năm sáu"), prepare("một hai ba bốn năm bảy"))

    assert similarity.jaccard == 1 / 3
    assert similarity.containment == 1 / 2
    assert similarity.shared_words == 5


def test_sketches_leave_out_only_pairs_without_a_word_in_common() -> None:
    words, others = (" ".join(prose(number)).split() for number in (2, 3))
    # 24 words have 20 shingles: 7 words in common are 3 of them, the least share of texts that are aligned.
    pairs = [(words[:24], [*words[:shared], *others[: 24 - shared]]) for shared in range(25)]
    pairs += [(words[:size], words[:size]) for size in (1, 4, 5)]
    pairs += [(words, others), (words, [*others, *words[:20]]), (words[:30], [*others, *words[:20]])]
    answers = list[bool]()
    for one, two in pairs:
        ours, theirs = prepare(" ".join(one)), prepare(" ".join(two))
        answer = may_be_aligned(sketch(ours.shingles), sketch(theirs.shingles))
        assert answer == may_be_aligned(sketch(theirs.shingles), sketch(ours.shingles))
        assert answer or compare(ours, theirs).shared_words == 0
        answers.append(answer)

    assert answers == [*[False] * 7, *[True] * 21, False, False, True]
    assert not may_be_aligned(sketch(prepare("").shingles), sketch(prepare("").shingles))


def test_empty_texts_have_nothing_in_common_with_anything() -> None:
    similarity = compare(prepare(""), prepare("\n".join(STORY)))

    assert (similarity.jaccard, similarity.containment, similarity.shared_words, similarity.shorter_coverage) == (
        0.0,
        0.0,
        0,
        0.0,
    )
    assert compare(prepare(""), prepare("")).jaccard == 0.0


def test_a_text_that_repeats_everything_matches_itself() -> None:
    twice = "\n".join([*prose(8, sentences=40), *prose(8, sentences=40)])

    assert compare(prepare(twice), prepare(f"{twice} thêm")).shorter_coverage > 0.95
