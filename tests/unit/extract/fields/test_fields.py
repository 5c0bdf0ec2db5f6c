"""Fields of an article: each from the most trusted source that has it, with its origin, and never the site's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.extract.pages import LEAD, NOW, PARAGRAPHS, TITLE, article_body, hints_of, news_page, read
from worker.extract.article import ArticleExtractor
from worker.extract.explain import ArticleFields
from worker.extract.ipc import ExtractRules
from worker.extract.multipage import is_same_picture
from worker.models import Text

SITE = '<meta property="og:site_name" content="Báo Mẫu">'
CRUMBS = '<ul class="breadcrumb"><li><a href="/">Trang chủ</a></li><li><a href="/kt">{}</a></li></ul>'
PICTURE = "https://cdn.example/2026/xuong-may-1.jpg"


def script(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


def ld(**fields: Any) -> str:
    return script({"@type": "NewsArticle", **fields})


def trail(*steps: tuple[str, str]) -> str:
    items = [{"position": at, "item": {"@id": url, "name": name}} for at, (name, url) in enumerate(steps, 1)]
    return script({"@type": "BreadcrumbList", "itemListElement": items})


def meta(name: str, content: str) -> str:
    return f'<meta property="{name}" content="{content}">'


def fields(head: str = "", body: str | None = None) -> ArticleFields:
    return read(news_page(head=SITE + head, body=body)).fields


@pytest.mark.parametrize(
    ("head", "crumb", "section", "origin"),
    [
        (ld(articleSection=["Kinh tế", "Tin nóng"]) + meta("article:section", "Khác"), "", "Kinh tế", "json-ld"),
        (meta("article:section", "Kinh tế,Vốn"), "", "Kinh tế", "meta"),
        (ld(articleSection="Trang chủ") + meta("article:section", "Kinh tế"), "", "Kinh tế", "meta"),
        (ld(articleSection="Báo Mẫu") + meta("article:section", "uncategorized"), "Kinh tế", "Kinh tế", "breadcrumbs"),
        (trail(("Tin tức", "https://bao.example"), ("Kinh tế", "/kt"), (TITLE, "/x")), "", "Kinh tế", "json-ld"),
        (trail(("Sức khỏe", "/sk"), ("Tin tức", "/sk/tin")), "", "Sức khỏe", "json-ld"),
        (trail(("Tin tức", "/tin"),), "", "Tin tức", "json-ld"),
        ("", "Kinh tế", "Kinh tế", "breadcrumbs"),
        # A site that gives the section's name to the publisher, too.
        (trail(("Kinh tế", "/kt")) + ld(publisher={"name": "Kinh tế"}), "", "Kinh tế", "json-ld"),
        (meta("article:section", "x" * 60), "", None, None),
        (meta("article:section", "https://bao.example/kt"), "", None, None),
    ],
)  # fmt: skip
def test_the_section_is_a_name_and_not_the_site(head: str, crumb: str, section: str | None, origin: str | None) -> None:
    found = fields(head, CRUMBS.format(crumb) + article_body() if crumb else None)

    assert (found.section, found.origins.get("section")) == (section, origin)


@pytest.mark.parametrize(
    ("head", "links", "tags", "origin"),
    [
        (ld(keywords=["Lãi suất", "lãi  suất", "#Vay vốn", "Uncategorized"]), (), ("Lãi suất", "Vay vốn"), "json-ld"),
        (meta("article:tag", "Lãi suất,Vay vốn; Quỹ"), (), ("Lãi suất", "Vay vốn", "Quỹ"), "meta"),
        ("".join(meta("article:tag", tag) for tag in ("A, B", "C", "D")), (), ("A, B", "C", "D"), "meta"),
        (meta("article:tag", "Business, Finance, & Economics"), (), ("Business, Finance, & Economics",), "meta"),
        ("", ("Lãi suất",), ("Lãi suất",), "links"),
        # Keywords for search engines count if the text has them.
        (meta("keywords", "báo giấy, hiệp hội doanh nghiệp, Báo Mẫu"), (), ("hiệp hội doanh nghiệp",), "keywords"),
        (meta("article:tag", "Quỹ") + meta("keywords", "ngân hàng"), (), ("Quỹ", "ngân hàng"), "meta, keywords"),
        (ld(keywords=["Subject: Justice", "Partner: Feeds", "_Prio_3", "topic/bảo lãnh", "2024"]), (),
         ("Justice", "bảo lãnh"), "json-ld"),
        (meta("keywords", f"{TITLE} - Báo Mẫu"), (), (), None),
        (ld(keywords="x" * 90), (), (), None),
        (meta("description", f"{LEAD[:50]}, ngân hàng") + meta("keywords", f"{LEAD[:50]}, ngân hàng"), (), (), None),
    ],
)  # fmt: skip
def test_tags_are_split_checked_and_without_repeats(
    head: str, links: tuple[str, ...], tags: tuple[str, ...], origin: str | None
) -> None:
    after = "".join(f'<a rel="tag" href="/tag/{tag}">{tag}</a>' for tag in links)

    found = fields(head, article_body(after=after))

    assert (found.tags, found.origins.get("tags")) == (tags, origin)


def test_the_number_of_tags_is_bounded() -> None:
    assert len(fields(ld(keywords=[f"tag {number} x" for number in range(500)])).tags) == 30


@pytest.mark.parametrize(
    ("head", "image", "origin"),
    [
        (meta("og:image", PICTURE), PICTURE, "meta"),
        (meta("og:image", "/anh/1-xuong.jpg#x"), "https://bao.example/anh/1-xuong.jpg", "meta"),
        (meta("og:image", "//cdn.example/á.jpg"), "https://cdn.example/%C3%A1.jpg", "meta"),
        (meta("og:image", "/static/logo.png") + ld(image={"url": PICTURE}), PICTURE, "json-ld"),
        (ld(image=[PICTURE, "https://cdn.example/2.jpg"]), PICTURE, "json-ld"),
        (meta("og:image", "javascript:alert(1)"), None, None),
        (meta("og:image", "data:image/png;base64,AAAA"), None, None),
        (meta("og:image", "file:///etc/passwd"), None, None),
        (meta("og:image", f"/{'x' * 3000}.jpg"), None, None),
    ],
)
def test_the_image_is_an_absolute_web_address(head: str, image: str | None, origin: str | None) -> None:
    found = fields(head)

    assert (found.image, found.origins.get("image")) == (image, origin)


@pytest.mark.parametrize(
    ("figure", "caption"),
    [
        (f'<figure><img src="{PICTURE}"><figcaption>Xưởng may.</figcaption></figure>', "Xưởng may."),
        (
            '<figure><img src="/thumb/xuong-may-1-300x200.jpg"><figcaption>Xưởng may.</figcaption></figure>',
            "Xưởng may.",
        ),
        ('<figure><img src="/khac-99999.jpg"><figcaption>Hình khác.</figcaption></figure>', None),
        (f'<div><img data-src="{PICTURE}"><p class="PhotoCMS_Caption">Xưởng may.</p></div>', "Xưởng may."),
        ("<figure><picture><img src='/x'></picture><figcaption>Xưởng may.</figcaption></figure>", "Xưởng may."),
        ("<figure><figcaption>Tác giả A, 09.09.2025, 15:15 Uhr</figcaption></figure>", None),
    ],
)
def test_the_caption_is_that_of_the_image(figure: str, caption: str | None) -> None:
    assert fields(meta("og:image", PICTURE), article_body(inside=figure)).image_caption == caption


def test_pictures_and_authors_are_found_by_reference() -> None:
    graph = [
        {"@type": "NewsArticle", "headline": TITLE, "author": [{"@id": "#a"}, {"@id": "#b"}], "image": {"@id": "#p"}},
        {"@type": "Person", "@id": "#a", "name": "Lê Thị Hoài"},
        {"@type": "Person", "@id": "#b", "name": "Trịnh Bảo (tb)"},
        {"@type": "ImageObject", "@id": "#p", "contentUrl": PICTURE, "caption": "Xưởng may."},
    ]

    found = fields(script({"@graph": graph}))

    assert (found.authors, found.origins["authors"]) == (("Lê Thị Hoài", "Trịnh Bảo"), "json-ld")
    assert (found.image, found.image_caption, found.origins["image_caption"]) == (PICTURE, "Xưởng may.", "json-ld")


@pytest.mark.parametrize(
    ("head", "authors", "origin"),
    [
        (ld(author={"name": "Báo Mẫu"}) + meta("author", "Lê Hoài"), ("Lê Hoài",), "meta"),
        (ld(author={"name": "Báo Mẫu"}) + meta("author", "BaoMau.vn"), ("Báo Mẫu",), "json-ld"),
        (ld(author={"name": "Lê Hoài, Trịnh Bảo và Trần An (ta)"}), ("Lê Hoài", "Trịnh Bảo", "Trần An"), "json-ld"),
        (ld(author="Hoài, Thanh"), ("Hoài, Thanh",), "json-ld"),
        (meta("author", "Lê Hoài, phóng viên ảnh"), ("Lê Hoài, phóng viên ảnh",), "meta"),
        (meta("author", "Báo Mẫu") + meta("article:author", "https://facebook.example/baomau"), (), None),
        (ld(author={"@id": "#nowhere"}), (), None),
        (ld(author={"@id": "https://bao.example/#self"}, **{"@id": "https://bao.example/#self"}), (), None),
    ],
)
def test_people_come_before_the_site_as_authors(head: str, authors: tuple[str, ...], origin: str | None) -> None:
    found = fields(head)

    assert (found.authors, found.origins.get("authors")) == (authors, origin)


def test_the_lead_is_a_paragraph_of_the_page_and_the_description_a_summary() -> None:
    found = fields(meta("description", "Vì sao doanh\u200b nghiệp <b>nhỏ</b> khó vay?"))

    assert (found.lead, found.origins["lead"]) == (LEAD, "page")
    assert (found.description, found.origins["description"]) == ("Vì sao doanh nghiệp nhỏ khó vay?", "meta")


def test_a_description_that_is_no_paragraph_is_no_lead() -> None:
    body = article_body(lead="").replace('<h2 class="sapo"></h2>', "")

    assert (
        fields(
            meta("description", "Một tóm tắt cho máy tìm kiếm, dài hơn sáu mươi ký tự mà không có trong bài."), body
        ).lead
        is None
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/2/02.jpeg?w=1", "https://b.example/2/02.jpeg", True),
        ("https://a.example/xuong-may-1200x630.jpg", "https://a.example/xuong-may.jpg", True),
        ("https://a.example/r?i=https%3A%2F%2Fb.example%2Fnha-may.jpg", "https://b.example/nha-may.jpg", True),
        ("https://a.example/5b19241f05cc/original.jpg", "https://a.example/5b19241f05cc/640.jpg", True),
        ("https://a.example/cau-1-crop-crop-1671883449257.jpg", "https://a.example/cau-1-1671883419161.jpg", True),
        ("https://a.example/anh-1.jpg", "https://a.example/hinh-2.jpg", False),
        ("", "", False),
    ],
)  # fmt: skip
def test_a_picture_is_recognised_in_other_sizes(one: str, other: str, same: bool) -> None:
    assert is_same_picture(one, other) is same


def test_hostile_values_cost_neither_the_page_nor_its_fields() -> None:
    loop: dict[str, Any] = {"@type": "BreadcrumbList", "itemListElement": [{"item": {"name": ["x"] * 10}}, 5, None]}
    head = (
        ld(keywords=[{"a": 1}, None, 7, "\ud800 Lãi\x00 suất"], articleSection={"name": [" " * 100_000 + "Kinh tế"]})
        + script(loop)
        + meta("keywords", "," * 100_000)
        + meta("og:image", "http://[::1")
    )

    found = fields(head, "<figure>" * 300 + "<figcaption>x</figcaption>" * 300 + article_body())

    assert (found.section, found.tags, found.image) == ("Kinh tế", ("Lãi suất",), None)


def test_fields_that_come_with_a_text_are_cleaned_like_those_of_a_page() -> None:
    given: dict[str, Any] = {
        "section": " Kinh\x00 tế ", "tags": ("a", "a", "", "b"), "image": "/1.jpg", "lead": "x" * 5000, "authors": ()
    }  # fmt: skip
    reader = ArticleExtractor(ExtractRules(min_words=0, languages=()))

    article = reader.read(Text(text="\n".join(PARAGRAPHS), fields=given), hints_of(), fetched_at=NOW)

    assert (article.section, article.tags, article.image) == ("Kinh tế", ("a", "b"), "https://bao.example/1.jpg")
    assert len(article.lead or "") == 1000
    assert article.fields_from == dict.fromkeys(("section", "tags", "image", "lead"), "input")
