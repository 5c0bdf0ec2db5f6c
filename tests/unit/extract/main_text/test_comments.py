"""Readers' comments are removed, whatever their heading is; the article's own text is kept."""

from __future__ import annotations

import pytest

from tests.unit.extract.pages import PARAGRAPHS, article_body, news_page, read
from worker.extract.main_text.phrases import is_comment_heading

COMMENT = "Bài viết rất đúng, mong tòa soạn tiếp tục theo dõi chuyện này cho bà con được nhờ, tôi xin cảm ơn rất nhiều."


@pytest.mark.parametrize(
    "heading",
    [
        "Ý kiến bạn đọc",
        "Bình luận (12)",
        "Bình luận 12",
        "12 bình luận",
        "Ý kiến độc giả (3)",
        "BÌNH LUẬN",
        "Comments",
        "Komentarze (8)",
        "Комментарии: 3",
        "Kommentare",
        "8 commentaires",
        "Comentários",
        "网友评论 (21)",
        "댓글 5",
        "التعليقات",
    ],
)
@pytest.mark.parametrize(
    "box",
    [
        "<section><h2>{}</h2><p>{}</p></section>",
        "<div><div class=t>{}</div><ul><li>{}</li></ul></div>",
        "<div><div><h3>{}</h3></div><div><b>Mai Lan</b> <p>{}</p></div></div>",
        "<div><span>{}</span><div><div>Hoàng Nam</div><div>{}</div></div></div>",
    ],
)
def test_a_box_headed_as_comments_is_removed(heading: str, box: str) -> None:
    text = read(news_page(body=article_body(after=box.format(heading, COMMENT)))).text

    assert COMMENT not in text
    assert all(paragraph in text for paragraph in PARAGRAPHS)


def test_a_section_named_commentary_above_the_article_removes_nothing() -> None:
    body = (
        article_body()
        .replace("<article>", "<article><div><div>Bình luận</div>", 1)
        .replace("</article>", "</div></article>")
    )

    text = read(news_page(body=body)).text

    assert all(paragraph in text for paragraph in PARAGRAPHS)


def test_a_heading_inside_the_text_removes_no_text() -> None:
    body = article_body(inside="<h3>Bình luận</h3>")

    text = read(news_page(body=body)).text

    assert all(paragraph in text for paragraph in PARAGRAPHS)


@pytest.mark.parametrize(
    "line",
    [
        "Kommentar",
        "评论",
        "Réaction en chaîne",
        "Комментарий эксперта",
        "Bình luận viên",
        "Ý kiến",
        "Bình luận về dự thảo",
        "12",
        "Năm 2024 bình luận",
    ],
)
def test_other_headings_are_no_comment_headings(line: str) -> None:
    assert not is_comment_heading(line)
