"""Small test pages: a news page made of parts that a test chooses, and what extracting it needs."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.extract.article import ExtractedPage, extract_page
from worker.extract.explain import Trace
from worker.extract.ipc import ExtractRules
from worker.models import Page
from worker.ports import Hints

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
URL = "https://bao.example/kinh-te/vay-von-nho-1234.html"
TITLE = "Lãi suất giảm nhưng doanh nghiệp nhỏ vẫn khó vay"
LEAD = "Mặt bằng lãi suất đã hạ gần một điểm phần trăm, song nhiều xưởng nhỏ vẫn bị từ chối vì thiếu tài sản bảo đảm."
PARAGRAPHS = (
    "Khảo sát của hiệp hội doanh nghiệp tỉnh với hơn sáu trăm hội viên cho thấy cứ ba đơn vay thì một đơn bị trả.",
    "Bà Lê Thị Hoài, chủ một xưởng may bốn mươi công nhân, kể rằng bà gõ cửa năm ngân hàng mà chưa vay được gì.",
    "Về phía ngân hàng, ông Trịnh Bảo thừa nhận hồ sơ của hộ sản xuất thường thiếu sổ sách nên khó chấm điểm tín dụng.",
    "Ủy ban tỉnh cho biết sẽ trình phương án sửa quy chế quỹ bảo lãnh tháng Ba để gỡ nút thắt về tài sản thế chấp.",
)


def news_page(*, head: str = "", body: str | None = None, title: str = f"{TITLE} | Báo Mẫu") -> str:
    """Return a page's markup; its body is an article inside a site's layout unless a test gives another."""
    return (
        f'<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>{title}</title>{head}</head>'
        f"<body>{article_body() if body is None else body}</body></html>"
    )


def article_body(*, lead: str = LEAD, inside: str = "", after: str = "") -> str:
    """Return an article with navigation above and a footer below."""
    first, *rest = (f"<p>{paragraph}</p>" for paragraph in PARAGRAPHS)
    menu = "".join(f'<li><a href="/muc-{i}">Chuyên mục {i}</a></li>' for i in range(12))
    return (
        f"<nav><ul>{menu}</ul></nav><main><article><h1>{TITLE}</h1>"
        f'<h2 class="sapo">{lead}</h2>'
        f'<div class="noi-dung">{first}{inside}{"".join(rest)}</div>{after}</article></main>'
        f"<footer><p>Cơ quan chủ quản: Hội Nhà báo. Giấy phép số 12 cấp ngày 1 tháng 2 năm 2020.</p></footer>"
    )


def page_of(markup: str | bytes, *, url: str = URL, headers: dict[str, str] | None = None) -> Page:
    """Return a fetched page."""
    body = markup if isinstance(markup, bytes) else markup.encode()
    return Page(url=url, final_url=url, status=200, body=body, fetched_at=NOW, headers=headers or {})


def hints_of(url: str = URL, *, boilerplate: frozenset[int] = frozenset()) -> Hints:
    """Return the hints for a page of which discovery knows only the address."""
    return Hints(url=url, canonical_url=url, source="mau", timezone="Asia/Ho_Chi_Minh", boilerplate=boilerplate)


def read(markup: str | bytes, *, rules: ExtractRules | None = None, url: str = URL) -> ExtractedPage:
    """Extract one page in this process."""
    return extract_page(page_of(markup, url=url), hints_of(url), rules or ExtractRules(), fetched_at=NOW, trace=Trace())
