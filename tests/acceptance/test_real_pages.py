"""Real pages under their real host names, over loopback, in one run; real seeds met again on other sites."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, Page, html, sites_of

pytestmark = pytest.mark.usefixtures("shared")

LAYOUTS = (
    "<header><nav>Trang chủ Thời sự Thế giới</nav></header><main><article><h1>{title}</h1>{body}</article></main>",
    (
        "<div id=top><ul><li>Kinh tế<li>Văn hóa</ul></div><div class=detail><h1 class=t>{title}</h1>"
        "<div class=fck_detail>{body}</div></div><div class=box><h3>Đọc nhiều</h3><a href=/1>Giá vàng hôm nay</a></div>"
    ),
    (
        "<table><tr><td><a href=/>Báo Mới</a></td></tr></table><section><h2>{title}</h2><div itemprop=articleBody>"
        "{body}</div></section><aside><p>Quảng cáo</p></aside>"
    ),
    (
        "<div class=wrapper><p class=bc><a href=/>Trang chủ</a> / <a href=/tg>Quốc tế</a></p><h1>{title}</h1>{body}"
        "<div class=comments><h4>Bình luận</h4><p>Bạn đọc hãy gửi ý kiến</p></div></div><footer>Giấy phép số 1</footer>"
    ),
    (
        "<article><header><h1>{title}</h1><time datetime=2025-05-01T08:00:00+07:00>1/5/2025</time></header>{body}"
        "<section class=related><h3>Tin liên quan</h3><ul><li><a href=/2>Hội nghị khai mạc</a></ul></section></article>"
    ),
)


ARTICLES = {
    "000": (0, (1, 4, 5, 6, 7)),
    "001": (0, (1, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17)),
    "002": (3, (4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15)),
    "003": (0, (3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    "004": (0, (3, 6, 7, 10, 11, 12, 13)),
}
"""By the number of a real seed: which of its lines that are not blank is the title, and which are the article."""


def article_of(seed: Path) -> tuple[str, list[str]]:
    """Return the title and the article's own paragraphs of a real seed, told by eye from its raw file."""
    raw = unicodedata.normalize("NFC", seed.read_text(encoding="utf-8"))
    lines = [line.strip() for line in raw.splitlines() if line.strip()]
    title, paragraphs = ARTICLES[seed.name[:3]]
    return lines[title], [lines[number] for number in paragraphs]


def as_page(title: str, paragraphs: list[str], layout: str) -> str:
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<html lang=vi><head><title>{title} | Báo</title></head><body>{layout.format(title=title, body=body)}</body>"
    )


def feeds_of(hosts: Iterable[str]) -> str:
    """Write one source a host."""
    template = '[[sources]]\nname = "{host}"\nkind = "feed"\nurl = "https://{host}/newsroom-feed.xml"\n'
    return "".join(template.format(host=host) for host in hosts)


def test_the_articles_of_five_real_seeds_are_recognised_on_other_sites(tmp_path: Path, shared: Path) -> None:
    seeds = sorted((shared / "seeds").glob("*.txt"))
    pages: dict[str, Page] = {}
    for n, (seed, layout) in enumerate(zip(seeds, LAYOUTS, strict=True)):
        title, paragraphs = article_of(seed)
        pages[f"https://bao{n}.example/tin/bai-viet-so-{n}.html"] = html(as_page(title, paragraphs, layout))
    with Newsroom(sites_of(pages)) as room:
        desk = Desk(folder=tmp_path, environment=room.environment)
        sources = "".join(
            f'[[sources]]\nname = "bao{n}"\nkind = "feed"\nurl = "https://bao{n}.example/newsroom-feed.xml"\n'
            for n in range(5)
        )
        desk.configure(sources)
        desk.environment = {**room.environment, "CORPUS_WORKER_SEEDS__PATH": str(shared / "seeds")}

        ended = desk.run("ingest", "--json")

        corpus = desk.run("export").records()
        duplicates = desk.run("duplicates", "--format", "jsonl").records()
    record = ended.record()
    assert (record["discovered"], record["duplicate"], record["stored"]) == (5, 5, 0), ended.err
    assert [text["kind"] for text in corpus] == ["seed"] * 5
    assert sorted(link["duplicate_of"] for link in duplicates) == [text["id"] for text in corpus]


def test_every_real_page_ends_in_one_state_and_no_listing_page_is_stored(tmp_path: Path, shared: Path) -> None:
    pages = real_pages(shared / "data")
    listings = {url for url in pages if url in LISTINGS}
    with Newsroom(sites_of({url: html(body) for url, body in pages.items()})) as room:
        desk = Desk(folder=tmp_path, environment=room.environment)
        hosts = sorted({url.split("/")[2] for url in pages})
        desk.configure(feeds_of(hosts))

        ended = desk.run("ingest", "--json")

        audit = desk.run("audit", "--json")
        corpus = desk.run("export").records()
    record = ended.record()
    states = ("stored", "duplicate", "revised", "unchanged", "rejected", "blocked", "failed", "pending")
    assert ended.status == 0, ended.err
    assert record["discovered"] == sum(record[state] for state in states)
    assert record["discovered"] >= len(pages) * 0.95
    assert record["pending"] == 0
    assert audit.status == 0, audit.out
    assert audit.record()["balanced"] is True
    assert record["stored"] >= 0.9 * (len(pages) - len(listings))
    assert not {text["url"] for text in corpus} & listings


LISTINGS = {
    "https://vnexpress.net/kinh-doanh",
    "https://vietnamnet.vn/kinh-doanh",
    "https://cafef.vn/thi-truong-chung-khoan.chn",
}


def real_pages(data: Path) -> dict[str, str]:
    """Return real pages by their URL."""
    pages: dict[str, str] = {}
    for info in sorted(data.glob("fundus/*/meta.info")):
        for name, facts in json.loads(info.read_text(encoding="utf-8")).items():
            pages[facts["url"]] = text_of(info.with_name(name))
    for path in sorted(data.glob("vi/html/*.html.gz")):
        body = text_of(path)
        canonical = re.search(r'<link[^>]+rel="canonical"[^>]+href="([^"]+)"', body)
        if canonical:
            pages[canonical[1]] = body
    return {url: body for url, body in pages.items() if "#" not in url}


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
