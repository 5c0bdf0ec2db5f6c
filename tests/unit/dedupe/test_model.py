"""The fitted model: its features, its weights, its reasons, and the refit to the marks of a store."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.dedupe.factories import NOW, article, edited, neighbour, prose
from worker.config.schema import DedupeSettings
from worker.dedupe.classify import describe_features
from worker.dedupe.features import FEATURE_SIGNS, PublishedText, measure_features
from worker.dedupe.judge import Deduper
from worker.dedupe.model import (
    FeatureCurve,
    MarkedPair,
    cross_validate,
    marked_pair,
    refit,
    shipped_model,
    weights_from_text,
    weights_to_text,
)
from worker.dedupe.prepared import prepare
from worker.dedupe.similarity import compare
from worker.models import Relation

STORY = prose(1)
DATES = st.one_of(st.none(), st.integers(0, 2000).map(lambda hours: NOW + timedelta(hours=hours)))
TITLES = st.sampled_from(["", "Một hai ba 7", "Một hai ba 8", "Sáu bảy"])


def piece(text: list[str], *, title: str = "", at: datetime | None = None) -> PublishedText:
    return PublishedText(prepared=prepare("\n".join(text), title=title), host="one.example", published_at=at)


def measured(one: PublishedText, two: PublishedText) -> dict[str, float]:
    return measure_features(one, two, compare(one.prepared, two.prepared))


def probability(one: PublishedText, two: PublishedText) -> float:
    return shipped_model().probability(shipped_model().parts(measured(one, two)))


@st.composite
def versions(draw: st.DrawFn) -> list[str]:
    rng = random.Random(draw(st.integers(0, 10_000)))
    story = [line for line in prose(draw(st.integers(1, 2)), sentences=10) if rng.random() < 0.8]
    story = edited(story, every=draw(st.sampled_from([4, 9, 1000])), seed=rng.randrange(99))
    dated = f"Sáng {rng.randint(1, 28)}/5 ông Trần Văn {rng.choice(['Bình', 'Hoà'])} nhận {rng.randint(1, 9)} tỷ"
    return [dated, *story, *prose(50 + rng.randrange(9), sentences=draw(st.integers(0, 4)))]


@settings(max_examples=60)
@given(one=versions(), two=versions(), dates=st.tuples(DATES, DATES), titles=st.tuples(TITLES, TITLES))
def test_the_features_do_not_depend_on_the_order_of_the_texts(
    one: list[str],
    two: list[str],
    dates: tuple[datetime | None, datetime | None],
    titles: tuple[str, str],
) -> None:
    first, second = piece(one, title=titles[0], at=dates[0]), piece(two, title=titles[1], at=dates[1])

    there, back = measured(first, second), measured(second, first)

    assert there.keys() == back.keys() == FEATURE_SIGNS.keys()
    assert back == there
    assert all(math.isfinite(value) for value in there.values())
    assert 0.0 < probability(first, second) < 1.0


def test_the_file_of_weights_has_a_curve_and_words_for_every_feature() -> None:
    model = shipped_model()

    assert model.curves.keys() == FEATURE_SIGNS.keys()
    assert all(describe_features({name: 0.5}, {name: 1.0}) for name in FEATURE_SIGNS)
    assert model.covariance.shape == (len(FEATURE_SIGNS) + 1, len(FEATURE_SIGNS) + 1)
    assert (model.covariance == model.covariance.T).all()
    for name, curve in model.curves.items():
        assert len(curve.at) == len(curve.adds) >= 2
        assert list(curve.at) == sorted(set(curve.at))
        steps = [after - before for before, after in zip(curve.adds, curve.adds[1:], strict=False)]
        assert FEATURE_SIGNS[name] == 0 or all(step * FEATURE_SIGNS[name] >= 0 for step in steps), name


def test_a_curve_is_straight_between_its_points_and_flat_beyond_them() -> None:
    curve = FeatureCurve(at=(0.0, 1.0), adds=(2.0, -2.0))

    assert [curve.part(value) for value in (-1.0, 0.0, 0.25, 1.0, 9.0)] == [2.0, 2.0, 1.0, -2.0, -2.0]
    for shipped in shipped_model().curves.values():
        values = [*shipped.at, *np.linspace(shipped.at[0] - 0.1, shipped.at[-1] + 0.1, 101).tolist()]
        straight = np.interp(values, shipped.at, shipped.adds).tolist()
        assert [shipped.part(value) for value in values] == pytest.approx(straight, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        (timedelta(hours=1), timedelta(days=2)),
        (timedelta(days=2), timedelta(days=9)),
        (timedelta(days=9), timedelta(days=60)),
    ],
)
def test_the_longer_between_two_texts_the_less_they_are_one_item(nearer: timedelta, farther: timedelta) -> None:
    first, copy = piece(STORY, at=NOW), edited(STORY, every=20)

    assert probability(first, piece(copy, at=NOW + nearer)) >= probability(first, piece(copy, at=NOW + farther))


@pytest.mark.parametrize("days", [2, 9, 400])
def test_a_distant_date_counts_no_more_against_one_item_than_an_unknown_one(days: int) -> None:
    first, copy = piece(STORY, at=NOW), edited(STORY, every=20)

    assert probability(first, piece(copy, at=NOW + timedelta(days=days))) == probability(first, piece(copy))
    assert probability(first, piece(copy)) < probability(first, piece(copy, at=NOW))


@pytest.mark.parametrize("days", [0, 9, 400])
def test_the_same_words_under_the_same_title_are_a_copy_whatever_their_dates(days: int) -> None:
    deduper, arriving = Deduper(), article(STORY, title="Cầu", after=timedelta(days=days))

    verdict = deduper.judge(arriving, deduper.fingerprint(arriving), [neighbour(STORY, title="Cầu", dated=True)])

    assert verdict.relation is Relation.COPY


def test_passages_of_its_own_make_a_text_less_the_same_item() -> None:
    first = piece(STORY)
    own = [probability(first, piece([*STORY[: 15 - count], *prose(7, sentences=count)])) for count in (0, 3, 7)]

    assert own == sorted(own, reverse=True)


def test_at_most_three_reasons_for_and_against_are_given_the_strongest_first() -> None:
    values = measured(piece(STORY, title="Khác", at=NOW), piece(edited(STORY, every=9), title="Kia", at=NOW))
    parts = shipped_model().parts(values)

    told = describe_features(values, parts)

    pro = [line for line in told if line.startswith("for: ")]
    assert 0 < len(pro) <= 3
    assert 0 < len(told) - len(pro) <= 3
    strongest = [float(line.rpartition("(")[2].rstrip(")")) for line in pro]
    assert strongest == sorted(strongest, reverse=True)


def test_every_verdict_of_the_model_has_its_probability_and_reasons() -> None:
    deduper, arriving = Deduper(), article(edited(STORY, every=9))

    best = deduper.judge(arriving, deduper.fingerprint(arriving), [neighbour(STORY)]).best

    assert best is not None
    assert best.probability is not None
    assert best.probability >= DedupeSettings().merge_at
    assert any(note.startswith("for: ") for note in best.notes)


def test_two_reports_of_a_day_that_each_have_much_of_their_own_overlap() -> None:
    deduper = Deduper()
    one = [*prose(7, sentences=6), *STORY]
    arriving = article([*STORY, *prose(8, sentences=6)], title="Kia", after=timedelta(hours=1))
    verdict = deduper.judge(arriving, deduper.fingerprint(arriving), [neighbour(one, title="Khác", dated=True)])

    assert verdict.relation in (Relation.OVERLAP, Relation.COPY, Relation.CONTAINED, Relation.CONTAINS)


def lessons(count: int, *, name: str, same: bool) -> list[MarkedPair]:
    """Return marks on pairs that differ in what one feature adds."""
    place = list(FEATURE_SIGNS).index(name)
    return [
        MarkedPair(parts=tuple(-1.5 if each == place else 0.0 for each in range(len(FEATURE_SIGNS))), one_item=same)
        for _ in range(count)
    ]


def test_marks_move_the_factors_of_their_features_and_hardly_the_others() -> None:
    model = shipped_model()
    learned = refit(model, lessons(40, name="both_have_passages", same=True), fitted="2026-01-01")

    assert learned.factors["both_have_passages"] < 0.8
    assert learned.shift > 0
    assert learned.fitted == "2026-01-01"
    assert all(factor >= 0 for factor in learned.factors.values())


def test_without_marks_nothing_moves() -> None:
    learned = refit(shipped_model(), [], fitted="2026-01-01")

    assert (learned.shift, set(learned.factors.values())) == (0.0, {1.0})


def test_cross_validation_shows_whether_the_marks_improve_the_model() -> None:
    before, after = cross_validate(shipped_model(), lessons(30, name="both_have_passages", same=True), merge_at=0.5)

    assert after.loss < before.loss
    assert after.wrong <= before.wrong


def test_refitted_weights_survive_the_store_and_apply_to_their_version_only() -> None:
    model = shipped_model()
    learned = refit(model, lessons(20, name="title", same=False), fitted="2026-01-01")

    assert weights_from_text(model, weights_to_text(learned)) == learned
    assert weights_from_text(model, None) is model
    assert weights_from_text(replace(model, version=model.version + 1), weights_to_text(learned)).factors == {}
    assert json.loads(weights_to_text(learned))["version"] == model.version


def test_a_mark_on_texts_without_a_common_word_is_ignored() -> None:
    one, two = article(STORY), article(prose(2))

    assert marked_pair(one, two, same=True, model=shipped_model()) is None
    assert marked_pair(one, article(STORY[:9]), same=True, model=shipped_model()) is not None


def test_what_only_one_text_has_counts_by_what_the_other_says_nowhere() -> None:
    def lead(seed: int, *, known: int) -> list[str]:
        """Return a lead of fragments of the story, each followed by words of its own."""
        own = " ".join(prose(seed, sentences=6)).split()
        told = (STORY[each].split()[2 : 2 + known] + own[8 * each : 8 * each + 12 - known] for each in range(6))
        return [" ".join(word for part in told for word in part)]

    other = piece([*lead(78, known=3), *STORY])
    reworded, news = (measured(piece([*lead(77, known=known), *STORY]), other) for known in (9, 3))

    assert reworded["news_in_both"] < news["news_in_both"]
    assert reworded["both_have_passages"] < news["both_have_passages"]


def test_a_row_of_other_numbers_counts_as_often_as_it_has_numbers() -> None:
    rng = random.Random(4)
    drawn = [" ".join(str(rng.randrange(10_000, 99_999)) for _ in range(27)) for _ in range(2)]
    one, two = (piece([STORY[0], f"Các giải: {row} là của hôm nay", *STORY[1:3]]) for row in drawn)

    assert measured(one, two)["clash_rate"] > 10.0


def test_own_dates_are_those_near_the_beginning_that_the_other_names_nowhere() -> None:
    def dated(first: str, last: str) -> PublishedText:
        return piece([f"Ngày {first} có tin mới", *STORY, *prose(9, sentences=12), f"Hẹn ngày {last} trả lời"])

    assert measured(dated("3/5", "9/9"), dated("4/5", "8/8"))["own_dates"] == 1.0
    assert measured(dated("3/5", "4/5"), dated("4/5", "3/5"))["own_dates"] == 0.0
