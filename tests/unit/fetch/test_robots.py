"""robots.txt: a table of our own, after RFC 9309 and the mistakes of site owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.robots import MAX_BYTES, parse_robots, path_of, product_token

SITE = "https://news.example"


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    agent: str = "corpus-worker"


CASES = [
    Case("an empty file allows everything", "", allowed=("/", "/a?b")),
    Case("rules before any group say nothing", "Disallow: /\nUser-agent: other\nDisallow: /", allowed=("/a",)),
    Case("an empty Disallow says nothing", "User-agent: *\nDisallow:", allowed=("/a",)),
    Case(
        "a prefix forbids what begins with it",
        "User-agent: *\nDisallow: /tin",
        ("/", "/ti", "/Tin"),
        ("/tin", "/tin-tuc/1"),
    ),
    Case(
        "our own group replaces that of everybody",
        "User-agent: *\nDisallow: /\nUser-agent: corpus-worker\nDisallow: /x",
        ("/a",),
        ("/x",),
    ),
    Case(
        "our own group may come first",
        "User-agent: corpus-worker\nDisallow: /x\nUser-agent: *\nDisallow: /",
        ("/a",),
        ("/x",),
    ),
    Case("names are compared without case", "USER-AGENT: Corpus-WORKER\ndisALLOW: /x", ("/a",), ("/x",)),
    Case("a name with a version is ours", "User-agent: corpus-worker/1.0\nDisallow: /x", ("/a",), ("/x",)),
    Case("a longer name is somebody else's", "User-agent: corpus-worker-images\nDisallow: /x", ("/x",)),
    Case("a shorter name is somebody else's", "User-agent: corpus\nDisallow: /x", ("/x",)),
    Case(
        "two groups of ours count together",
        "User-agent: corpus-worker\nDisallow: /x\n\nUser-agent: corpus-worker\nDisallow: /y",
        ("/a",),
        ("/x", "/y"),
    ),
    Case("one group may have several names", "User-agent: other\nUser-agent: corpus-worker\nDisallow: /x", (), ("/x",)),
    Case(
        "an unknown line ends no list of names",
        "User-agent: corpus-worker\nHost: x\nSitemap: /m\nUser-agent: *\nDisallow: /x",
        (),
        ("/x",),
    ),
    Case(
        "a group of ours without rules still replaces",
        "User-agent: *\nDisallow: /\nUser-agent: corpus-worker",
        allowed=("/a",),
        forbidden=(),
    ),
    Case("the longer rule wins", "User-agent: *\nDisallow: /a\nAllow: /a/b", ("/a/b", "/a/bc"), ("/a", "/a/c")),
    Case("the longer rule wins in any order", "User-agent: *\nAllow: /a/b\nDisallow: /a", ("/a/b",), ("/a/c",)),
    Case("of equals the one that allows wins", "User-agent: *\nDisallow: /a\nAllow: /a", ("/a",)),
    Case("a star is any text", "User-agent: *\nDisallow: /*.pdf", ("/a.html",), ("/a.pdf", "/x/y.pdf?z", "/.pdf")),
    Case("a star may stand for nothing", "User-agent: *\nDisallow: /a*b", ("/a",), ("/ab", "/axxb", "/a/b/c")),
    Case("a star at the end changes nothing", "User-agent: *\nDisallow: /a*", ("/b",), ("/a", "/abc")),
    Case("several stars", "User-agent: *\nDisallow: /*/amp/*?*id=", ("/amp/x?id=1", "/a/amp/x"), ("/a/amp/x?q&id=1",)),
    Case("a dollar is the end", "User-agent: *\nDisallow: /*.php$", ("/a.php?x", "/a.php5"), ("/a.php",)),
    Case("a dollar right after a star", "User-agent: *\nDisallow: /a*$", ("/b",), ("/a", "/abc")),
    Case("a dollar inside is a dollar", "User-agent: *\nDisallow: /a$b", ("/a",), ("/a$b",)),
    Case(
        "an end must not overlap what came before", "User-agent: *\nDisallow: /ab*ba$", ("/aba",), ("/abba", "/abxba")
    ),
    Case("only the root", "User-agent: *\nAllow: /$\nDisallow: /", ("/", ""), ("/a",)),
    Case("the query is part of the path", "User-agent: *\nDisallow: /tim-kiem?q=", ("/tim-kiem",), ("/tim-kiem?q=x",)),
    Case("comments end lines", "User-agent: * # all\nDisallow: /x # not this\n# Disallow: /y", ("/y",), ("/x",)),
    Case("every kind of line end", "User-agent: *\rDisallow: /a\r\nDisallow: /b\nDisallow: /c", (), ("/a", "/b", "/c")),
    Case("spaces around everything", "  User-agent :\t*  \n\tDisallow  :  /x  ", (), ("/x",)),
    Case("a forgotten colon", "User-agent *\nDisallow /x", (), ("/x",)),
    Case("a forgotten colon is not guessed at in prose", "User-agent: *\nDisallow the whole /x", ("/x",)),
    Case("common misspellings", "useragent: *\nDissallow: /a\nDisalow: /b\nDiasllow: /c", (), ("/a", "/b", "/c")),
    Case("letters beyond ASCII are compared encoded", "User-agent: *\nDisallow: /tin-tức", (), ("/tin-t%E1%BB%A9c",)),
    Case("escapes are compared without case", "User-agent: *\nDisallow: /tin-t%e1%bb%a9c", (), ("/tin-t%E1%BB%A9c",)),
    Case(
        "a needless escape forbids in both spellings", "User-agent: *\nDisallow: /%61dmin", (), ("/admin", "/%61dmin")
    ),
    Case("a needless escape in the URL hides nothing", "User-agent: *\nDisallow: /admin", (), ("/%61dmin", "/adm%69n")),
    Case("an escape that matters stays", "User-agent: *\nDisallow: /a%2Fb", ("/a/b",), ("/a%2Fb", "/a%2fb")),
    Case(
        "an allowed index page allows its folder",
        "User-agent: *\nAllow: /x/index.html\nDisallow: /",
        ("/x/", "/x/index.html"),
        ("/x", "/x/y"),
    ),
    Case("a byte order mark is skipped", "\ufeffUser-agent: *\nDisallow: /x", (), ("/x",)),
    Case("a star with more is a name", "User-agent: *bot\nDisallow: /x", ("/x",)),
    Case("a star and a remark is everybody", "User-agent: * everybody\nDisallow: /x", (), ("/x",)),
    Case("an HTML page says nothing", "<!doctype html><html><head><title>404</title></head>", allowed=("/a",)),
    Case("the fragment is not part of the path", "User-agent: *\nDisallow: /x#y", (), ("/x",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rules_of_a_robots_txt(case: Case) -> None:
    robots = parse_robots(case.text.encode(), case.agent)

    ruled = {path: robots.decide(SITE + path).allowed for path in (*case.allowed, *case.forbidden)}

    assert ruled == dict.fromkeys(case.allowed, True) | dict.fromkeys(case.forbidden, False)


def test_a_decision_names_the_rule_and_its_line() -> None:
    robots = parse_robots(b"User-agent: *\n\nDisallow: /priv\xc3\xa9", "x")

    assert str(robots.decide(f"{SITE}/priv%C3%A9/a").rule) == "Disallow: /priv%C3%A9 (line 3)"
    assert str(robots.decide(f"{SITE}/a")) == "no rule matches"


def test_sitemaps_count_for_every_agent_wherever_they_are_listed() -> None:
    robots = parse_robots(b"Sitemap: /1.xml\nUser-agent: other\nSitemap: /2.xml\nDisallow: /\nsite-map: /1.xml", "x")

    assert robots.sitemaps == ("/1.xml", "/2.xml")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2), ("0.5", 0.5), ("-1", 0), ("nan", 0), ("inf", 0), ("1e9", 600), ("ten", 0), ("", 0), ("99999", 600)],
)
def test_a_crawl_delay_is_parsed_and_limited(value: str, seconds: float) -> None:
    robots = parse_robots(f"User-agent: *\nCrawl-delay: {value}".encode(), "x")

    assert robots.crawl_delay == timedelta(seconds=seconds)


def test_a_crawl_delay_belongs_to_its_group() -> None:
    text = b"User-agent: other\nCrawl-delay: 9\nDisallow: /x\nUser-agent: *\nCrawl-delay: 3\n"

    assert parse_robots(text, "mine").crawl_delay == timedelta(seconds=3)
    assert parse_robots(text, "other").crawl_delay == timedelta(seconds=9)


def test_no_more_than_five_hundred_kibibytes_are_read() -> None:
    text = b"User-agent: *\n" + b"#" * (MAX_BYTES - 14) + b"\nDisallow: /x"

    assert parse_robots(text, "x").decide(f"{SITE}/x").allowed


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("corpus-worker/1.0 (+https://news.example)", "corpus-worker"),
        ("Mozilla", "mozilla"),
        ("My_Bot2/3", "my_bot"),
        ("", ""),
    ],
)
def test_the_product_token_is_the_name_that_groups_use(user_agent: str, token: str) -> None:
    assert product_token(user_agent) == token


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example", "/"),
        ("https://a.example/b;c?d=/e#f", "/b;c?d=/e"),
        ("https://a.example?b", "/?b"),
        ("//a.example/b", "/b"),
        ("/b", "/b"),
    ],
)
def test_rules_are_matched_against_path_and_query(url: str, path: str) -> None:
    assert path_of(url) == path


@given(st.binary(max_size=400), st.text(max_size=40))
def test_any_bytes_can_be_parsed_and_any_url_decided(body: bytes, path: str) -> None:
    robots = parse_robots(b"User-agent: *\n" + body, "corpus-worker")

    assert robots.decide(f"{SITE}/{path}").allowed in {True, False}


@given(st.text(alphabet="ab/*$", max_size=12), st.text(alphabet="ab/", max_size=12))
def test_matching_agrees_with_exhaustive_matching(pattern: str, path: str) -> None:
    robots = parse_robots(f"User-agent: *\nDisallow: /{pattern}".encode(), "x")

    assert robots.decide(f"{SITE}/{path}").allowed is not fits(f"/{pattern}", f"/{path}")


def fits(pattern: str, path: str) -> bool:
    """Match by trying every way: slow and obvious."""
    if pattern in {"", "$"}:
        return pattern == "" or path == ""
    if pattern[0] == "*":
        return any(fits(pattern[1:], path[start:]) for start in range(len(path) + 1))
    return path[:1] == pattern[0] and fits(pattern[1:], path[1:])
