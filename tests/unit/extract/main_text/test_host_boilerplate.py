"""A host's boilerplate is learned from many articles, with bounded memory, and never from a quotation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.charset.characters import fold
from worker.extract.main_text.boilerplate import ParagraphCounts, boilerplate_keys, count_article, paragraph_key

PRINTED = paragraph_key(fold("Mời bạn đọc gửi phản hồi về tòa soạn."))
BACKGROUND = paragraph_key(fold("Hiệp ước này được ký năm 2010 giữa hai nước và hết hạn vào tháng Hai năm nay."))
PROSE = paragraph_key(" ".join(f"chữ{i}" for i in range(40)))


def after(articles: list[list[int]]) -> ParagraphCounts:
    counts = ParagraphCounts()
    for paragraphs in articles:
        counts = count_article(counts, paragraphs)
    return counts


def test_a_paragraph_in_most_articles_is_boilerplate() -> None:
    counts = after([[i * 2, PRINTED] for i in range(20)])

    assert boilerplate_keys(counts) == {PRINTED}


def test_a_background_paragraph_of_one_long_story_is_never_boilerplate() -> None:
    story = [[i * 2, BACKGROUND] for i in range(30)]
    others = [[i * 2 + 1_000] for i in range(120)]

    assert boilerplate_keys(after(story + others)) == frozenset()


def test_long_prose_has_a_higher_threshold_than_a_short_line() -> None:
    half = [[PROSE, PRINTED] if i % 2 else [i * 2] for i in range(40)]

    assert boilerplate_keys(after(half)) == {PRINTED}


def test_nothing_is_learned_from_a_few_articles() -> None:
    assert boilerplate_keys(after([[PRINTED]] * 5)) == frozenset()


@given(st.lists(st.lists(st.integers(0, 9).map(lambda n: n * 2), max_size=6), max_size=30), st.randoms())
def test_the_order_of_articles_does_not_matter(articles: list[list[int]], random: st.DataObject) -> None:
    shuffled = articles.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert boilerplate_keys(after(articles)) == boilerplate_keys(after(shuffled))


def test_the_counts_are_bounded_and_the_frequent_paragraphs_stay() -> None:
    counts = after([[PRINTED, *range(i * 200, i * 200 + 100, 2)] for i in range(300)])

    assert len(counts.counts) <= 2_000
    assert PRINTED in boilerplate_keys(counts)


def test_a_paragraph_that_a_site_no_longer_prints_is_forgotten() -> None:
    counts = after([[PRINTED]] * 400 + [[i * 2] for i in range(3_000)])

    assert boilerplate_keys(counts) == frozenset()


def test_keys_ignore_case_and_punctuation() -> None:
    assert paragraph_key(fold("MỜI BẠN ĐỌC gửi phản hồi về tòa soạn")) == PRINTED
