"""The head of a cluster, the host that published first, and marks of people on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.contract.storage.factories import MINUTE, NOW, add_seed, candidate, claim_one, fingerprint, judge_of, take_in
from tests.contract.storage.factories import article as made
from worker.dedupe.judge import Deduper
from worker.errors import StoreError
from worker.models import Article, DuplicateLink, Fingerprint, Neighbour, Outcome, Relation, State, Verdict
from worker.storage.store import Store

A, B, C, D = (f"https://{letter}.example/1" for letter in "abcd")
LATER = NOW + MINUTE
WORDS = "đê sông huyện kè lũ nước xã thợ cọc tre bờ chợ cầu đá cát mưa thuyền ruộng làng cống tỉnh vữa bùn dân"
STORY = [
    " ".join(WORDS.split()[(place * 7 + step * (place % 5 + 1)) % 24] for step in range(18)) + "."
    for place in range(14)
]
ADVERTISING = "mua ngay kem dưỡng da giảm giá nửa tiền gọi số máy sau để nhận quà tặng hấp dẫn hôm nay"


def judge(article: Article, fingerprint: Fingerprint, neighbours: Sequence[Neighbour]) -> Verdict:
    """Judge by sets of words; a mark of a person decides which is the head."""
    verdict = judge_of(article)([each for each in neighbours if each.head or each.marked])
    told = {each.id: each.original for each in neighbours}
    if verdict.best is None or not told[verdict.best.article] or verdict.relation is Relation.FOLLOWUP:
        return verdict
    return replace(verdict, head=told[verdict.best.article] == "article")


def come(
    store: Store, url: str, text: str, *, published_at: datetime | None = None, by: str = "json-ld", now: datetime = NOW
) -> Outcome:
    """Store a text published at a given time, judged by the real judge."""
    article = replace(
        made(url, text, fetched_at=now), published_at=published_at, published_at_from=by if published_at else ""
    )
    deduper = Deduper()
    store.ledger.enqueue([candidate(url)], now=now, again=True)
    outcome = store.ledger.settle(
        claim_one(store, now=now),
        article,
        fingerprint=fingerprint(text),
        judge=lambda neighbours: deduper.judge(article, deduper.fingerprint(article), neighbours),
        now=now,
    )
    assert outcome is not None
    return outcome


def exported(store: Store) -> list[int]:
    return [head.id for head in store.reader.heads()]


def links(store: Store) -> list[DuplicateLink]:
    return list(store.reader.duplicates())


def rethink(store: Store) -> None:
    thinking = store.review.rejudge(tag="anew")
    thinking.judge_all(judge)
    thinking.take_effect(judge, now=LATER)


def test_a_longer_text_that_does_not_become_the_head_is_a_duplicate_and_its_text_is_kept(store: Store) -> None:
    come(store, A, "\n".join(STORY))
    wrapped = "\n".join([*STORY, *[f"{ADVERTISING} {place}" for place in range(5)]])

    outcome = come(store, B, wrapped, now=LATER)

    assert (outcome.state, outcome.reason) == (State.DUPLICATE, "contains")
    assert exported(store) == [1]
    kept = store.reader.article(2)
    assert kept is not None
    assert kept.article.text == wrapped
    ((_, verdict),) = store.reader.verdicts(2)
    assert verdict.reason.endswith("what it adds speaks of something else")
    assert store.reader.audit().balanced


def test_such_a_text_stays_a_duplicate_in_a_new_judgement_of_all(store: Store) -> None:
    come(store, A, "\n".join(STORY[:12]))
    come(store, B, "\n".join([*STORY[:12], *[f"{ADVERTISING} {place}" for place in range(5)]]), now=LATER)
    come(store, C, "\n".join([*STORY[:12], *(f"{line} kè mới" for line in STORY[2:8])]), now=LATER)
    thinking = store.review.rejudge(tag="anew")
    deduper = Deduper()
    thinking.judge_all(deduper.judge)

    thinking.take_effect(deduper.judge, now=LATER)

    record = store.reader.candidate(B)
    assert record is not None
    assert record.state is State.DUPLICATE
    assert store.reader.audit().balanced


def test_links_have_both_times_and_the_first_host(store: Store) -> None:
    come(store, A, "\n".join(STORY), published_at=NOW - timedelta(hours=2), now=NOW)
    come(store, B, "\n".join(STORY), published_at=NOW - timedelta(hours=5), now=LATER)

    (link,) = links(store)

    assert (link.id, link.duplicate_of) == (2, 1)
    assert (link.published_at, link.fetched_at) == (NOW - timedelta(hours=5), LATER)
    assert (link.duplicate_of_published_at, link.duplicate_of_fetched_at) == (NOW - timedelta(hours=2), NOW)
    assert link.first_host == "b.example"


def test_an_article_whose_copy_was_revised_is_a_copy_with_its_figures(store: Store) -> None:
    early = NOW - timedelta(hours=50)
    come(store, A, "\n".join(STORY), published_at=NOW - timedelta(hours=2))
    come(store, B, "\n".join(STORY), published_at=early, by="input", now=LATER)
    come(store, B, "\n".join([*STORY, ADVERTISING]), published_at=early, by="input", now=LATER + MINUTE)

    first, _ = links(store)

    assert exported(store) == [3]
    assert (first.id, first.relation, first.jaccard, first.containment) == (1, Relation.COPY, 1.0, 1.0)


@pytest.mark.parametrize(
    ("published_at", "by"),
    [(NOW + timedelta(days=9), "json-ld"), (NOW - timedelta(days=90), "text"), (NOW.replace(year=1970), "meta")],
)
def test_impossible_and_guessed_times_do_not_decide_who_was_first(
    store: Store, published_at: datetime, by: str
) -> None:
    come(store, A, "\n".join(STORY), published_at=NOW - timedelta(hours=2))
    come(store, B, "\n".join(STORY), published_at=published_at, by=by, now=LATER)

    assert [link.first_host for link in links(store)] == ["a.example"]


def test_an_article_marked_as_original_is_exported_and_first(store: Store) -> None:
    for url in (A, B, C):
        take_in(store, url, "một hai")

    moved = store.review.mark_original(2, now=LATER)

    assert [(each.id, each.head, each.new_head) for each in moved] == [(1, True, False), (2, False, True)]
    assert exported(store) == [2]
    assert {(link.id, link.duplicate_of, link.first_host) for link in links(store)} == {
        (1, 2, "b.example"),
        (3, 2, "b.example"),
    }
    assert store.reader.verdicts(2)[-1][1].reason == "a person said that it is the original"
    record = store.reader.candidate(B)
    assert record is not None
    assert record.events[-1].detail == "a person said: article 2 is the original"
    assert store.reader.audit().balanced


def test_the_original_stays_exported_through_a_new_judgement_of_all(store: Store) -> None:
    for url in (A, B, C):
        take_in(store, url, "một hai")
    store.review.mark_original(3, now=LATER)

    rethink(store)

    assert exported(store) == [3]
    assert store.reader.audit().balanced


def test_a_fuller_text_that_comes_later_does_not_replace_the_original(store: Store) -> None:
    take_in(store, A, "một hai")
    store.review.mark_original(1, now=LATER)
    newcomer = made(D, "một hai ba")
    store.ledger.enqueue([candidate(D)], now=LATER)

    outcome = store.ledger.settle(
        claim_one(store, now=LATER),
        newcomer,
        fingerprint=fingerprint(newcomer.text),
        judge=lambda near: judge(newcomer, fingerprint(newcomer.text), near),
        now=LATER,
    )

    assert outcome is not None
    assert (outcome.state, exported(store)) == (State.DUPLICATE, [1])


def test_the_latest_mark_of_an_original_counts(store: Store) -> None:
    for url in (A, B, C):
        take_in(store, url, "một hai")

    store.review.mark_original(2, now=NOW)
    store.review.mark_original(3, now=LATER)
    rethink(store)

    assert exported(store) == [3]


def test_a_mark_of_an_original_is_not_a_mark_of_a_pair(store: Store) -> None:
    take_in(store, A, "một hai")
    store.review.mark_original(1, now=LATER)

    take_in(store, A, "một hai ba", now=LATER)

    assert exported(store) == [2]
    assert [each.marked for each in store.reader.neighbours(made(A, "một hai"), fingerprint("một hai"))] == [""] * 2


def test_when_the_head_leaves_a_cluster_the_original_takes_its_place(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "một hai")
    take_in(store, C, "một hai ba")
    store.review.mark_original(2, now=NOW)

    store.review.mark(3, 2, decided="different", judge=judge, now=LATER)

    assert exported(store) == [2, 3]
    assert store.reader.audit().balanced


def test_a_seed_can_be_the_original(store: Store) -> None:
    take_in(store, A, "một hai")
    seed = add_seed(store, "001_0123456789abcdef.txt", "một hai")

    store.review.mark_original(seed, now=LATER)

    assert exported(store) == [seed]
    assert [link.first_host for link in links(store)] == [""]


def test_an_unknown_original_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no article 7 in the store"):
        store.review.mark_original(7, now=NOW)
