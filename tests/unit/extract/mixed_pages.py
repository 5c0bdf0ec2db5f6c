"""Pages of many kinds that share sentences, hosts and problems: state left behind by one would show in another."""

from __future__ import annotations

import json

from tests.unit.extract.pages import LEAD, NOW, PARAGRAPHS, TITLE, article_body, hints_of, news_page, page_of
from worker.errors import ExtractError
from worker.extract.article import ArticleExtractor
from worker.models import Page

_OTHER = (
    "Sáng nay, đoàn công tác của sở đến từng xưởng để ghi nhận khó khăn và hứa sẽ trả lời bằng văn bản trong tuần.",
    "Theo chị Phạm Thu, kế toán một hợp tác xã, giấy tờ phải nộp lại ba lần vì mỗi phòng giao dịch hiểu một kiểu.",
    "Các chuyên gia cho rằng cần một đầu mối duy nhất nhận hồ sơ, như cách mà hai tỉnh lân cận đã làm từ năm ngoái.",
)
_TEASERS = "".join(
    f'<div><h3><a href="/tin-{i}.html">Tin số {i}: tỉnh công bố kế hoạch mới về hạ tầng giao thông</a></h3>'
    f"<p>Kế hoạch số {i} vừa được công bố sáng nay với nhiều điểm mới mà người dân cả tỉnh chờ đợi từ lâu.</p></div>"
    for i in range(14)
)
_GERMAN = "".join(
    f"<p>Der {word} Absatz dieses Berichts handelt von der Werft, den Arbeitern und dem Streit um den Hafen.</p>"
    for word in ("erste", "zweite", "dritte", "vierte", "fünfte", "sechste")
)
_STUB = json.dumps({"@type": "NewsArticle", "isAccessibleForFree": False, "articleBody": "chữ " * 900})


def _paragraphs(*texts: str) -> str:
    return "<article><h1>Một bài khác</h1>" + "".join(f"<p>{text}</p>" for text in texts) + "</article>"


MEDLEY: dict[str, Page] = {
    "article": page_of(news_page()),
    "follow-up": page_of(news_page(title="Bài tiếp", body=_paragraphs(*_OTHER, *PARAGRAPHS[:2]))),
    "repeats itself": page_of(news_page(title="Bài lặp", body=_paragraphs(*PARAGRAPHS, LEAD, *PARAGRAPHS))),
    "same words elsewhere": page_of(
        news_page(title=TITLE, body=f"<div><div>{_paragraphs(*reversed(PARAGRAPHS))}</div></div>")
    ),
    "table": page_of(
        news_page(body=article_body(inside="<table><tr><td>Vốn</td><td>12 tỷ đồng</td></tr></table>"), title="Bảng")
    ),
    "teasers below": page_of(news_page(body=article_body(after=_TEASERS), title="Bài có tin khác")),
    "another encoding": page_of(
        news_page(title="Bài mã cũ", body=_paragraphs(*_OTHER, *PARAGRAPHS)).replace("utf-8", "utf-16").encode("utf-16")
    ),
    "listing": page_of(news_page(body=f"<main>{_TEASERS}</main>")),
    "short": page_of(news_page(body=_paragraphs(PARAGRAPHS[0]))),
    "other language": page_of(news_page(body=f"<article><h1>Hafen</h1>{_GERMAN}</article>")),
    "paywall": page_of(
        news_page(head=f'<script type="application/ld+json">{_STUB}</script>', body=_paragraphs(*PARAGRAPHS[:3]))
    ),
    "deep": page_of(news_page(title="Sâu", body="<div>" * 300 + _paragraphs(*_OTHER, *PARAGRAPHS) + "</div>" * 300)),
}


def outcome_of(reader: ArticleExtractor, page: Page) -> object:
    """Return the outcome of extracting a page: the article, or the reason why there is none."""
    try:
        return reader.read(page, hints_of(), fetched_at=NOW)
    except ExtractError as error:
        return error.reason
