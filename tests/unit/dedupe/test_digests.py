"""A text that holds a whole other one among other items, and what becomes of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from tests.unit.dedupe.factories import article, neighbour, prose
from worker.dedupe.judge import Deduper
from worker.models import Kind, Relation, Verdict

TITLE = "Chợ Vĩnh Hưng tạm dời sang bãi xe Quang Trung"
OTHER_TITLE = "Giá vải thiều Thanh Hà tăng gấp rưỡi"
NOTICE = [f"{TITLE} từ tuần tới.", *prose(200, sentences=4)]
ITEMS = [
    [f"{OTHER_TITLE} so với năm ngoái.", *prose(201, sentences=4)],
    ["Tuyến xe buýt số 52 đổi lộ trình vì rào đường.", *prose(202, sentences=4)],
    *(prose(seed, sentences=5) for seed in range(203, 206)),
]
IN_A_DIGEST = (Relation.FOLLOWUP, True, "an item in a text on other matters")


def among(*items: list[str]) -> list[str]:
    return [*items[0], *NOTICE, *(line for each in items[1:] for line in each)]


ROUND_UPS = {
    "two items": (among(*ITEMS[:2]), "Tin vắn ngày 12/3"),
    "teasers of many": ([*prose(210, sentences=4), *NOTICE, *prose(211, sentences=20)], "Trang chuyên mục"),
    "named after another item": (among(*ITEMS[:3]), OTHER_TITLE),
    "named after several items": (among(*ITEMS[:3]), f"{TITLE[:13]}; {OTHER_TITLE}; tuyến xe buýt số 52"),
}


def judged(
    text: tuple[list[str], str], stored: tuple[list[str], str], *, host: str = "other.example", dated: bool = False
) -> Verdict:
    arriving = article(text[0], title=text[1], url=f"https://{host}/2", after=timedelta(hours=5) if dated else None)
    deduper = Deduper()
    return deduper.judge(arriving, deduper.fingerprint(arriving), [neighbour(stored[0], title=stored[1], dated=dated)])


def outcome(verdict: Verdict) -> tuple[Relation, bool, str]:
    assert verdict.best is not None
    return verdict.relation, verdict.head, verdict.best.rule


@pytest.mark.parametrize("name", ROUND_UPS)
@pytest.mark.parametrize(("host", "dated"), [*product(("old.example", "other.example"), (True, False))])
def test_a_round_up_and_an_item_in_it_are_both_kept_whichever_comes_first(name: str, host: str, dated: bool) -> None:
    notice = NOTICE, TITLE

    assert outcome(judged(ROUND_UPS[name], notice, host=host, dated=dated)) == IN_A_DIGEST
    assert outcome(judged(notice, ROUND_UPS[name], host=host, dated=dated)) == IN_A_DIGEST


def test_without_titles_what_is_around_a_text_on_one_page_of_a_publisher_alone_is_other_items() -> None:
    page = among(*ITEMS[:3]), ""

    assert outcome(judged(page, (NOTICE, ""), host="old.example")) == IN_A_DIGEST
    assert judged(page, (NOTICE, "")).relation is Relation.CONTAINS


@pytest.mark.parametrize("title", [TITLE, f"{TITLE} - Báo Ví dụ", "Tiểu thương Vĩnh Hưng: dời sang bãi xe"])
@pytest.mark.parametrize("host", ["old.example", "other.example"])
def test_a_copy_among_boilerplate_has_the_title_of_its_story_or_one_about_it(title: str, host: str) -> None:
    verdict = judged((among(*ITEMS[:3]), title), (NOTICE, TITLE), host=host)

    assert verdict.relation is Relation.CONTAINS


def test_a_seed_is_found_among_boilerplate_though_its_first_line_is_a_menu() -> None:
    deduper, arriving = Deduper(), article(NOTICE, title=TITLE)
    page = neighbour(among(*ITEMS[:3]), title="Trang chủ Logo")

    verdict = deduper.judge(arriving, deduper.fingerprint(arriving), [replace(page, kind=Kind.SEED, host="")])

    assert verdict.relation is Relation.CONTAINED


def test_the_title_of_an_item_above_it_does_not_make_another_publishers_round_up_the_fuller_text() -> None:
    page = [TITLE, *NOTICE, *ITEMS[0], *ITEMS[1][:2]]

    verdict = judged((page, TITLE), (NOTICE, TITLE))

    assert (verdict.relation, verdict.head) == (Relation.CONTAINS, False)
    assert verdict.reason.endswith("what it adds speaks of something else")
