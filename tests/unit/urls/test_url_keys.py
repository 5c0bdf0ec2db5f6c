"""The key of a URL, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import SourceError
from worker.urls import canonicalise, file_url, host_of, is_home, same_site

SAME = [
    ("https://x.vn/a-1234.html", "http://x.vn/a-1234.html"),
    ("https://x.vn/a-1234.html", "https://www.x.vn/a-1234.html"),
    ("https://x.vn/a-1234.html", "https://m.x.vn/a-1234.html"),
    ("https://x.vn/a-1234.html", "HTTPS://X.VN:443/a-1234.html#binh-luan"),
    ("https://x.vn/a-1234.html", "https://x.vn/a-1234.html?utm_source=zalo&fbclid=xyz"),
    ("https://x.vn/a-1234.html", "https://x.vn/amp/a-1234.html"),
    ("https://x.vn/a-1234.html", "https://x.vn/a-1234.html?print=1"),
    ("https://x.vn/a-1234.html", "https://x.vn/a-1234.html;jsessionid=0A1B2C"),
    ("https://x.vn/tin/a", "https://x.vn/tin/a/"),
    ("https://x.vn/", "https://x.vn"),
    ("https://x.vn/?p=12", "https://x.vn/index.php?p=12&utm_medium=rss"),
]


@pytest.mark.parametrize(("key", "url"), SAME)
def test_twins_have_one_key(key: str, url: str) -> None:
    assert canonicalise(url) == key


@pytest.mark.parametrize(
    "url", ["", "   ", "mailto:a@x.vn", "javascript:void(0)", "/tin/a", "https://", "https://[::1/x"]
)
def test_what_is_no_web_or_file_address_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(SourceError, match="not a usable"):
        canonicalise(url)


def test_a_relative_address_is_resolved_against_its_base() -> None:
    assert canonicalise("../b.html", base="https://x.vn/tin/a/") == "https://x.vn/tin/b.html"


def test_a_path_becomes_an_absolute_percent_encoded_file_address() -> None:
    url = file_url(Path("/kho/bài viết#1.html"))

    assert url == "file:///kho/b%C3%A0i%20vi%E1%BA%BFt%231.html"
    assert host_of(url) == ""


def test_the_host_keeps_www_and_an_unusual_port() -> None:
    assert host_of("http://WWW.X.vn:80/a") == "www.x.vn"
    assert host_of("http://127.0.0.1:8080/a") == "127.0.0.1:8080"


def test_sub_domains_are_of_one_site_and_strangers_are_not() -> None:
    assert same_site("https://video.x.com.vn/a", "http://x.com.vn/b")
    assert not same_site("https://x.com.vn/a", "https://y.com.vn/a")


def test_a_front_page_is_recognised() -> None:
    assert is_home("http://www.x.vn/index.html?utm_source=a")
    assert is_home("https://x.vn/en")
    assert not is_home("https://x.vn/tin/a")
