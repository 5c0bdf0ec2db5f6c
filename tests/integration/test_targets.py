"""Every kind of target of `ingest` is detected and read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime
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
    story = article(9).replace("<h1>Bài số 9</h1>", f"{teasers}<h1>Kể chuyện</h1>").replace("Bài số 9", "Kể chuyện")
    pages[f"{HOST}/ke-chuyen"] = html(story)
    with Newsroom(sites_of(pages)) as opened:
        yield opened


@pytest.mark.parametrize("target", ["thoi-su", "sitemap.xml", "danh-sach.txt"])
def test_listings_sitemaps_and_lists_of_addresses_are_detected(tmp_path: Path, room: Newsroom, target: str) -> None:
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


def test_an_article_target_with_many_links_around_it_is_an_article(tmp_path: Path, room: Newsroom) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure()
    room.forget()

    ended = desk.run("ingest", f"{HOST}/ke-chuyen")

    asked = [request.path for request in room.requests if request.path != "/robots.txt"]
    assert "ok, taken for an article" in ended.out
    assert [each for each in asked if "tdmrep" not in each] == ["/ke-chuyen"]
    assert [each["title"] for each in desk.run("export").records()] == ["Kể chuyện"]


@pytest.mark.parametrize(
    ("kind", "target", "discovered", "error"),
    [
        ("article", "thoi-su", 1, ""),
        ("listing", "thoi-su", 5, ""),
        ("listing", "ke-chuyen", 5, ""),
        ("sitemap", "sitemap.xml", 5, ""),
        ("feed", "thoi-su", 0, "not a feed"),
        ("sitemap", "ke-chuyen", 0, "not a sitemap"),
    ],
)
def test_as_sets_the_kind_of_a_target(
    tmp_path: Path, room: Newsroom, kind: str, target: str, discovered: int, error: str
) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure()

    ended = desk.run("ingest", f"{HOST}/{target}", "--as", kind, "--json")

    assert ended.record()["discovered"] == discovered
    assert error in ended.record()["sources"][f"{HOST}/{target}"]["error"]


def test_the_detected_kind_of_a_target_is_reported(tmp_path: Path, room: Newsroom) -> None:
    desk = Desk(folder=tmp_path, environment=room.environment)
    desk.configure()
    targets = [f"{HOST}/{name}" for name in ("thoi-su", "sitemap.xml", "danh-sach.txt", "ke-chuyen")]

    ended = desk.run("ingest", *targets, "--json")

    told = [ended.record()["sources"][target]["taken_for"] for target in targets]
    assert told == ["listing", "sitemap", "urls", "article"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--as", "article"], "give its URL"),
        (["in.txt", "--as", "article"], "the kind of a file follows from its name"),
        (["https://mot.example/a", "--as", "page"], "'page' is not one of"),
    ],
)
def test_as_is_only_for_urls(tmp_path: Path, words: list[str], told: str) -> None:
    desk = Desk(folder=tmp_path)
    desk.configure()
    (tmp_path / "in.txt").write_text("Tựa\nBài", encoding="utf-8")

    ended = desk.run("ingest", *words)

    assert ended.status == 2
    assert told in ended.err


@pytest.mark.parametrize(
    ("written", "zone", "published"),
    [
        ("2026-03-01 08:30", "", "2026-03-01T08:30:00+07:00"),
        ("2026-03-01 08:30", "Europe/Berlin", "2026-03-01T08:30:00+01:00"),
        ("2026-03-01T08:30:00Z", "Europe/Berlin", "2026-03-01T08:30:00+00:00"),
    ],
)
def test_a_date_without_a_zone_in_a_file_is_in_the_zone_of_its_source(
    tmp_path: Path, written: str, zone: str, published: str
) -> None:
    desk = Desk(folder=tmp_path)
    source = f'[[sources]]\nname = "tay"\nkind = "files"\npath = "in.jsonl"\ntimezone = "{zone}"\n'
    desk.configure(source if zone else "")
    chance = random.Random(1)
    told = {"url": f"{HOST}/a", "text": " ".join(chance.choices(SYLLABLES, k=90)), "published_at": written}
    (tmp_path / "in.jsonl").write_text(json.dumps(told), encoding="utf-8")

    ended = desk.run("ingest", *([] if zone else ["in.jsonl"]))

    (text,) = desk.run("export").records()
    assert ended.status == 0, ended.err
    assert datetime.fromisoformat(text["published_at"]) == datetime.fromisoformat(published)
