"""The full text of an article in a feed entry."""

from __future__ import annotations

import json

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.models import Candidate
from worker.sources.feed.full_text import full_text
from worker.sources.feed.parser import parse_feed

LINES = [f"Đoạn {n} kể rằng mưa lớn kéo dài ở miền Trung và nước sông dâng nhanh trong đêm." for n in range(6)]
MARKUP = "".join(f"<p>{line}</p>" for line in LINES)
TEXT = "\n".join(LINES)
LINK = "<link>https://bao.vn/a-1234.html</link>"
CONTENT = 'xmlns:content="http://purl.org/rss/1.0/modules/content/"'


def only(body: str) -> Candidate:
    (candidate,) = parse_feed(page(body), source(), now=NOW).candidates
    return candidate


def encoded(markup: str) -> str:
    return rss(f"<title>Mưa</title>{LINK}<content:encoded><![CDATA[{markup}]]></content:encoded>").replace(
        "<rss", f"<rss {CONTENT}"
    )


def atom(content: str) -> str:
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>Báo</title><entry><title>Mưa</title>'
        f'<link href="https://bao.vn/a-1234.html"/>{content}</entry></feed>'
    )


@pytest.mark.parametrize(
    "body",
    [
        encoded(MARKUP),
        atom(f'<content type="html"><![CDATA[{MARKUP}]]></content>'),
        atom(f'<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">{MARKUP}</div></content>'),
        json.dumps({"version": "1", "items": [{"url": "https://bao.vn/a-1234.html", "content_html": MARKUP}]}),
        json.dumps({"version": "1", "items": [{"url": "https://bao.vn/a-1234.html", "content_text": TEXT}]}),
    ],
    ids=["rss", "html", "xhtml", "json", "plain"],
)
@pytest.mark.parametrize("padding", [0, 200_000])
def test_the_full_text_of_an_entry_is_kept_in_a_feed_of_any_size(body: str, padding: int) -> None:
    padded = body.replace("<title>", f"<!--{' ' * padding}--><title>", 1)

    assert only(padded).fallback == TEXT


@pytest.mark.parametrize(
    "markup",
    [
        "<p>Mưa lớn kéo dài ở miền Trung.</p>",
        MARKUP + "<p>Nước sông dâng nhanh [&hellip;]</p>",
        MARKUP + "<p>Nước sông dâng nhanh...</p>",
        MARKUP * 300,
        "",
    ],
    ids=["short", "cut", "dots", "endless", "empty"],
)
def test_a_teaser_is_no_full_text(markup: str) -> None:
    assert only(encoded(markup)).fallback is None


def test_a_description_is_never_taken_for_the_text() -> None:
    assert only(rss(f"{LINK}<description><![CDATA[{MARKUP}]]></description>")).fallback is None


def test_images_scripts_captions_and_read_more_lines_are_removed() -> None:
    around = "<script>let a = 1</script><figure><img src=x><figcaption>Ảnh: TTXVN</figcaption></figure>"
    after = "<p>The post Mưa appeared first on Báo.</p>"

    assert full_text(around + MARKUP + "<style>p {}</style>" + after) == TEXT


def test_block_elements_separate_lines_and_inline_elements_do_not() -> None:
    marked = MARKUP.replace("mưa lớn", "<b>mưa</b> <a href=x>lớn</a>").replace("</p><p>", "<br/><br/>")

    assert full_text(marked) == TEXT


@pytest.mark.parametrize("markup", ["<p", "<" * 5000, "<p>" * 20_000, "&#0;" * 2000, "\x00" * 100])
def test_invalid_markup_gives_no_text(markup: str) -> None:
    assert full_text(markup) is None


def test_the_full_texts_kept_of_a_feed_are_limited() -> None:
    long = "".join(f"<p>{line}</p>" for line in LINES * 200)
    items = "".join(
        f"<item><link>https://bao.vn/a-{n + 1000}.html</link>"
        f"<content:encoded><![CDATA[{long}]]></content:encoded></item>"
        for n in range(60)
    )

    found = parse_feed(page(f"<rss {CONTENT}><channel>{items}</channel></rss>"), source(), now=NOW).candidates

    kept = [each for each in found if each.fallback]
    assert len(found) == 60
    assert 10 <= len(kept) < 60


def test_markup_that_is_refused_costs_one_entry_its_text_and_nothing_else() -> None:
    bomb = "<p " + " ".join(f"a{number}" for number in range(5_000)) + f">{MARKUP}</p>"

    candidate = only(encoded(bomb))

    assert (candidate.title, candidate.fallback) == ("Mưa", None)


def test_a_picture_inside_one_entry_does_not_cost_the_others() -> None:
    picture = f'<img src="data:image/png;base64,{"iVBORw0KGgo" * 5_000}">'

    candidate = only(encoded(picture + MARKUP))

    assert candidate.title == "Mưa"
    assert candidate.fallback is not None
