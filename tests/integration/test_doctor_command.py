"""`doctor`, run as users run it, against sites on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Desk
from tests.newsroom import Newsroom, Page, Reach, Site, html, plain, redirect, rss, sites_of

HEALTHY = """
[[sources]]
name = "mot"
kind = "feed"
url = "https://mot.example/newsroom-feed.xml"
"""
ILL = """
[[sources]]
name = "kin"
kind = "feed"
url = "https://mot.example/kin/rss"
[[sources]]
name = "trang"
kind = "feed"
url = "https://mot.example/a.html"
[[sources]]
name = "mat"
kind = "feed"
url = "https://mot.example/nothing"
[[sources]]
name = "cam"
kind = "feed"
url = "https://cam.example/rss"
[[sources]]
name = "vo-danh"
kind = "feed"
url = "https://nobody.invalid/rss"
[[sources]]
name = "don-di"
kind = "feed"
url = "https://mot.example/cu.xml"
[[sources]]
name = "tat"
kind = "feed"
url = "https://tat.invalid/rss"
enabled = false
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Newsroom]:
    pages: dict[str, Page] = {
        "https://mot.example/a.html": html("<html><body><h1>Bài</h1><p>Một bài báo.</p></body></html>"),
        "https://mot.example/cu.xml": redirect("https://mot.example/moi.xml"),
        "https://mot.example/moi.xml": rss([("https://mot.example/a.html", "Bài")]),
    }
    with Newsroom([*sites_of(pages), Site(host="cam.example", reach=Reach.REFUSED)]) as opened:
        opened.put("mot.example", "/robots.txt", plain("User-agent: *\nDisallow: /kin/\n"))
        yield opened


def desk_at(folder: Path, room: Newsroom, sources: str) -> Desk:
    desk = Desk(folder=folder, environment=room.environment)
    desk.configure(sources)
    return desk


def test_a_healthy_source_is_polled_and_nothing_is_stored(tmp_path: Path, room: Newsroom) -> None:
    desk = desk_at(tmp_path, room, HEALTHY)

    ended = desk.run("doctor", "-v")

    assert ended.status == 0, ended.out
    assert "Traceback" not in ended.err
    line = next(line for line in ended.out.splitlines() if " mot: " in line)
    assert line.startswith("ok")
    assert "1 entry; 200" in line
    steps = ("robots ", "address ", "status ", "headers ", "charset ", "size ", "time ")
    assert all(f"        {step}" in ended.out for step in steps)
    assert [path.name for path in desk.folder.iterdir()] == ["worker.toml"]


def test_each_fault_is_reported_with_a_remedy_and_exit_status_1(tmp_path: Path, room: Newsroom) -> None:
    desk = desk_at(tmp_path, room, HEALTHY + ILL)

    ended = desk.run("doctor", "--json")

    found = {finding["name"]: finding for finding in json.loads(ended.out) if finding["area"] == "source"}
    assert ended.status == 1
    assert {name: finding["level"] for name, finding in found.items()} == {
        "mot": "ok",
        "kin": "fail",
        "trang": "fail",
        "mat": "fail",
        "cam": "fail",
        "vo-danh": "fail",
        "don-di": "warn",
    }
    assert "Disallow: /kin/" in found["kin"]["detail"]
    assert "not a feed" in found["trang"]["detail"]
    assert "moi.xml" in found["don-di"]["remedy"]
    assert all(finding["remedy"] for finding in found.values() if finding["level"] != "ok")
    assert any(step["what"] == "status" and "404" in step["detail"] for step in found["mat"]["steps"])


def test_a_certificate_file_that_cannot_be_read_is_a_finding_and_no_source_is_polled(
    tmp_path: Path, room: Newsroom
) -> None:
    desk = desk_at(tmp_path, room, HEALTHY)
    desk.environment = {**room.environment, "CORPUS_WORKER_FETCH__CA_FILE": "nowhere.pem"}

    ended = desk.run("doctor", "--json")

    failed = [finding for finding in json.loads(ended.out) if finding["level"] == "fail"]
    assert ended.status == 1
    assert [finding["name"] for finding in failed] == ["tls"]
    assert "nowhere.pem" in failed[0]["detail"]
