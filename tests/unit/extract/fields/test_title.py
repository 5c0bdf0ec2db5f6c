"""Titles are without the site's name, and from the most trusted place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.extract.pages import TITLE, article_body, news_page, page_of
from worker.extract.document import open_document
from worker.extract.explain import without_site_name
from worker.extract.fields.metadata import find_title


@pytest.mark.parametrize(
    ("title", "names", "bare"),
    [
        ("Giá gạo tăng | Báo Mẫu", {"báo mẫu"}, "Giá gạo tăng"),
        ("Báo Mẫu - Giá gạo tăng", {"báo mẫu"}, "Giá gạo tăng"),
        ("Giá gạo tăng - Báo Mẫu | Báo Mẫu", {"báo mẫu"}, "Giá gạo tăng"),
        ("Giá gạo tăng - Kinh tế", {"báo mẫu"}, "Giá gạo tăng - Kinh tế"),
        ("Nga - Mỹ: đối thoại", {"mỹ"}, "Nga - Mỹ: đối thoại"),
        ("Giá gạo tăng — baomau.example", {"baomau example"}, "Giá gạo tăng"),
        ("Báo Mẫu", {"báo mẫu"}, "Báo Mẫu"),
        # The paper's name without what kind of paper it is.
        ("Miền Hạ – Giá gạo tăng", {"báo miền hạ"}, "Giá gạo tăng"),
        ("Rice prices rise | Sample Gazette", {"the sample gazette"}, "Rice prices rise"),
        ("Mưa lớn – Hạ", {"báo miền hạ"}, "Mưa lớn – Hạ"),
        # Bars and dashes without blanks, as Chinese, Japanese and Korean write them.
        ("쌀값이 오른다ㅣ견본일보", {"견본일보"}, "쌀값이 오른다"),
        ("米价上涨-样本报", {"样本报"}, "米价上涨"),
        ("米价上涨_样本报", {"样本报"}, "米价上涨"),
        ("米の値段が上がる｜見本新聞", {"見本新聞"}, "米の値段が上がる"),
        ("米价上涨-经济", {"样本报"}, "米价上涨-经济"),
        ("Mid-term prices - Kinh-tế", {"tế"}, "Mid-term prices - Kinh-tế"),
        # Whatever the mark, if the name is known.
        *(
            (f"Giá gạo tăng{mark}Báo Mẫu", {"báo mẫu"}, "Giá gạo tăng")
            for mark in (" / ", " « ", " -- ", " ⋆ ", "│", ": ")
        ),
        *((f"Báo Mẫu{mark}Giá gạo tăng", {"báo mẫu"}, "Giá gạo tăng") for mark in (" / ", " › ", " ~ ", ": ")),
        ("Rice & Sample Gazette", {"sample gazette"}, "Rice & Sample Gazette"),
    ],
)
def test_the_sites_name_is_removed_at_either_end(title: str, names: set[str], bare: str) -> None:
    assert without_site_name(title, frozenset(names)) == bare


def head(*, json_ld: str = "", open_graph: str = "", other: str = "", headline: str = "", site: str = "") -> str:
    ld = json.dumps({"@type": "NewsArticle", "headline": json_ld}) if json_ld else "{}"
    said = {"og:title": open_graph, "twitter:title": other, "headline": headline, "og:site_name": site}
    metas = (f'<meta property="{name}" content="{value}">' for name, value in said.items() if value)
    return f'{"".join(metas)}<script type="application/ld+json">{ld}</script>'


def found(*, tag: str, headings: tuple[str, ...] = (), second: str = "", **said: str) -> tuple[str, str]:
    body = "".join(f"<h1>{heading}</h1>" for heading in headings) + article_body().replace("h1", "h4")
    body += f"<h2>{second}</h2>" if second else ""
    markup = news_page(head=head(**said), title=tag, body=body)
    title = find_title(open_document(page_of(markup)))
    return title.text, title.origin


OTHER = "Nhiều xưởng nhỏ không vay được vốn dù lãi suất đã giảm"
SHORT = " ".join(TITLE.split()[:-2])
LONG = f"{TITLE}, {OTHER}, và nhiều hộ nông dân phải bán lúa non"


@pytest.mark.parametrize(
    ("said", "title"),
    [
        # A heading that is none of the article's.
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": ("Mobile", TITLE)}, TITLE),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": ("Mobile",)}, TITLE),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": ("Báo Mẫu",)}, TITLE),
        ({"tag": f"{TITLE} - Kinh tế - Báo Mẫu", "headings": ("Kinh tế", TITLE)}, TITLE),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": ()}, TITLE),
        # The page's name for itself says nothing.
        ({"tag": "Document", "headings": (TITLE,)}, TITLE),
        ({"tag": "", "headings": (TITLE,)}, TITLE),
        ({"tag": "Báo Mẫu", "headings": (TITLE,), "open_graph": "Báo Mẫu"}, TITLE),
        # A paper's name at either end, whether or not it is known.
        ({"tag": f"Tin nhanh bốn phương: {TITLE}", "headings": (TITLE,)}, TITLE),
        ({"tag": f"Bốn phương | {TITLE}", "headings": (TITLE,)}, TITLE),
        ({"tag": f"{TITLE}--时政--人民网", "headings": (TITLE,)}, TITLE),
        ({"tag": f"{TITLE} - Bốn phương", "headings": (TITLE,), "open_graph": f"{TITLE} - Bốn phương"}, TITLE),
        # Two wordings.
        ({"tag": OTHER, "headings": (TITLE,), "json_ld": TITLE, "open_graph": OTHER}, TITLE),
        ({"tag": TITLE, "headings": (TITLE,), "json_ld": OTHER, "open_graph": OTHER}, OTHER),
        ({"tag": OTHER, "headings": (TITLE,), "open_graph": OTHER}, TITLE),
        # One for search engines, one for readers.
        ({"tag": OTHER, "headings": (TITLE,), "json_ld": OTHER, "open_graph": TITLE}, TITLE),
        (
            {"tag": f"{OTHER} | Báo Mẫu", "headings": (TITLE,), "json_ld": OTHER, "open_graph": f"{TITLE} | Báo Mẫu"},
            TITLE,
        ),
        ({"tag": TITLE, "headings": (TITLE,), "json_ld": OTHER, "open_graph": TITLE}, OTHER),
        ({"tag": SHORT, "headings": (SHORT,), "json_ld": SHORT, "open_graph": TITLE}, TITLE),
        ({"tag": SHORT, "headings": (SHORT,), "json_ld": SHORT, "open_graph": TITLE, "other": SHORT}, SHORT),
        # The site has given its own name the first rank, and its articles the second.
        ({"tag": f"{SHORT} | Báo Mẫu", "headings": ("Vì một miền quê giàu đẹp hơn",), "second": SHORT}, SHORT),
        ({"tag": f"{SHORT} | Báo Mẫu", "headings": (TITLE,), "second": SHORT}, TITLE),
        (
            {"tag": "Báo Mẫu", "headings": ("Vì một miền quê giàu đẹp hơn",), "second": SHORT},
            "Vì một miền quê giàu đẹp hơn",
        ),
        # A page without a heading names it in its head.
        ({"tag": f"{TITLE}-Kinh tế~Bốn phương", "headline": TITLE}, TITLE),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": (TITLE,), "headline": "Vay vốn"}, TITLE),
        ({"tag": TITLE, "headline": OTHER}, TITLE),
        ({"tag": TITLE, "headings": (TITLE,), "json_ld": TITLE, "open_graph": "Báo Mẫu"}, TITLE),
        # A heading with more than the title in it.
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": (f"<span>Kinh tế</span> {TITLE}",)}, TITLE),
        ({"tag": TITLE, "headings": (f"<div>Kinh tế</div><div>{TITLE}</div>",)}, TITLE),
        ({"tag": TITLE, "headings": (f"{TITLE}<a href='#'>Chia sẻ</a>",)}, TITLE),
        ({"tag": "Báo Mẫu", "headings": (TITLE.replace(" ", "<br>", 1),)}, TITLE),
        ({"tag": f"{SHORT} - Kinh tế - Báo Mẫu", "headings": ("Mobile",), "second": SHORT}, SHORT),
        # Cut off, in capitals, or only the name of the site.
        ({"tag": TITLE, "headings": (TITLE,), "json_ld": f"{SHORT}..."}, TITLE),
        ({"tag": LONG, "headings": (LONG,), "json_ld": LONG[:110]}, LONG),
        ({"tag": TITLE, "headings": (TITLE,), "json_ld": SHORT}, SHORT),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": (TITLE.upper(),)}, TITLE),
        ({"tag": TITLE.upper(), "headings": (TITLE.upper(),)}, TITLE.upper()),
        ({"tag": f"{TITLE} | Báo Mẫu", "headings": (TITLE,), "json_ld": "Báo", "site": "Báo"}, TITLE),
        # Short pieces after bars are the section and the site.
        ({"tag": f"{TITLE} | Kinh tế | Báo Mẫu"}, TITLE),
        ({"tag": "老桥因维修将关闭一年_新闻中心_样本网"}, "老桥因维修将关闭一年"),
        # What is no title.
        ({"tag": TITLE, "headings": (), "json_ld": "chữ " * 150}, TITLE),
    ],
)
def test_the_title_is_the_one_on_which_its_places_agree(said: dict[str, Any], title: str) -> None:
    assert found(**said)[0] == title


@pytest.mark.parametrize(
    ("said", "origin"),
    [
        ({"tag": TITLE, "json_ld": OTHER, "open_graph": TITLE}, "json-ld"),
        ({"tag": TITLE, "headings": (TITLE,), "open_graph": TITLE}, "h1"),
        ({"tag": "Báo Mẫu", "open_graph": TITLE}, "meta"),
        ({"tag": TITLE}, "title"),
        ({"tag": "", "headings": ("Vay vốn",)}, "h1"),
    ],
)
def test_a_title_has_its_origin(said: dict[str, Any], origin: str) -> None:
    assert found(**said)[1] == origin


def test_the_heading_shows_where_an_unknown_sites_name_begins() -> None:
    document = open_document(page_of(news_page(title=f"{TITLE} - Tin nhanh bốn phương")))

    assert find_title(document).text == TITLE


def test_a_page_without_a_title_has_the_feeds() -> None:
    document = open_document(page_of(news_page(title="", body=article_body().replace("h1", "h4"))))

    assert find_title(document, feed_title="Từ nguồn tin").origin == "feed"


def test_escaped_characters_are_read_once_more() -> None:
    assert found(tag="", open_graph="Nga &amp;amp; Mỹ&amp;#8230; bàn gì")[0] == "Nga & Mỹ… bàn gì"
