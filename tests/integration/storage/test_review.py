"""After any ingest, decisions and new judgements the books balance, and the first rules restore the first verdicts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from tests.contract.storage.factories import MINUTE, NOW, article, candidate, page
from worker.config.schema import DedupeSettings
from worker.dedupe.judge import Deduper
from worker.errors import StoreError
from worker.storage.db.schema import MARKS, STANDINGS
from worker.storage.store import Store, open_store

FIRST_RULES = Deduper(DedupeSettings())
OTHER_RULES = [
    Deduper(DedupeSettings(keep="longest")),
    Deduper(DedupeSettings(merge_at=0.99)),
    Deduper(DedupeSettings(merge_at=0.1)),
]
SYLLABLES = ("an", "bình", "cao", "dũng", "giang", "hà", "khê", "lâm", "minh", "nam", "phú", "quang", "sơn", "tâm")
LATER = NOW + MINUTE


def story(topic: str, paragraphs: int = 5) -> list[str]:
    chance = random.Random(topic)
    return [f"{topic} " + " ".join(chance.choices(SYLLABLES, k=30)) + "." for _ in range(paragraphs)]


ONE, TWO = story("cầu"), story("trường")
TEXTS = [
    "\n".join(lines)
    for lines in (ONE, ONE[:3], [*ONE, *story("thêm", 2)], ONE[2:], TWO, TWO[:4], [*ONE[:2], *TWO[:2]], story("chợ"))
]
URLS = [f"https://h{number}.example/{number}" for number in range(6)]

Act = tuple[str, int, int]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(range(len(URLS))), st.sampled_from(range(len(TEXTS)))),
        st.tuples(st.just("same"), st.integers(1, 6), st.integers(1, 6)),
        st.tuples(st.just("different"), st.integers(1, 6), st.integers(1, 6)),
        st.tuples(st.just("reprocess"), st.sampled_from(range(len(OTHER_RULES))), st.just(0)),
    ),
    max_size=14,
)


@contextmanager
def opened(fresh: Path) -> Iterator[Store]:
    with TemporaryDirectory() as folder:
        path = shutil.copy(fresh, Path(folder) / "corpus.db")
        with open_store(f"sqlite:///{path}", parameters=FIRST_RULES.parameters) as store:
            yield store


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("review") / "fresh.db"
    open_store(f"sqlite:///{path}", parameters=FIRST_RULES.parameters).close()
    return path


def take(store: Store, url: str, text: str) -> None:
    store.ledger.enqueue([candidate(url)], now=NOW, again=True)
    (claim,) = store.ledger.claim(now=NOW, lease=MINUTE, limit=1, worker="w1")
    newcomer = article(url, text)
    fingerprint = FIRST_RULES.fingerprint(newcomer)
    store.ledger.settle(
        claim,
        newcomer,
        fingerprint=fingerprint,
        judge=partial(FIRST_RULES.judge, newcomer, fingerprint),
        now=NOW,
        page=page(url, text.encode()),
    )


def reprocess(store: Store, rules: Deduper) -> None:
    thought = store.review.rejudge(tag=str(id(rules)))
    thought.judge_all(rules.judge)
    thought.take_effect(rules.judge, now=LATER)


def say(store: Store, one: int, other: int, decided: str, *, now: datetime) -> None:
    with suppress(StoreError):  # not there yet, or both of one page
        store.review.mark(one, other, decided=decided, judge=FIRST_RULES.judge, now=now)


def run(store: Store, acts: list[Act]) -> None:
    for number, (what, one, other) in enumerate(acts):
        if what == "take":
            take(store, URLS[one], TEXTS[other])
        elif what == "reprocess":
            reprocess(store, OTHER_RULES[one])
        else:
            say(store, one, other, what, now=NOW + number * MINUTE)
        assert store.reader.audit().problems == ()


def rows(store: Store, query: Any) -> list[dict[str, Any]]:
    read: Callable[..., list[dict[str, Any]]] = store._database.read
    return read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


A_PAGE_THAT_COMES_BACK: list[Act] = [("take", 0, 7), ("take", 0, 0), ("take", 0, 7), ("take", 5, 0)]


@settings(max_examples=25)
@example(acts=A_PAGE_THAT_COMES_BACK)
@given(acts=ACTS)
def test_the_first_rules_lead_back_to_what_a_fresh_ingest_gives(fresh: Path, acts: list[Act]) -> None:
    standings = select(STANDINGS).order_by(STANDINGS.c.article_id)
    with opened(fresh) as store, opened(fresh) as anew:
        run(store, acts)
        if marks := rows(store, select(MARKS)):
            anew._database.write(lambda connection: connection.execute(insert(MARKS), marks).rowcount)
        for what, one, other in acts:
            if what == "take":
                take(anew, URLS[one], TEXTS[other])

        reprocess(store, FIRST_RULES)

        assert rows(store, standings) == rows(anew, standings)
        books, others = store.reader.audit(), anew.reader.audit()
        assert books.balanced
        assert books.clusters == others.clusters


@settings(max_examples=25)
@given(acts=ACTS, one=st.integers(1, 6), other=st.integers(1, 6), decided=st.sampled_from(["same", "different"]))
def test_a_manual_decision_takes_effect_at_once(
    fresh: Path, acts: list[Act], one: int, other: int, decided: str
) -> None:
    with opened(fresh) as store:
        run(store, acts)
        pair = [store.reader.article(each) for each in (one, other)]
        if None in pair or len({each.article.canonical_url for each in pair if each}) < 2:
            return

        say(store, one, other, decided, now=NOW + 60 * MINUTE)

        first, second = (store.reader.article(each) for each in (one, other))
        assert first is not None
        assert second is not None
        if decided == "different":
            assert first.cluster != second.cluster
        assert store.reader.audit().problems == ()
