"""Detection of what a page is, by its bytes and its URL; lists of URLs."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sources.factories import NOW, page, rss, source
from worker.errors import ExtractError, SourceError
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.ports import Hints
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
def test_the_kind_of_a_page_is_detected_by_its_bytes_and_url(body: bytes | str, url: str, kind: str) -> None:
    assert detect(page(body, url=url, content_type="application/octet-stream")) == kind


MENU = "".join(
    f'<a href="/tin-tuc-su-kien-ngay-hom-nay-o-viet-nam-{n}12345.html">Tin tức ngày {n} ở Việt Nam</a>'
    for n in range(40)
)
MENU_AND_PROSE = f"<!DOCTYPE html><html><body>{MENU}<h1>Mưa lớn</h1><div>{PROSE}<br>{PROSE}</div>{MENU}</body></html>"


def declared(kind: str, body: str = LISTING) -> str:
    said = f'<script type="application/ld+json">{{"@type": "{kind}"}}</script>'
    return body.replace("<body>", f"<body>{said}")


@pytest.mark.parametrize(
    ("body", "path", "gate", "kind"),
    [
        (MENU_AND_PROSE, "mua-lon-keo-dai-o-mien-trung", "", "article"),
        (MENU_AND_PROSE, "mua/2026/11/20/mua-lon", "", "article"),
        (MENU_AND_PROSE, "mua-lon-123456", "short", "article"),
        (declared("NewsArticle"), "bai", "listing", "article"),
        (declared("LiveBlogPosting"), "thoi-su", "listing", "article"),
        (declared("AnalysisNewsArticle"), "bai", "", "article"),
        (declared("NewsArticle"), "", "", "listing"),
        (ARTICLE, "bai", "", "article"),
        (ARTICLE, "chuyen-muc/bai", "", "article"),
        (ARTICLE, "bai", "language", "article"),
        ("<html><body>Mưa</body></html>", "bai", "short", "article"),
        ("<html><body>Mưa</body></html>", "bai", "paywall", "article"),
        (declared("CollectionPage", ARTICLE), "bai", "", "listing"),
        (declared("SearchResultsPage", ARTICLE), "bai", "", "listing"),
        (LISTING, "thoi-su", "listing", "listing"),
        (LISTING, "thoi-su", "", "listing"),
        (LISTING, "thoi-su", "short", "listing"),
        (LISTING, "mua-lon-keo-dai-o-mien-trung-123456.html", "listing", "listing"),
        ("<html><body>Mưa</body></html>", "chuyen-muc/mua", "", "listing"),
        (rss(), "rss", "", "feed"),
        ("<urlset></urlset>", "sitemap.xml", "", "sitemap"),
    ],
)
def test_a_given_page_is_an_article_unless_it_is_clearly_a_listing(body: str, path: str, gate: str, kind: str) -> None:
    assert detect(page(body, url=f"https://bao.vn/{path}"), gate=gate) == kind


def test_real_articles_and_listings_are_told_apart(shared: Path) -> None:
    rules = ExtractRules(languages=())
    reader = ArticleExtractor(rules)
    right = {"article": 0, "listing": 0}
    found = {"article": 0, "listing": 0}
    for kind, file, url in real_pages(shared / "data"):
        body = page(gzip.decompress(file.read_bytes()), url=url)
        try:
            reader.read(body, Hints(url=url, canonical_url=url, source="x"), fetched_at=NOW)
            gate = ""
        except ExtractError as error:
            gate = error.reason
        found[kind] += 1
        right[kind] += detect(body, gate=gate) == kind

    assert found["article"] > 100
    assert right["article"] >= 0.98 * found["article"]
    assert right["listing"] >= 0.8 * found["listing"]


def real_pages(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield real pages: the kind, the file and the URL (a neutral one if it is unknown)."""
    for info in sorted(folder.glob("fundus/*/meta.info")):
        for name, told in json.loads(info.read_text("utf-8")).items():
            if (info.parent / name).exists():
                yield "article", info.parent / name, told["url"]
    for file in sorted(folder.glob("vi2/listings/*.html.gz")):
        yield "listing", file, "https://bao.vn/a"


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7", b"\x89PNG\r\n", b"\x00\x01\x02\x03", b"<opml version='2.0'/>"])
def test_an_unreadable_body_is_refused_with_a_message(body: bytes) -> None:
    with pytest.raises(SourceError, match="check the address"):
        detect(page(body, url="https://bao.vn/a"))


def test_the_kind_of_real_pages_is_detected() -> None:
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


def test_a_url_list_may_link_anywhere_and_repetitions_are_dropped() -> None:
    lines = ["\ufeff# hôm nay", "", "https://bao.vn/0", "https://bao.vn/a-1.html  # hay", "https://bao.vn/a-1.html#b"]
    body = "\n".join([*lines, "https://xa-la.com/b", "không phải", ""])

    discovery = PARSERS["urls"](page(body), source(kind="urls"), now=NOW)

    assert [found.url for found in discovery.candidates] == [
        "https://bao.vn/0",
        "https://bao.vn/a-1.html",
        "https://xa-la.com/b",
    ]
    assert discovery.skipped == 1


def test_lines_that_are_no_address_alone_are_named_with_the_true_reason() -> None:
    good, more, unusable = "https://bao.vn/bai-1.html", "more than an address; write a blank", "is no web address"
    table = [
        (f"{good}\tTin thứ nhất\t2026", ""),
        ("https://bao.vn/bai-2.html   # hay", ""),
        ("https://bao.vn/bai/co%20blank-post3.html", ""),
        ("https://bao.vn/bai/co khoang trang-post3.html", more),
        ("https://bao.vn/bai/co\u00a0khoang-post4.html", more),
        ("https://bao.vn/bai/co khoang-post5.html\tTin # hay", more),
        ("http://bad host/path", more),
        ("https://bao.vn/bai-6.html https://bao.vn/bai-7.html", more),
        ("https://a.vn:99999/x", unusable),
        ("http://[bad/x", unusable),
        ("https://a..vn/x", unusable),
        (f"https://bao.vn/{'x' * 10_000}", "a link of more than 2,500 characters"),
        (f"https://bao.vn/{'ế' * 900}", "a link of more than 2,500 characters"),
        ("https://bao.vn/", "a link to a front page"),
        ("bao.vn/bai-8.html", "no web address; write it with"),
    ]

    found = PARSERS["urls"](page("\n".join(line for line, _ in table)), source(kind="urls"), now=NOW)

    assert [each.url.rpartition("/")[2] for each in found.candidates] == [
        "bai-1.html",
        "bai-2.html",
        "co%20blank-post3.html",
    ]
    refused = [(number, why) for number, (_, why) in enumerate(table, 1) if why]
    assert found.skipped == len(found.notes) == len(refused)
    for note, (number, why) in zip(found.notes, refused, strict=True):
        assert f":{number}: " in note
        assert why in note


def test_a_list_of_urls_that_is_a_page_is_refused() -> None:
    with pytest.raises(SourceError, match="not a list of URLs"):
        PARSERS["urls"](page(LISTING), source(kind="urls"), now=NOW)


def test_an_empty_url_list_gives_a_note() -> None:
    assert PARSERS["urls"](page("# nothing\n"), source(kind="urls"), now=NOW).notes == ("the list has no URLs",)
