"""Repeats: passages that another text has at one place."""

from __future__ import annotations

from tests.unit.dedupe.factories import edited, prose
from worker.dedupe.prepared import BigramIndex
from worker.dedupe.tokenizer import tokenize

STORY = prose(1)
PLACES = BigramIndex(tokenize("\n".join(STORY)).hashes)


def again(text: str) -> list[bool]:
    return [bool(mark) for mark in PLACES.find_repeat(tokenize(text).hashes)]


def test_a_passage_that_the_text_has_is_a_repeat_in_full() -> None:
    assert all(again(" ".join(STORY[4:6])))


def test_a_sentence_with_a_third_of_its_words_exchanged_is_a_repeat_but_for_these() -> None:
    marks = again(" ".join(edited(STORY[4:6], every=4)))

    assert 0.5 <= sum(marks) / len(marks) < 1


def test_unknown_words_and_words_from_all_over_the_text_are_no_repeat() -> None:
    scattered = " ".join(" ".join(line.split()[:2]) for line in STORY[::-1])

    assert not any(again(" ".join(prose(2, sentences=2))))
    assert not any(again(scattered))


def test_very_long_passages_and_empty_texts_are_not_searched() -> None:
    assert not any(again(" ".join(STORY)))
    assert again("") == []
    assert not any(BigramIndex(tokenize("").hashes).find_repeat(tokenize(STORY[0]).hashes))
