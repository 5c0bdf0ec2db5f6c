"""Measures discovery: agreement with feedparser, sitemaps of a million URLs, listing pages, keys of URLs, WARC files.

python -m tests.bench.bench_sources [--only feeds|huge|sitemap|listings|urls|warc] [--urls N]
"""

from __future__ import annotations

import argparse
import gzip
import re
import resource
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from tests.bench.feedparser_diff import agreement
from worker import urls
from worker.dates.periods import TimeWindow
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Page, Source, SourceOptions
from worker.sources.feed.parser import parse_feed
from worker.sources.files.article_files import InputContext
from worker.sources.files.warc import WarcFilter, read_warc
from worker.sources.web.links import page_links
from worker.sources.web.listing import parse_listing
from worker.sources.web.sitemap import parse_sitemap

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_URL = re.compile(rb"https?://[^\s\"'<>\\)\]}]{8,300}")
_PER_SITEMAP = 50_000
_TO_ITS_END = "100,000 entries, the newest last"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=1_000_000, help="URLs of the sitemap index")
    parts: dict[str, Callable[[int], Iterator[str]]] = {
        "feeds": lambda _: agreement(SHARED / "feeds"),
        "huge": lambda _: huge_feed(),
        "sitemap": sitemap,
        "listings": lambda _: listings(),
        "urls": lambda _: keys(),
        "warc": lambda _: warc(),
    }
    parser.add_argument("--only", choices=tuple(parts))
    asked = parser.parse_args(argv)
    for name, part in parts.items():
        if asked.only in {None, name}:
            sys.stdout.write(f"\n{name}\n")
            for line in part(asked.urls):
                sys.stdout.write(f"  {line}\n")
                sys.stdout.flush()
    return 0


def _page(body: bytes, url: str = "https://bao.vn/nguon") -> Page:
    return Page(url=url, final_url=url, status=200, body=body, fetched_at=NOW)


def _source(url: str = "https://bao.vn/nguon", *, read_at: datetime | None = None) -> Source:
    return Source(name="bench", kind="", url=url, options=SourceOptions(read_at=read_at))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def huge_feed() -> Iterator[str]:
    """Measure feeds of 100,000 entries and more."""
    rising = (
        f"<item><title>Tin {n}</title><link>https://bao.vn/tin-{n:06}.html</link>"
        f"<pubDate>{format_datetime(NOW - timedelta(minutes=100_000 - n))}</pubDate>"
        f"<description>{'mưa ' * 20}</description></item>"
        for n in range(100_000)
    )
    cases = {
        _TO_ITS_END: "".join(rising),
        "300,000 links": "".join(f"<item><link>https://bao.vn/tin-{n:06}.html</link></item>" for n in range(300_000)),
        "300,000 empty entries": "<item></item>" * 300_000,
        "300,000 links of the channel": "<link>https://bao.vn/</link>" * 300_000 + "<item></item>",
    }
    for name, items in cases.items():
        body = f"<rss version='2.0'><channel><title>Báo</title>{items}</channel></rss>".encode()
        started = time.process_time()
        discovery = parse_feed(_page(body), _source(), now=NOW)
        spent = time.process_time() - started
        yield f"{name}, {len(body) / 1e6:.0f} MB: {spent:.1f} s of CPU, {len(discovery.candidates):,} candidates"
        if name == _TO_ITS_END:
            yield _to_its_end(discovery)


def _to_its_end(discovery: Discovery) -> str:
    """Read what is left of a feed, part by part, as its first poll does."""
    found, parts, longest, started = len(discovery.candidates), 1, 0.0, time.process_time()
    while discovery.rest:
        began = time.process_time()
        discovery = parse_feed(discovery.rest, _source(), now=NOW)
        longest, parts, found = max(longest, time.process_time() - began), parts + 1, found + len(discovery.candidates)
    spent = time.process_time() - started
    return f"to its end: {found:,} candidates in {parts} parts, {spent:.0f} s of CPU more, {longest:.1f} s at the most"


def sitemap(count: int) -> Iterator[str]:
    """Measure a whole index of sitemaps, its parts read one after the other as a poll does, and a second look."""
    parts = -(-count // _PER_SITEMAP)
    index = "<sitemapindex>" + "".join(
        f"<sitemap><loc>https://bao.vn/phan{n}.xml.gz</loc><lastmod>2026-11-{20 - n % 19:02}</lastmod></sitemap>"
        for n in range(parts)
    )
    first = parse_sitemap(_page(f"{index}</sitemapindex>".encode()), _source(), now=NOW)
    found, spent = 0, 0.0
    for number, url in enumerate(first.follow):
        page = _page(_part(number, min(_PER_SITEMAP, count - number * _PER_SITEMAP)), url)
        started = time.process_time()
        found += len(parse_sitemap(page, _source(), now=NOW).candidates)
        spent += time.process_time() - started
    each = spent / max(found, 1) * 1e6
    yield f"{found:,} URLs in {len(first.follow)} sitemaps: {spent:.0f} s of CPU, {each:.0f} µs each"
    yield f"peak memory of the process: {_memory()} MB"
    again = parse_sitemap(
        _page(f"{index}</sitemapindex>".encode()), _source(read_at=datetime(2026, 11, 19, tzinfo=UTC)), now=NOW
    )
    yield f"second look: {len(again.follow)} of {len(first.follow)} sitemaps fetched, the ones that changed since"


def _part(number: int, count: int) -> bytes:
    lines = (
        f"<url><loc>https://bao.vn/thoi-su/mua-lon-keo-dai-o-mien-trung-{number * _PER_SITEMAP + n}.html</loc>"
        f"<lastmod>2026-11-{1 + n % 19:02}T08:00:00+07:00</lastmod></url>"
        for n in range(count)
    )
    return gzip.compress(("<urlset>" + "".join(lines) + "</urlset>").encode())


def listings() -> Iterator[str]:
    """Measure the labelled listing pages."""
    labels = tomllib.loads((ROOT / "tests/unit/sources/listing_labels.toml").read_text("utf-8"))
    for name, label in labels.items():
        file = SHARED / "vi" / "html" / f"{name}.html.gz"
        if not file.exists():
            yield f"skipped: {file} is not here"
            continue
        page = _page(gzip.decompress(file.read_bytes()), label["url"])
        found = {each.canonical_url for each in parse_listing(page, _source(label["url"]), now=NOW).candidates}
        wanted = {link.key for link in page_links(page) if re.search(label["articles"], link.key)}
        both = len(found & wanted)
        precision, recall = both / max(len(found), 1), both / len(wanted)
        yield f"{name}: {precision:.1%} of {len(found)} found are articles, {recall:.1%} of {len(wanted)} were found"


def keys() -> Iterator[str]:
    """Measure the keys of every URL in the shared data."""
    found: set[str] = set()
    for file in sorted(path for path in SHARED.rglob("*") if path.is_file()):
        body = file.read_bytes()
        try:
            body = gzip.decompress(body) if file.suffix == ".gz" else body
        except (OSError, EOFError):
            continue
        found |= {match.decode("utf-8", "replace").replace("&amp;", "&") for match in _URL.findall(body)}
    outcomes: Counter[str] = Counter()
    started = time.process_time()
    known = {_key(url, outcomes) for url in found}
    spent = time.process_time() - started
    unstable = sum(urls.canonicalise(key) != key for key in known if key)
    each = spent / max(len(found), 1) * 1e6
    yield f"{len(found):,} URLs, {len(known):,} keys, {outcomes['refused']} refused: {each:.0f} µs each"
    yield f"keys that change when canonicalised again: {unstable}"


def _key(url: str, outcomes: Counter[str]) -> str:
    try:
        return urls.canonicalise(url)
    except SourceError:
        outcomes["refused"] += 1
        return ""


def warc() -> Iterator[str]:
    """Measure a WARC file of real pages, read in full and filtered early."""
    pages = [gzip.decompress(file.read_bytes()) for file in sorted(SHARED.glob("fundus/*/*.html.gz"))]
    if not pages:
        yield f"skipped: {SHARED} is not here"
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.warc.gz"
        with file.open("wb") as opened:
            for number in range(2000):
                opened.write(_record(number, pages[number % len(pages)]))
        intake = InputContext(source="bench", now=NOW, max_bytes=10_000_000)
        for name, wanted in (
            ("everything", WarcFilter()),
            ("one site of ten", WarcFilter(sites=frozenset({"bao3.vn"}))),
            ("Vietnamese", WarcFilter(languages=frozenset({"vi"}))),
            ("one month", WarcFilter(window=TimeWindow(start=datetime(2027, 1, 1, tzinfo=UTC)))),
        ):
            started = time.process_time()
            taken = sum(isinstance(item, Candidate) for item in read_warc(file, intake, wanted))
            spent = time.process_time() - started
            yield f"{name}: {taken:,} of 2,000 records taken, {2000 / spent:,.0f} records a second of CPU"
        yield f"{file.stat().st_size / 1e6:.0f} MB packed, peak memory of the process: {_memory()} MB"


def _record(number: int, body: bytes) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://bao{number % 10}.vn/tin-{number}.html\r\n"
        f"WARC-Date: 2026-11-01T00:00:00Z\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", 1)


if __name__ == "__main__":
    sys.exit(main())
