"""The key of a URL, case by case."""

from __future__ import annotations

import gzip
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.errors import SourceError
from worker.urls import (
    UrlRules,
    canonicalise,
    file_url,
    host_of,
    is_home,
    is_web_address,
    resolve,
    same_site,
    trusted_canonical,
)
from worker.urls.keys import AddressShape, address_shape

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
def test_variants_of_an_address_have_one_key(key: str, url: str) -> None:
    assert canonicalise(url) == key


@pytest.mark.parametrize(
    "url", ["", "   ", "mailto:a@x.vn", "javascript:void(0)", "/tin/a", "https://", "https://[::1/x"]
)
def test_any_other_address_is_refused_with_a_message(url: str) -> None:
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


def test_subdomains_belong_to_one_site_and_other_domains_do_not() -> None:
    assert same_site("https://video.x.com.vn/a", "http://x.com.vn/b")
    assert not same_site("https://x.com.vn/a", "https://y.com.vn/a")


def test_a_front_page_is_recognised() -> None:
    assert is_home("http://www.x.vn/index.html?utm_source=a")
    assert is_home("https://x.vn/en")
    assert not is_home("https://x.vn/tin/a")


CASES = tomllib.loads((Path(__file__).parent / "url_cases.toml").read_text("utf-8"))
SAME_KEY = [(group["key"], url) for group in CASES["same"] for url in group["urls"]]
SHARED = Path(__file__).parents[4] / "shared/data"


@pytest.mark.parametrize(("key", "url"), SAME_KEY)
def test_every_address_of_an_article_has_its_key(key: str, url: str) -> None:
    assert canonicalise(url) == key
    assert canonicalise(key) == key


@pytest.mark.parametrize("group", CASES["different"], ids=lambda group: str(group["why"]))
def test_no_two_articles_share_a_key(group: dict[str, list[str]]) -> None:
    keys = [canonicalise(url) for url in group["urls"]]

    assert sorted(keys) == sorted(set(keys))


def test_the_table_has_enough_cases() -> None:
    assert len(SAME_KEY) + sum(len(group["urls"]) for group in CASES["different"]) >= 200


def test_the_rules_of_a_site_win_over_the_common_ones() -> None:
    rules = UrlRules(keep=frozenset({"ref"}), drop=frozenset({"trang"}), fold_case=True)

    key = canonicalise("https://bao.vn/Tin/A-1234.html?ref=5&trang=2&x=Y", rules=rules)

    assert key == "https://bao.vn/tin/a-1234.html?ref=5&x=Y"


PAGE = "https://bao.vn/thoi-su/mua-lon-keo-dai-1234.html?utm_source=x"


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ("https://www.bao.vn/mua-lon-keo-dai-1234.html", "https://bao.vn/mua-lon-keo-dai-1234.html"),
        ("/mua-lon-keo-dai-1234.html", "https://bao.vn/mua-lon-keo-dai-1234.html"),
        ("https://video.bao.vn/mua-lon-keo-dai-1234.html", "https://video.bao.vn/mua-lon-keo-dai-1234.html"),
        ("http://bao.vn/thoi-su/mua-lon-keo-dai-1234.html", "https://bao.vn/thoi-su/mua-lon-keo-dai-1234.html"),
        ("https://bao.vn/tin?id=1234", "https://bao.vn/tin?id=1234"),
        ("https://bao.vn/", None),
        ("https://bao.vn/thoi-su", None),
        ("https://xa-la.com/mua-lon-keo-dai-1234.html", None),
        ("javascript:void(0)", None),
        ("", None),
        (None, None),
    ],
)
def test_a_declared_canonical_address_is_trusted_within_the_site_and_where_it_names_an_article(
    declared: str | None, key: str | None
) -> None:
    assert trusted_canonical(declared, page_url=PAGE) == key


def test_addresses_to_fetch_stay_as_they_were_found_but_for_what_cannot_be_sent() -> None:
    found = " http://www.Báo.vn/Mưa lớn.html?b=2&a=1&utm_source=rss#binh-luan"

    assert resolve(found) == "http://www.xn--bo-mia.vn/M%C6%B0a%20l%E1%BB%9Bn.html?b=2&a=1&utm_source=rss"


def test_articles_of_a_real_list_have_different_keys() -> None:
    files = sorted(SHARED.glob("feeds/vi/*.xml")) + sorted(SHARED.glob("vi/html/*_list.html.gz"))
    if not files:
        pytest.skip("the shared data is not here")
    bodies = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files]
    found = {url.decode() for body in bodies for url in re.findall(rb"""[^\s"'<>=\[]+-\d{6,}\.(?:html?|chn)""", body)}

    keys = {canonicalise(url, base="https://bao.vn/") for url in found}

    assert len(found) > 150
    assert len(keys) == len({url.rpartition("-")[2] for url in found})


@pytest.mark.parametrize("make", [canonicalise, resolve])
def test_a_key_too_long_for_an_index_is_refused_however_short_the_url_was(make: Callable[[str], str]) -> None:
    kept = make("https://x.vn/" + 2480 * "a")

    assert len(kept) < 2500
    for path in (2500 * "a", 300 * "ế"):
        with pytest.raises(SourceError, match="more than 2,500"):
            make(f"https://x.vn/{path}")


def test_what_is_written_like_an_address_of_the_web() -> None:
    assert all(map(is_web_address, ("https://báo.example/a", "http://[::1]/")))
    assert not any(map(is_web_address, ("http://[", "https://", "ftp://a.example/", "bai.html", "")))


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("https://x.vn/thi-truong-chung-khoan.chn", AddressShape(slug_letters=19, digits=0)),
        ("https://x.vn/thoi-su/chinh-tri-c46.html", AddressShape(slug_letters=9, digits=2)),
        ("https://x.vn/a/gia-vang-20221224084259560.htm", AddressShape(slug_letters=7, digits=17)),
        ("https://x.vn/bai-viet-dai/8123", AddressShape(slug_letters=10, digits=4)),
        ("https://x.vn/c?loai=bom&id=812", AddressShape(slug_letters=1, digits=3)),
        ("https://x.vn/%C4%91%C6%B0a-tin", AddressShape(slug_letters=6, digits=0)),
        ("https://x.vn/2011/09/11/lu-lut/", AddressShape(slug_letters=5, digits=2, is_dated=True)),
        ("https://x.vn/2011/09/", AddressShape(slug_letters=0, digits=4)),
        ("https://x.vn/tag/lua/", AddressShape(slug_letters=3, digits=0, is_in_list=True)),
        ("https://x.vn/lua/page/2", AddressShape(slug_letters=4, digits=1, is_in_list=True)),
        ("https://x.vn/lua?page=2", AddressShape(slug_letters=3, digits=1, is_in_list=True)),
        ("https://x.vn/?s=lua&cat=7", AddressShape(slug_letters=0, digits=1, is_in_list=True)),
        ("https://x.vn/?p=2895", AddressShape(slug_letters=0, digits=4)),
        ("https://x.vn/lua?homepage=2", AddressShape(slug_letters=3, digits=1)),
        ("https://x.vn/tag", AddressShape(slug_letters=3, digits=0)),
        ("https://x.vn", AddressShape(slug_letters=0, digits=0)),
    ],
)
def test_the_shape_of_an_address(url: str, shape: AddressShape) -> None:
    assert address_shape(url) == shape


@pytest.mark.parametrize(
    ("url", "says_much"),
    [
        ("https://x.vn/page.html", False),
        ("https://x.vn/p/7", False),
        ("https://x.vn/?x=1", False),
        ("https://x.vn/thoi-su", False),
        ("https://x.vn/1234", True),
        ("https://x.vn/2011/09/11/lu-lut/", True),
        ("https://x.vn/tag/lua/", True),
        ("https://x.vn/gia-gao-xuat-khau-tang-manh-tuan-nay", True),
    ],
)
def test_an_address_says_much_by_a_number_a_long_slug_a_day_or_a_folder_of_lists(url: str, says_much: bool) -> None:
    assert address_shape(url).says_much is says_much
