"""Every kind of target that `ingest` takes from the command line is told by itself and read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, Page, Reply, html, plain, sites_of

SYLLABLES = ("an", "bình", "cao", "dũng", "giang", "hà", "khê", "lâm", "minh", "nam", "phú", "quang", "sơn", "tâm")
HOST = "https://mot.example"
ADDRESSES = [f"{HOST}/thoi-su/nguoi-dan-sua-con-de-ven-song-truoc-lu-{100200 + number}.html" for number in range(5)]


def article(number: int) -> str:
    chance = random.Random(number)
    lines = "".join(f"<p>Đoạn {number} kể {' '.join(chance.choices(SYLLABLES, k=20))}.</p>" for _ in range(8))
    return (
        f"<html lang=vi><head><title>Bài số {number}</title></head><body><h1>Bài số {number}</h1>{lines}</body></html>"
    )


def record(url: str, page: str) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page.encode()
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-03-01T08:00:00Z\r\n"
    return head.encode() + f"Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    pages: dict[str, Page] = {url: html(article(number)) for number, url in enumerate(ADDRESSES)}
    teasers = "".join(f'<h3><a href="{url}">Người dân sửa con đê ven sông trước lũ</a></h3>' for url in ADDRESSES)
    locations = "".join(f"<url><loc>{url}</loc></url>" for url in ADDRESSES)
    sitemap = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{locations}</urlset>'
    pages[f"{HOST}/thoi-su"] = html(f"<html><body><h1>Thời sự</h1>{teasers}</body></html>")
    pages[f"{HOST}/sitemap.xml"] = Reply(body=sitemap.encode(), content_type="application/xml")
    pages[f"{HOST}/danh-sach.txt"] = plain("\n".join(ADDRESSES))
    with Newsroom(sites_of(pages)) as opened:
        yield opened


@pytest.mark.parametrize("target", ["thoi-su", "sitemap.xml", "danh-sach.txt"])
def test_listings_sitemaps_and_lists_of_addresses_are_told_by_themselves(
    tmp_path: Path, room: Newsroom, target: str
) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure()

    ended = desk.run("ingest", f"{HOST}/{target}", "--json")

    counts = ended.record()
    assert ended.status == 0, ended.err
    assert (counts["discovered"], counts["stored"]) == (5, 5)


def test_the_pages_of_a_warc_file_are_taken_without_fetching_and_extracted(tmp_path: Path, room: Newsroom) -> None:
    room.forget()
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure()
    archive = b"".join(record(url, article(number)) for number, url in enumerate(ADDRESSES))
    (tmp_path / "tin.warc").write_bytes(archive)

    ended = desk.run("ingest", "tin.warc", "--json")

    exported = desk.run("export").records()
    assert ended.record()["stored"] == 5, ended.err
    assert {each["url"] for each in exported} == set(ADDRESSES)
    assert not room.requests
