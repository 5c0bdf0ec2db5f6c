"""What a page is, told from its bytes and its address."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from tests.unit.sources.making import NOW, page, rss, source
from worker.errors import SourceError
from worker.sources import PARSERS, detect

PROSE = "<p>" + "Mưa lớn kéo dài nhiều ngày khiến nước sông dâng cao, nhiều xã bị cô lập hoàn toàn. " * 3 + "</p>"
TEASERS = "".join(
    f'<h3><a href="/mua-lon-keo-dai-o-mien-trung-{n}12345.html">Mưa lớn kéo dài ở miền Trung ngày {n}</a></h3>'
    for n in range(30)
)
LISTING = f"<!DOCTYPE html><html><body>{TEASERS}</body></html>"
ARTICLE = f"<!DOCTYPE html><html><body><h1>Mưa lớn</h1><div>{PROSE * 6}</div></body></html>"
DECLARED = (
    f'<html><head><meta property="article:published_time" content="2026-11-20"></head><body>{TEASERS}</body></html>'
)


@pytest.mark.parametrize(
    ("body", "url", "kind"),
    [
        (rss(), "https://bao.vn/rss", "feed"),
        ("\n\n<!-- x --><?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'/>", "https://bao.vn/a", "feed"),
        ("<br />\n<b>Warning</b>: x.php on line 3<br /><rss version='2.0'>", "https://bao.vn/rss", "feed"),
        ('{"version": "https://jsonfeed.org/version/1.1", "items": []}', "https://bao.vn/a", "feed"),
        (rss().encode("utf-16"), "https://bao.vn/rss", "feed"),
        (gzip.compress(rss().encode(), mtime=0), "https://bao.vn/rss", "feed"),
        ("<urlset></urlset>", "https://bao.vn/sitemap.xml", "sitemap"),
        ("<?xml version='1.0'?><sm:sitemapindex/>", "https://bao.vn/sitemap.xml", "sitemap"),
        ("# mine\nhttps://bao.vn/a\nhttps://bao.vn/b", "https://bao.vn/list.txt", "urls"),
        ("WARC/1.0\r\nWARC-Type: warcinfo\r\n", "https://bao.vn/a.warc", "warc"),
        (gzip.compress(b"WARC/1.0\r\n", mtime=0), "https://bao.vn/a.warc.gz", "warc"),
        (LISTING, "https://bao.vn/thoi-su", "listing"),
        (LISTING, "https://bao.vn/", "listing"),
        (ARTICLE, "https://bao.vn/", "listing"),
        (LISTING, "https://bao.vn/tag/mua-lon-123456.html", "listing"),
        (ARTICLE, "https://bao.vn/mua-lon", "article"),
        (ARTICLE.replace("<!DOCTYPE html><html>", ""), "https://bao.vn/mua-lon", "article"),
        (DECLARED, "https://bao.vn/mua-lon-keo-dai-o-mien-trung-123456.html", "article"),
        (DECLARED, "https://bao.vn/thoi-su", "listing"),
        ("<html><body>Mưa</body></html>", "https://bao.vn/mua-lon-1234.html", "article"),
    ],
)
def test_the_kind_of_a_page_is_told_from_its_bytes_and_address(body: bytes | str, url: str, kind: str) -> None:
    assert detect(page(body, url=url, content_type="application/octet-stream")) == kind


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7", b"\x89PNG\r\n", b"\x00\x01\x02\x03", b"<opml version='2.0'/>"])
def test_what_is_nothing_to_read_is_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(SourceError, match="check the address"):
        detect(page(body, url="https://bao.vn/a"))


def test_real_pages_are_what_they_are() -> None:
    folder = Path(__file__).parents[4] / "shared/data"
    articles = sorted(folder.glob("fundus/*/*.html.gz"))
    if not articles:
        pytest.skip("the shared data is not here")
    said = re.compile(rb'<link[^>]+rel="canonical"[^>]+href="(http[^"]+)"')
    bodies = [gzip.decompress(file.read_bytes()) for file in articles[::6]]
    addressed = [(body, found[1].decode()) for body in bodies if (found := said.search(body))]

    kinds = [detect(page(body, url=url)) for body, url in addressed]

    assert len(kinds) > 8
    assert set(kinds) == {"article"}


def test_a_list_of_urls_may_lead_anywhere_and_repeats_nothing() -> None:
    lines = ["\ufeff# hôm nay", "", "https://bao.vn/0", "https://bao.vn/a-1.html  # hay", "https://bao.vn/a-1.html#b"]
    body = "\n".join([*lines, "https://xa-la.com/b", "không phải", ""])

    discovery = PARSERS["urls"](page(body), source(kind="urls"), now=NOW)

    assert [found.url for found in discovery.candidates] == [
        "https://bao.vn/0",
        "https://bao.vn/a-1.html",
        "https://xa-la.com/b",
    ]
    assert discovery.skipped == 1


def test_a_list_of_urls_that_is_a_page_is_refused() -> None:
    with pytest.raises(SourceError, match="not a list of URLs"):
        PARSERS["urls"](page(LISTING), source(kind="urls"), now=NOW)


def test_an_empty_list_of_urls_says_so() -> None:
    assert PARSERS["urls"](page("# nothing\n"), source(kind="urls"), now=NOW).notes == ("the list has no URLs",)
