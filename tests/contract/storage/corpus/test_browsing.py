"""What the web pages read of a store: who copied whom, pairs to review, rejected pages, texts by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.storage.factories import (
    MINUTE,
    NOW,
    add_seeds,
    article,
    candidate,
    claim_one,
    fingerprint,
    judge,
    judge_of,
    page,
    seed,
    take_in,
)
from worker.errors import StoreError
from worker.models import Claim, Kind, Outcome, PreparedSeed, State, Text
from worker.storage.corpus import texts
from worker.storage.corpus.judge_model import UnsurePair
from worker.storage.store import Store

A, B, C, D = (f"https://{letter}.example/1" for letter in "abcd")
DAY = timedelta(days=1)


def take_in_published(store: Store, url: str, text: str, *, hours: int) -> None:
    """Take in an article that was published so many hours before the others."""
    store.ledger.enqueue([candidate(url)], now=NOW)
    newcomer = replace(article(url, text), published_at=NOW - timedelta(hours=7 + hours))
    store.ledger.settle(claim_one(store), newcomer, fingerprint=fingerprint(text), judge=judge_of(newcomer), now=NOW)


def test_a_report_names_who_had_a_text_first_and_who_copied_it(store: Store) -> None:
    take_in(store, B, "một hai ba")
    take_in_published(store, A, "ba hai một", hours=3)
    take_in(store, C, "hai một ba")
    take_in(store, D, "chín mười")

    report = store.reader.copy_report(since=NOW - DAY)

    (story,) = report.stories
    assert (story.first.host, [each.host for each in story.copies]) == ("a.example", ["b.example", "c.example"])
    assert (story.texts, story.hosts) == (3, 3)
    assert [(each.host, each.copied, each.texts, each.share) for each in report.hosts] == [
        ("b.example", 1, 1, 1.0),
        ("c.example", 1, 1, 1.0),
    ]
    assert (report.texts, report.is_cut) == (4, False)
    assert store.reader.copy_report(since=NOW + DAY).texts == 0


def test_a_seed_without_a_date_neither_had_a_text_first_nor_copied_it(store: Store) -> None:
    imported = NOW - 9 * DAY
    for number, published in ((1, None), (2, imported)):
        made = replace(article(f"https://s{number}.example/1", f"một hai ba {number}"), kind=Kind.SEED)
        made = replace(made, published_at=published, fetched_at=imported + MINUTE)
        raw = seed(f"{number}.txt", made.text)
        add_seeds(store, PreparedSeed(seed=raw, article=made, fingerprint=fingerprint(made.text)))
        take_in(store, f"https://{'ab'[number - 1]}.example/1", made.text, now=NOW + MINUTE)

    report = store.reader.copy_report(since=NOW - DAY)
    links = store.reader.newest_copies(before=None, limit=9).links

    assert [(story.first.host, [each.host for each in story.copies]) for story in report.stories] == [
        ("s2.example", ["b.example"])
    ]
    assert [(each.host, each.copied) for each in report.hosts] == [("b.example", 1)]
    assert {each.first_host for each in links} == {"", "s2.example"}
    assert [each.is_dated for each in store.reader.members(1)] == [False, True]


def test_a_text_marked_as_the_original_is_the_first_of_its_cluster(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "hai một")
    store.review.mark_original(2, now=NOW)

    assert [each.id for each in store.reader.members(1)] == [2, 1]
    (story,) = store.reader.copy_report(since=NOW - DAY).stories
    assert story.first.id == 2
    assert list(store.reader.marked_pairs()) == []  # nothing for `duplicates fit`: it says nothing of a pair


def test_newest_copies_come_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, url in enumerate((A, B, C, D)):
        take_in(store, url, "một hai", now=NOW + number * MINUTE)

    first = store.reader.newest_copies(before=None, limit=2)
    rest = store.reader.newest_copies(before=first.before, limit=2)
    monkeypatch.setattr(texts, "MAX_LOOKED_AT", 2)
    bounded = store.reader.newest_copies(before=None, limit=9)

    assert [(each.id, each.first_host) for each in first.links] == [(4, "a.example"), (3, "a.example")]
    assert ([each.id for each in rest.links], rest.before) == ([2], None)
    assert ([each.id for each in bounded.links], bounded.before) == ([4, 3], 3)
    assert store.reader.copy_report(since=NOW - DAY).is_cut


def settle_unsure(store: Store, url: str, text: str, *, probability: float) -> None:
    """Take in an article whose comparisons have this probability."""
    store.ledger.enqueue([candidate(url)], now=NOW)
    newcomer = article(url, text)

    def unsure(neighbours: object) -> object:
        verdict = judge_of(newcomer)(neighbours)  # type: ignore[arg-type]
        made = tuple(replace(each, probability=probability) for each in verdict.considered)
        return replace(verdict, considered=made)

    store.ledger.settle(claim_one(store), newcomer, fingerprint=fingerprint(text), judge=unsure, now=NOW)  # type: ignore[arg-type]


def test_a_pair_is_open_until_somebody_decides_it_and_again_when_that_is_taken_back(store: Store) -> None:
    take_in(store, A, "một hai ba")
    settle_unsure(store, B, "một hai chín", probability=0.4)
    settle_unsure(store, C, "một sáu bảy", probability=0.9)

    found = store.reader.unsure_among(above=0, below=store.reader.newest_verdict() + 1)
    pairs = sorted(found, key=lambda each: abs(each.probability - 0.5))
    before = store.reader.open_pair(pairs)
    store.review.mark(2, 1, decided="same", judge=judge, now=NOW)
    after = store.reader.open_pair(pairs)
    summary = store.reader.mark_summary(merge_at=0.5)
    store.review.unmark(1, 2, judge=judge, now=NOW)

    assert before is not None
    assert (before.article.id, before.other.id, before.comparison.probability) == (2, 1, 0.4)
    assert after is not None
    assert (after.article.id, after.comparison.probability) == (3, 0.9)
    assert (summary.same, summary.different, summary.compared, summary.agreed) == (1, 0, 1, 0)
    assert [(each.article, each.other, each.judged_same) for each in summary.latest] == [(1, 2, False)]
    assert store.reader.mark_summary(merge_at=0.5).latest == ()
    assert [head.id for head in store.reader.heads()] == [1, 2, 3]
    assert store.reader.audit().problems == ()
    record = store.reader.candidate(B)
    assert record is not None
    assert "a person took back what was said of articles 2 and 1" in record.events[-1].detail
    with pytest.raises(StoreError, match="nobody has marked"):
        store.review.unmark(1, 2, judge=judge, now=NOW)


def test_pairs_of_one_page_or_of_articles_that_are_gone_are_not_open(store: Store) -> None:
    take_in(store, A, "một hai ba")
    take_in(store, A, "một hai bốn", now=NOW + MINUTE)

    pairs = [
        UnsurePair(article=one, other=other, probability=0.5, relation=store.reader.heads().__next__().relation)
        for one, other in ((2, 1), (1, 9))
    ]

    assert store.reader.open_pair(pairs) is None


def reject(store: Store, url: str, *, reason: str = "short", kept: bool = True) -> Claim:
    store.ledger.enqueue([candidate(url)], now=NOW)
    claim = claim_one(store)
    outcome = Outcome(state=State.REJECTED, reason=reason, detail=f"too {reason}: 9 words")
    store.ledger.finish(claim, outcome, now=NOW, page=page(url, b"<p>Tin</p>") if kept else None)
    return claim


def test_rejected_pages_are_listed_by_reason_in_parts(store: Store) -> None:
    kept = reject(store, A)
    reject(store, B, reason="language")
    last = reject(store, C, kept=False)
    take_in(store, D, "một hai")

    first = store.review.rejected_list(before=None, reason="", limit=2)
    rest = store.review.rejected_list(before=first.before, reason="", limit=2)
    chosen = store.review.rejected_list(before=None, reason="language", limit=2)

    assert [(each.url, each.detail, each.is_kept) for each in first.pages] == [
        (C, "too short: 9 words", False),
        (B, "too language: 9 words", True),
    ]
    assert ([each.url for each in rest.pages], rest.before) == ([A], None)
    assert ([each.url for each in chosen.pages], dict(chosen.reasons)) == ([B], {"short": 2, "language": 1})
    store.ledger.enqueue([candidate(C)], now=NOW, again=True)
    again = Outcome(state=State.REJECTED, reason="language", detail="too language: 1")
    store.ledger.finish(claim_one(store), again, now=NOW)
    store.review.take(kept.id, now=NOW)
    left = store.review.rejected_list(before=None, reason="", limit=1)
    older = store.review.rejected_list(before=left.before, reason="", limit=9)
    assert [each.url for each in (*left.pages, *older.pages)] == [C, B]  # each once, and only what is rejected still
    assert (dict(left.reasons), left.are_reasons_of_all, older.reasons) == ({"language": 2}, True, left.reasons)
    found = store.review.rejected_page(kept.id)
    assert found is not None
    assert getattr(found[2], "body", b"") == b"<p>Tin</p>"
    assert store.review.rejected_page(last.id + 99) is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_rejected_page_is_taken_after_all(store: Store, *, kept: bool) -> None:
    number = reject(store, A, kept=kept).id

    before = store.review.rejected_page(number)
    store.review.take(number, now=NOW)
    store.review.leave(number, now=NOW)
    assert before is not None
    assert store.review.rejected_page(number) == before
    assert store.reader.audit().problems == ()
    with pytest.raises(StoreError, match="does not wait any more"):
        store.review.leave(number, now=NOW)
    assert store.ledger.claim(now=NOW + DAY, lease=DAY, limit=9, worker="w") == []

    assert store.review.take(number, now=NOW) is kept
    assert store.reader.audit().problems == ()
    claim = claim_one(store)
    with pytest.raises(StoreError, match="does not wait any more"):
        store.review.leave(number, now=NOW)
    assert claim.is_taken
    assert (claim.payload is not None) is kept
    newcomer = article(A, "một hai")
    store.ledger.settle(
        claim, newcomer, fingerprint=fingerprint("một hai"), judge=judge_of(newcomer), now=NOW,
        page=None if isinstance(claim.payload, Text) else claim.payload,
    )  # fmt: skip

    record = store.reader.candidate(A)
    assert record is not None
    assert record.state is State.STORED
    asked = next(each.detail for each in record.events if each.what == "queued")
    assert asked == "a person asked to store it after all; it was rejected: short: too short: 9 words"
    assert store.reader.audit().balanced
    assert store.reader.audit().problems == ()
    with pytest.raises(StoreError, match="not rejected"):
        store.review.take(number, now=NOW)


def test_texts_are_counted_by_source_and_day(store: Store) -> None:
    take_in(store, A, "một hai")
    take_in(store, B, "ba bốn", now=NOW - DAY)

    assert store.reader.daily_texts(["bao", "other"], since=NOW - 2 * DAY) == {
        ("bao", NOW.date()): 1,
        ("bao", (NOW - DAY).date()): 1,
    }
    assert store.reader.daily_texts(["bao"], since=NOW + DAY) == {}


def test_a_source_is_made_due_at_once(store: Store) -> None:
    store.ledger.make_due("bao", now=NOW)

    (state,) = store.reader.sources()
    assert (state.name, state.due_at, state.polled_at) == ("bao", NOW, None)
