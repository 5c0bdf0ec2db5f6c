"""Judging the whole store again under other rules, which take effect at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.contract.storage.factories import MINUTE, NOW, judge_of, take_in
from worker.models import Article, Fingerprint, Neighbour, Relation, State, Verdict
from worker.storage.store import Store

A = "https://a.example/1"
B = "https://b.example/1"
C = "https://c.example/1"
LATER = NOW + MINUTE


def as_before(article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
    return judge_of(article)(neighbours)


def nothing_is_a_copy(article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
    return Verdict(relation=Relation.UNIQUE, head=True)


@pytest.fixture
def full(store: Store) -> Store:
    """A store with three versions of a story, the last one the longest, and a second story."""
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")
    take_in(store, C, "một hai ba")
    take_in(store, "https://d.example/1", "bốn năm")
    return store


def exported(store: Store) -> list[str]:
    return [head.article.url for head in store.reader.heads()]


def test_the_same_rules_change_nothing(full: Store) -> None:
    thought = full.review.rejudge(tag="same")

    judged = thought.judge_all(as_before)

    assert judged == 4
    assert list(thought.changes()) == []
    assert thought.take_effect(as_before, now=LATER) == 0
    assert full.reader.audit().balanced


def test_other_rules_are_shown_before_they_take_effect(full: Store) -> None:
    before = exported(full)

    thought = full.review.rejudge(tag="none")
    thought.judge_all(nothing_is_a_copy)

    changes = {change.url: change for change in thought.changes()}
    assert exported(full) == before
    assert set(changes) == {A, B, C}
    assert (changes[B].relation, changes[B].new_relation) == (Relation.COPY, Relation.UNIQUE)
    assert (changes[A].head, changes[A].new_head) == (False, True)


def test_other_rules_take_effect_at_once(full: Store) -> None:
    thought = full.review.rejudge(tag="none")
    thought.judge_all(nothing_is_a_copy)

    changed = thought.take_effect(nothing_is_a_copy, now=LATER)

    assert changed == 3
    assert exported(full) == [A, B, C, "https://d.example/1"]
    assert list(full.reader.duplicates()) == []
    books = full.reader.audit()
    assert books.balanced
    assert books.counts[State.STORED] == 4
    record = full.reader.candidate(B)
    assert record is not None
    assert [at for at, _ in full.reader.verdicts(record.articles[0])] == [NOW, LATER]


def test_the_old_rules_restore_the_old_verdicts(full: Store) -> None:
    before = list(full.reader.duplicates())
    for rules, tag in ((nothing_is_a_copy, "none"), (as_before, "some")):
        thought = full.review.rejudge(tag=tag)
        thought.judge_all(rules)
        thought.take_effect(rules, now=LATER)

    assert list(full.reader.duplicates()) == before
    assert exported(full) == [C, "https://d.example/1"]
    assert full.reader.audit().balanced


def test_an_interrupted_judgement_is_resumed_under_the_same_tag(full: Store) -> None:
    met: list[str] = []

    def breaks_off(article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
        met.append(article.url)
        return as_before(article, fingerprint, neighbours)

    full.review.rejudge(tag="one").judge_all(breaks_off)
    again = full.review.rejudge(tag="one").judge_all(breaks_off)
    other = full.review.rejudge(tag="two").judge_all(breaks_off)

    assert (again, other) == (0, 4)


def test_articles_that_arrive_meanwhile_are_judged_before_it_takes_effect(full: Store) -> None:
    thought = full.review.rejudge(tag="none")
    thought.judge_all(nothing_is_a_copy)
    take_in(full, "https://e.example/1", "bốn năm")

    thought.take_effect(nothing_is_a_copy, now=LATER)

    assert "https://e.example/1" in exported(full)
    assert full.reader.audit().balanced


def test_a_new_judgement_can_be_discarded(full: Store) -> None:
    thought = full.review.rejudge(tag="none")
    thought.judge_all(nothing_is_a_copy)

    thought.discard()

    assert list(thought.changes()) == []
    assert full.review.rejudge(tag="none").judge_all(nothing_is_a_copy) == 4
