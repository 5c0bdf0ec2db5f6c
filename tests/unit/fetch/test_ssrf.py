"""URLs are checked before anything is resolved."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import FetchBlocked, FetchError
from worker.fetch.http.ssrf import check_url, parse_url, resolve_location, url_origin


@pytest.mark.parametrize(
    "url",
    [
        "http://news.example/",
        "https://news.example:443/",
        "https://news.example:8443/a",
        "http://tin-tức.example/",
        "http://a_b.example/",
        "http://8.8.8.8/",
    ],
)
def test_ordinary_urls_pass(url: str) -> None:
    check_url(parse_url(url), ())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://news.example/", "scheme"),
        ("news.example/a", "scheme"),
        ("", "scheme"),
        ("http://me:secret@news.example/", "credentials"),
        ("http://me@news.example/", "credentials"),
        ("http:///a", "host"),
        ("http://a b.example/", "host"),
        ("http://news.example:22/", "port"),
        ("http://news.example:0/", "port"),
        ("http://news.example:6379/", "port"),
        ("http://news.example:70000/", "port"),
        ("http://127.0.0.1/", "network"),
        ("http://[::1]/", "network"),
        ("http://0x7f.1/", "network"),
        ("http://news.0/", "network"),
    ],
)
def test_the_rule_that_refuses_a_url_is_named(url: str, reason: str) -> None:
    with pytest.raises(FetchBlocked) as caught:
        check_url(parse_url(url), ())

    assert caught.value.reason == reason
    assert not caught.value.retry
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://[::1/", "http://a:b/", "http://\x00/", "http://" + "a" * 9_000, "http://xn--\udcff/"]
)
def test_an_invalid_url_is_a_fetch_error(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse_url(url)

    assert (caught.value.reason, caught.value.retry) == ("url", False)


def test_a_host_has_one_spelling() -> None:
    assert str(parse_url("HTTP://News.Example.:80/a#b")) == "http://news.example/a"


@pytest.mark.parametrize(
    ("url", "origin"),
    [("http://a.example/x", "http://a.example:80"), ("https://[2606::1]:8443/", "https://[2606::1]:8443")],
)
def test_an_origin_always_has_its_port(url: str, origin: str) -> None:
    assert url_origin(parse_url(url)) == origin


@given(st.text(max_size=60))
@example("http://[v1.x]/")
@example("http://٠:1/")
@example("http://a:" + "9" * 5_000)
@example("http://xn--a.example/")
@example("//\u2100")
def test_no_text_raises_anything_but_a_fetch_error(text: str) -> None:
    for url in (text, f"http://{text}", f"http://news.example/{text}"):
        try:
            check_url(parse_url(url), ())
        except FetchError:
            continue


@given(st.text(max_size=60))
def test_no_location_raises_anything_but_a_fetch_error(location: str) -> None:
    base = parse_url("https://news.example/a")

    try:
        target = resolve_location(base, location)
    except FetchError as error:
        assert error.reason == "redirects"
    else:
        assert target.fragment == ""
