"""The verdict on an article against stored articles, rule by rule."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.unit.dedupe.factories import article, edited, neighbour, prose
from worker.config.schema import DedupeSettings
from worker.dedupe.judge import Deduper
from worker.models import Article, Neighbour, Relation, Verdict

STORY = prose(1)
OTHER = prose(2)
FORM = "a form filled in anew"


def judged(arriving: Article, *stored: Neighbour, rules: DedupeSettings | None = None) -> Verdict:
    deduper = Deduper(rules)
    return deduper.judge(arriving, deduper.fingerprint(arriving), stored)


def rule_of(verdict: Verdict) -> tuple[Relation, str]:
    return verdict.relation, verdict.considered[0].rule


def test_a_text_without_neighbours_is_unique_and_heads_its_cluster() -> None:
    verdict = judged(article(STORY))

    assert (verdict.relation, verdict.head, verdict.best, verdict.considered) == (Relation.UNIQUE, True, None, ())


def test_an_equal_text_is_a_copy_and_does_not_become_the_head() -> None:
    verdict = judged(article(STORY), neighbour(STORY))

    assert verdict.best is not None
    assert (verdict.relation, verdict.head, verdict.best.jaccard, verdict.best.containment) == (
        Relation.COPY,
        False,
        1.0,
        1.0,
    )
    assert verdict.best.shared_words == sum(len(sentence.split()) for sentence in STORY)


def test_an_unlike_text_is_unique() -> None:
    verdict = judged(article(STORY), neighbour(OTHER))

    assert (verdict.relation, verdict.best) == (Relation.UNIQUE, None)
    assert verdict.considered[0].rule == "too little in common"


@pytest.mark.parametrize("every", [30, 15, 10, 7])
def test_a_copy_with_words_edited_all_over_is_one_item(every: int) -> None:
    verdict = judged(article(edited(STORY, every=every), title="khác"), neighbour(STORY, title="trước"))

    assert verdict.relation is Relation.COPY


def test_a_copy_with_a_third_of_its_words_edited_is_not() -> None:
    verdict = judged(article(edited(STORY, every=3)), neighbour(STORY))

    assert verdict.relation in (Relation.UNIQUE, Relation.FOLLOWUP)


def test_paragraphs_in_another_order_are_a_copy() -> None:
    verdict = judged(article([*STORY[8:], *STORY[:8]]), neighbour(STORY))

    assert verdict.relation is Relation.COPY


def test_a_shortened_copy_is_contained_and_leaves_the_fuller_text_at_the_head() -> None:
    verdict = judged(article(STORY[:6]), neighbour(STORY))

    assert (verdict.relation, verdict.head) == (Relation.CONTAINED, False)


def test_the_fuller_text_contains_the_shorter() -> None:
    assert judged(article(STORY), neighbour(STORY[:6])).relation is Relation.CONTAINS


def test_a_cut_copy_with_boilerplate_around_it_is_contained() -> None:
    page = [*prose(50, sentences=8), *STORY[:10], *prose(51, sentences=9)]

    verdict = judged(article(page, title="một tiêu đề khác"), neighbour(STORY, title="tiêu đề"))

    assert verdict.relation is Relation.CONTAINED


def test_an_article_inside_a_page_on_other_topics_is_found() -> None:
    page = [*prose(50, sentences=15), *STORY, *prose(51, sentences=15)]

    assert judged(article(STORY), neighbour(page)).relation is Relation.CONTAINED
    assert judged(article(page), neighbour(STORY)).relation is Relation.CONTAINS


def test_a_digest_with_the_item_among_many_is_not_merged() -> None:
    digest = [sentence for seed in range(60, 75) for sentence in prose(seed, sentences=8)] + STORY[:8]

    verdict = judged(article(digest), neighbour(STORY[:8]))
    turned = judged(article(STORY[:8]), neighbour(digest))

    assert rule_of(turned) == rule_of(verdict)
    assert rule_of(verdict) == (Relation.FOLLOWUP, "an item in a text on other matters")
    assert verdict.head


def test_two_articles_that_share_a_long_sign_off_are_two_items() -> None:
    sign_off = prose(70, sentences=7)

    verdict = judged(article([*STORY, *sign_off]), neighbour([*OTHER, *sign_off]))

    assert verdict.relation is Relation.UNIQUE


def test_a_lead_rewritten_from_a_sentence_of_the_text_is_nothing_new() -> None:
    lead = " ".join(word for place, word in enumerate(" ".join(STORY[6:8]).split()) if place % 4)

    verdict = judged(article([f"Ông Lê Văn Tám {lead}", *STORY], title="khác"), neighbour(STORY, title="trước"))

    assert verdict.relation in (Relation.COPY, Relation.CONTAINS)


def numbered(sentences: list[str], *, other: int = -1) -> list[str]:
    return [f"{line[:-1]} {991 if place == other else place * 37 + 11}." for place, line in enumerate(sentences)]


@pytest.mark.parametrize(("number", "other"), [("12", "57"), ("1.250", "1.520"), ("38,5", "3,85")])
@pytest.mark.parametrize("place", [0, 7, 14])
def test_a_single_other_number_in_a_long_text_is_a_correction(number: str, other: str, place: int) -> None:
    line = STORY[place][:-1]
    texts = [[*STORY[:place], f"{line} và {each} nơi khác.", *STORY[place + 1 :]] for each in (number, other)]

    verdict = judged(article(texts[1], title="Cầu mới"), neighbour(texts[0], title="Cầu mới"))

    assert verdict.relation is Relation.COPY


def test_other_numbers_in_every_third_sentence_are_a_template() -> None:
    lines = numbered(prose(1, sentences=24))
    words = list(lines)
    words[::3] = [f"{line.rpartition(' ')[0]} {7000 + place}." for place, line in enumerate(lines[::3])]

    assert judged(article(words), neighbour(lines)).relation is Relation.TEMPLATE


@pytest.mark.parametrize("form", ["{number}{answer}", "Câu {number}: {answer}"])
def test_two_answer_keys_are_two_items(form: str) -> None:
    def key(seed: int) -> list[str]:
        rng = random.Random(seed)
        answers = [form.format(number=number, answer=rng.choice("ABCD")) for number in range(1, 41)]
        return [*prose(60, sentences=3), " ".join(answers), *prose(61, sentences=2)]

    assert rule_of(judged(article(key(1)), neighbour(key(2)))) == (Relation.TEMPLATE, FORM)
    assert judged(article(key(1)), neighbour(key(1))).relation is Relation.COPY


def test_other_numbers_in_other_places_of_two_titles_are_no_clash() -> None:
    one, two = (
        "Hai xe tải đâm nhau trên cầu 12 người thoát nạn",
        "Đêm 30 hai xe tải đâm nhau trên cầu mọi người thoát nạn",
    )

    assert judged(article(STORY, title=one), neighbour(STORY, title=two)).relation is Relation.COPY


def opening() -> list[str]:
    """Return an opening with news on the story, longer than a lead."""
    return [NEWS, f"Chiều 15/5 luật sư Phạm Thị Lan nộp đơn số 77, {about(13)}, theo toà án tỉnh và các bên"]


def test_a_later_story_with_all_of_the_earlier_one_contains_it() -> None:
    title = " ".join(STORY[0].split()[:9])
    later = article([*opening(), *STORY], title=f"Khởi tố ông Bình {' '.join(title.split()[:4])}")

    assert judged(later, neighbour(STORY, title=title)).relation is Relation.CONTAINS


def test_a_cut_without_the_opening_that_its_title_is_about_is_contained_in_either_order() -> None:
    fuller, cut = [*opening(), *STORY], STORY
    titles = "Cơ quan điều tra khởi tố bị can Trần Văn Bình", "Khởi tố bị can Trần Văn Bình vì tội mới"

    assert judged(article(cut, title=titles[1]), neighbour(fuller, title=titles[0])).relation is Relation.CONTAINED
    assert judged(article(fuller, title=titles[0]), neighbour(cut, title=titles[1])).relation is Relation.CONTAINS


def drawn(day: str, numbers: str, *, prize: str) -> str:
    form = (
        "Kết quả xổ số ngày {} cho thấy bộ số may mắn hôm nay là {} và giải thưởng cao nhất có giá trị {} tỷ đồng "
        "vẫn chưa tìm thấy chủ nhân nên được cộng dồn sang kỳ quay thưởng tiếp theo diễn ra vào tối thứ sáu tại trường "
        "quay của đài truyền hình với sự giám sát của hội đồng và đại diện các đại lý trên toàn quốc theo quy định"
    )
    return form.format(day, numbers, prize)


def test_a_form_filled_in_with_other_numbers_is_a_template() -> None:
    verdict = judged(
        article(drawn("29/8", "16 - 17 - 24", prize="19,2")), neighbour(drawn("26/8", "01 - 03 - 11", prize="17,7"))
    )

    assert rule_of(verdict) == (Relation.TEMPLATE, FORM)
    assert verdict.head


def test_one_other_number_in_the_title_makes_two_items() -> None:
    verdict = judged(
        article(STORY, title="Đáp án đề thi môn Vật lý mã đề 212"),
        neighbour(STORY, title="Đáp án đề thi môn Vật lý mã đề 203"),
    )

    assert rule_of(verdict) == (Relation.TEMPLATE, FORM)


@pytest.mark.parametrize(
    ("one", "two"),
    [("7-6", "7/6"), ("1.000", "1,000"), ("07/10/2017", "7/10/2017"), ("14", "1.4"), ("5,334,00", "5,334,000")],
)
def test_one_number_written_in_two_ways_is_no_difference(one: str, two: str) -> None:
    first, second = ([f"Ngày hôm ấy có {written} {STORY[0].lower()}", *STORY[1:]] for written in (one, two))

    assert judged(article(first), neighbour(second)).relation is Relation.COPY


def test_another_company_in_the_same_words_is_a_template() -> None:
    form = (
        "{} nộp hồ sơ chào bán trái phiếu có thể chuyển đổi. " + " ".join(STORY[:3]) + " Theo {} cho biết thêm như vậy"
    )

    verdict = judged(
        article(form.format("Mobil Corp", "Mobil"), title="Mobil chào bán trái phiếu"),
        neighbour(form.format("Hanover Bank", "Hanover"), title="Hanover chào bán trái phiếu"),
    )

    assert rule_of(verdict) == (Relation.TEMPLATE, FORM)


def test_a_brief_notice_of_another_day_is_a_template_and_of_the_same_day_a_copy() -> None:
    notice = STORY[:4]

    far = judged(article(notice, after=timedelta(days=14)), neighbour(notice, dated=True))
    near = judged(article(notice, after=timedelta(hours=3)), neighbour(notice, dated=True))

    assert rule_of(far) == (Relation.TEMPLATE, FORM)
    assert near.relation is Relation.COPY


def test_a_long_text_is_a_copy_however_much_later() -> None:
    verdict = judged(article(STORY, after=timedelta(days=40)), neighbour(STORY, dated=True))

    assert verdict.relation is Relation.COPY


def about(first: int) -> str:
    """Return four words of each of some sentences: on the topic, but no passage of the story."""
    return " ".join(" ".join(sentence.split()[first : first + 4]) for sentence in STORY[2:9])


NEWS = f"Sáng 14/5 cơ quan điều tra khởi tố bị can Trần Văn Bình, {about(3)}, theo thông báo số 218 gửi tới báo chí"


def test_an_old_story_under_new_facts_is_a_followup() -> None:
    later = article([NEWS, *STORY[2:]], title="Khởi tố ông Bình")
    before = neighbour([f"Chiều qua nhiều người kể rằng {about(10)}", *STORY], title="Hé lộ vụ việc")

    verdict = judged(later, before)

    assert verdict.relation is Relation.FOLLOWUP
    assert verdict.head


def test_under_the_same_title_a_new_opening_is_no_other_item() -> None:
    verdict = judged(article([NEWS, *STORY], title="Vụ án"), neighbour(STORY, title="Vụ án"))

    assert verdict.relation in (Relation.COPY, Relation.CONTAINS)


def test_a_lead_that_one_of_the_texts_lost_is_no_news() -> None:
    verdict = judged(article(STORY[1:], title="khác hẳn"), neighbour(STORY, title="tiêu đề cũ"))

    assert verdict.relation is Relation.COPY


def test_tiny_texts_are_one_item_only_under_one_title() -> None:
    tiny = " ".join(STORY[:2])

    assert judged(article(tiny, title="một hai"), neighbour(tiny, title="ba bốn")).best is not None
    assert judged(article(tiny, title="một hai"), neighbour(tiny, title="ba bốn")).relation is Relation.FOLLOWUP
    assert judged(article(tiny, title="một hai"), neighbour(tiny, title="một hai")).relation is Relation.COPY


def test_the_same_address_with_an_edited_text_is_a_revision_and_becomes_the_head() -> None:
    stored = neighbour(STORY, url="https://new.example/1")

    verdict = judged(article([NEWS, *STORY[3:]], title="Mới"), stored)

    assert (verdict.relation, verdict.head) == (Relation.REVISION, True)


def test_the_same_address_with_a_wholly_different_text_is_another_item() -> None:
    verdict = judged(article(OTHER), neighbour(STORY, url="https://new.example/1"))

    assert (verdict.relation, verdict.head) == (Relation.UNIQUE, True)
    assert verdict.considered[0].rule == "another item under the same address"


@pytest.mark.parametrize(
    ("host", "hours", "expected"),
    [("old.example", 3, Relation.REVISION), ("old.example", -3, Relation.COPY), ("new.example", 3, Relation.COPY)],
)
def test_a_publishers_later_rewrite_of_its_own_story_is_a_revision(host: str, hours: int, expected: Relation) -> None:
    arriving = article(edited(STORY, every=15), url=f"https://{host}/2", after=timedelta(hours=hours))

    verdict = judged(arriving, neighbour(STORY, dated=True))

    assert (verdict.relation, verdict.head) == (expected, expected is Relation.REVISION)


def test_a_publishers_repeat_of_its_own_story_is_a_copy() -> None:
    assert judged(article(STORY, url="https://old.example/2"), neighbour(STORY)).relation is Relation.COPY


def test_members_are_verified_against_the_head_alone() -> None:
    member = neighbour(STORY, number=2, cluster=1, head=False, url="https://third.example/2")

    assert judged(article(STORY), neighbour(OTHER), member).relation is Relation.UNIQUE
    assert judged(article(STORY), neighbour(STORY), member).considered[0].article == 1


def test_a_text_that_a_member_has_joins_its_cluster_if_the_head_leaves_that_open() -> None:
    story = prose(1, sentences=24)
    head, later = neighbour(story[:12], title="Bốn năm sáu"), article(story[6:20], title="Một hai ba")
    member = neighbour(story[:20], number=2, cluster=1, head=False, url="https://third.example/2")

    joined, alone = judged(later, head, member), judged(later, head)

    assert alone.relation is Relation.FOLLOWUP
    assert joined.best is not None
    assert (joined.relation, joined.best.article, joined.head) == (Relation.CONTAINED, 2, False)
    assert joined.best.rule == "one item with another text of the cluster"


@pytest.mark.parametrize(
    ("first", "newest", "copied"),
    [
        (STORY, [*STORY[:5], *prose(5, sentences=25)], STORY),
        (STORY, [*STORY[:5], *prose(5, sentences=25)], STORY[:12]),
        (STORY, [*STORY[:5], *prose(5, sentences=25)], [*STORY, *prose(6, sentences=3)]),
        (STORY, [*STORY[:6], *prose(5, sentences=9)], edited(STORY, every=30)),
        (STORY, STORY[:7], STORY),
        (STORY, [*STORY, *prose(5, sentences=9)], STORY),
        (f"Năm 5 người chết. {STORY[0]}", f"Năm 7 người chết. {STORY[0]}", f"Năm 5 người chết. {STORY[0]}"),
    ],
    ids=["rewritten", "cut", "framed", "edited", "shortened", "continued", "corrected"],
)
@pytest.mark.parametrize("own", [False, True], ids=["another paper", "the paper itself"])
def test_a_copy_of_an_earlier_version_is_a_copy_of_the_page(
    first: list[str] | str, newest: list[str] | str, copied: list[str] | str, own: bool
) -> None:
    stored = [neighbour(newest, number=2, cluster=1), neighbour(first, number=1, head=False)]
    copy = article(copied, url=f"https://{'old' if own else 'new'}.example/other")

    verdict = judged(copy, *stored, rules=DedupeSettings(keep="longest"))

    assert verdict.best is not None
    assert (verdict.best.article, verdict.best.rule) == (1, "one item with an earlier version of the page")
    assert not verdict.head
    assert own or verdict.reason == "its publisher has revised the text since"


def test_a_version_that_the_newest_does_better_than_decides_nothing() -> None:
    versions = [neighbour(STORY, number=2, cluster=1), neighbour(edited(STORY, every=9), number=1, head=False)]
    elsewhere = neighbour(OTHER, number=2, cluster=1), neighbour(STORY, number=1, head=False, url="https://x.example/")

    new = judged(article([*STORY, *prose(5, sentences=4)], url="https://old.example/1"), *versions)

    assert [each.best.article for each in (judged(article(STORY), *versions), new) if each.best] == [2, 2]
    assert (new.relation, new.head) == (Relation.REVISION, True)
    assert judged(article(STORY), *elsewhere).relation is Relation.UNIQUE


def test_another_use_of_the_heads_form_does_not_join_by_a_member() -> None:
    form = ("Giá vàng {} triệu, giá bạc {} triệu, giá dầu {} đô " + " ".join(prose(3, sentences=8))).format
    stored, later = neighbour(form(61, 22, 33)), article(form(71, 32, 33))
    misprinted = neighbour(form(61, 32, 33), number=2, cluster=1, head=False, url="https://third.example/2")

    assert judged(later, misprinted, stored).relation is Relation.TEMPLATE


def test_the_closest_of_several_decides() -> None:
    stored: Sequence[Neighbour] = [
        neighbour(OTHER, number=1),
        neighbour(STORY, number=2),
        neighbour(STORY[:9], number=3),
    ]

    verdict = judged(article(STORY), *stored)

    assert verdict.best is not None
    assert [seen.article for seen in verdict.considered] == [2, 3, 1]
    assert verdict.best.article == 2


def test_marks_by_people_override_the_judge() -> None:
    apart = judged(article(STORY), neighbour(STORY, marked="different"))
    together = judged(article(STORY), neighbour(OTHER, marked="same"), neighbour(STORY, number=2))

    assert rule_of(apart) == (Relation.UNIQUE, "marked different")
    assert together.best is not None
    assert (together.best.article, together.best.rule) == (1, "marked same")


def test_a_mark_counts_for_a_text_without_words_too() -> None:
    assert judged(article("😀"), neighbour(STORY, marked="same")).best is not None
    assert judged(article("😀"), neighbour("😀")).relation is Relation.UNIQUE


def test_passages_of_many_clusters_are_no_evidence() -> None:
    form = prose(80, sentences=9)
    stored = [neighbour([*form, *prose(90 + number, sentences=1)], number=number) for number in range(1, 6)]
    arriving = article([*form, *prose(200, sentences=1)])

    alone, among = judged(arriving, stored[0]), judged(arriving, *stored)

    assert alone.relation is Relation.COPY
    assert rule_of(among) == (Relation.TEMPLATE, "what both have stands in many articles")


def quoting(place: int, *, around: float, after: float = 0.5) -> list[str]:
    """Return a text that quotes all of STORY, with other text of `around` times its length before and after."""
    others = prose(300 + place, sentences=round(around * len(STORY)))
    cut = round(len(others) * (1 - after))
    return [*others[:cut], *STORY, *others[cut:]]


@pytest.mark.parametrize("texts", [3, 4, 9])
@pytest.mark.parametrize("around", [0.6, 1.2, 4.0, 9.0])
@pytest.mark.parametrize("every", [60, 20, 10])
def test_texts_that_quote_an_article_whole_do_not_hide_it_from_its_copies(
    texts: int, around: float, every: int
) -> None:
    stored = [neighbour(quoting(place, around=around, after=place % 3 / 2), number=place + 2) for place in range(texts)]

    verdict = judged(article(edited(STORY, every=every)), neighbour(STORY, number=1), *stored)

    assert verdict.best is not None
    assert (verdict.relation, verdict.best.article) == (Relation.COPY, 1)


def test_stories_that_quote_an_old_one_whole_do_not_hide_it_from_its_copies() -> None:
    stored = [neighbour([*prose(310 + place, sentences=16), *STORY], number=place + 2) for place in range(5)]

    verdict = judged(article(edited(STORY, every=25)[:13]), neighbour(STORY, number=1), *stored)

    assert verdict.best is not None
    assert (verdict.relation in (Relation.COPY, Relation.CONTAINED), verdict.best.article) == (True, 1)


def test_a_true_copy_within_a_family_is_still_found() -> None:
    form = prose(80, sentences=9)
    stored = [neighbour([*form, *prose(90 + number, sentences=4)], number=number) for number in range(1, 6)]

    verdict = judged(article(edited([*form, *prose(93, sentences=4)], every=40)), *stored)

    assert verdict.best is not None
    assert (verdict.relation, verdict.best.article) == (Relation.COPY, 3)


@pytest.mark.parametrize(
    ("keep", "arriving", "becomes"), [("first", STORY, False), ("longest", STORY, True), ("longest", STORY[:13], False)]
)
def test_a_copy_becomes_the_head_only_where_the_longest_is_kept(keep: str, arriving: list[str], becomes: bool) -> None:
    rules = DedupeSettings(keep="longest" if keep == "longest" else "first")

    verdict = judged(article(arriving), neighbour(STORY[:14]), rules=rules)

    assert (verdict.relation, verdict.head) == (Relation.COPY, becomes)


def test_merge_at_decides_from_which_probability_texts_are_merged() -> None:
    arriving, stored = article(edited(STORY, every=8)), neighbour(STORY)
    usual = judged(arriving, stored)
    assert usual.best is not None
    assert usual.best.probability is not None

    strict = judged(arriving, stored, rules=DedupeSettings(merge_at=usual.best.probability + 0.001))
    exact = judged(arriving, stored, rules=DedupeSettings(merge_at=usual.best.probability))

    assert (usual.relation, exact.relation) == (Relation.COPY, Relation.COPY)
    assert strict.relation is Relation.FOLLOWUP


@pytest.mark.parametrize("text", ["", "một", "123 456 789", "😀 🎉 🎊", "a", "中", "x " * 100_000, "мир Hà中ไทย"])
def test_bad_input_is_never_a_copy_of_everything(text: str) -> None:
    stored = [neighbour(STORY, number=1), neighbour(f"{text} {' '.join(OTHER)}", number=2)]

    verdict = judged(article(text), *stored)

    assert verdict.relation is Relation.UNIQUE


def test_huge_texts_are_judged_in_bounded_time() -> None:
    huge = prose(7, sentences=5_000)
    began = time.process_time()

    verdict = judged(article(edited(huge, every=12)), neighbour(huge))

    assert verdict.relation is Relation.COPY
    assert time.process_time() - began < 300
