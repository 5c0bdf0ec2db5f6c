"""Articles on several pages are extracted as one; an incomplete one has a note on its next page."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.extract.pages import NOW, PARAGRAPHS, TITLE, hints_of, news_page, page_of
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.extract.multipage import join_pages
from worker.models import Article, Page

URL = "https://bao.example/bai-dai-122.html"
FURTHER = (
    "Ở phía hạ lưu, hợp tác xã nuôi cá lồng cũng chờ kết quả khảo sát vì dòng chảy mới sau khi nắn kè có thể thay đổi.",
    "Cuộc họp tiếp theo diễn ra vào tuần sau tại nhà văn hóa xã, nơi bản vẽ chi tiết được treo để ai cũng có thể xem.",
    "Các kỹ sư thủy lợi lưu ý rằng việc thi công phải xong trước kỳ triều cường cuối năm, nếu không rủi ro sẽ lớn hơn.",
)


def leaf(number: int, paragraphs: tuple[str, ...], *, last: bool = False) -> Page:
    onward = "" if last else f'<link rel="next" href="{URL}?page={number + 1}">'
    body = f"<article><h1>{TITLE}</h1>{''.join(f'<p>{paragraph}</p>' for paragraph in paragraphs)}</article>"
    return page_of(news_page(head=onward, body=body), url=URL if number == 1 else f"{URL}?page={number}")


def read(*pages: Page) -> Article:
    return ArticleExtractor(ExtractRules(languages=("vi",))).read(join_pages(pages), hints_of(URL), fetched_at=NOW)


def test_the_text_of_all_pages_is_one_article_each_paragraph_once() -> None:
    article = read(leaf(1, PARAGRAPHS), leaf(2, (PARAGRAPHS[-1], *FURTHER), last=True))

    assert article.text.split("\n") == [*PARAGRAPHS, *FURTHER]
    assert article.words == len(article.text.split())
    assert (article.title, article.url) == (TITLE, URL)
    assert any(f"{URL}?page=2" in note for note in article.notes)
    assert not any("goes on" in note for note in article.notes)


def test_an_incomplete_article_has_a_note_with_the_next_page() -> None:
    alone, two = read(leaf(1, PARAGRAPHS)), read(leaf(1, PARAGRAPHS), leaf(2, FURTHER))

    assert any(f"goes on at {URL}?page=2, which was not read" in note for note in alone.notes)
    assert any(f"goes on at {URL}?page=3, which was not read" in note for note in two.notes)


def test_a_further_page_without_an_article_costs_only_itself() -> None:
    empty = replace(leaf(2, (), last=True), body=b"<p></p>")

    article = read(leaf(1, PARAGRAPHS), empty)

    assert article.text.split("\n") == list(PARAGRAPHS)
