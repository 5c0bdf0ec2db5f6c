"""The lines of robots.txt about the use of pages: which group and which path they belong to."""

import pytest

from worker.fetch.robots import MAX_BYTES, parse_robots

DRAFT = """User-Agent: *
Allow: /
Disallow: /never/
Content-Usage: train-ai=n
Content-Usage: /ai-ok/ train-ai=y

User-Agent: ExampleBot
Allow: /
Content-Usage: train-ai=y
"""


@pytest.mark.parametrize(
    ("text", "token", "path", "stated"),
    [
        (DRAFT, "corpus-worker", "/test", {"content-usage": "train-ai=n"}),
        (DRAFT, "corpus-worker", "/ai-ok/test", {"content-usage": "train-ai=y"}),
        (DRAFT, "examplebot", "/test", {"content-usage": "train-ai=y"}),
        (
            "User-Agent: *\nContent-signal: search=yes,ai-train=no\nAllow: /",
            "x",
            "/",
            {"content-signal": "ai-train=no, search=yes"},
        ),
        # lines of one path are combined, those of a longer one replace them, whatever the order
        (
            "user-agent:*\nCONTENT-USAGE : train-ai=y\ncontent-usage:train-ai=n, search=y #x",
            "x",
            "/",
            {"content-usage": "search=y, train-ai=n"},
        ),
        (
            "user-agent: *\nContent-Usage: /a*/b$\ttrain-ai=n\nContent-Usage: / train-ai=y",
            "x",
            "/aa/b",
            {"content-usage": "train-ai=n"},
        ),
        ("user-agent: *\nContent-Usage: /%62ao train-ai=n", "x", "/bao/1", {"content-usage": "train-ai=n"}),
        ("user-agent: *\nContent-Usage: /b train-ai=n", "x", "/a", {}),
        ("user-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /a/ nonsense", "x", "/a/1", {}),
        # several groups of one agent are one; the lines of another agent are not ours
        (
            "user-agent: x\nContent-Usage: train-ai=n\nuser-agent: y\nallow: /\nuser-agent: X\nContent-Usage: search=n",
            "x",
            "/",
            {"content-usage": "search=n, train-ai=n"},
        ),
        ("user-agent: y\nContent-Usage: train-ai=n", "x", "/", {}),
        # lines outside every group hold where the group says nothing under that name
        ("Content-Signal: ai-train=no\nuser-agent: *\nallow: /", "x", "/", {"content-signal": "ai-train=no"}),
        (
            "Content-Signal: ai-train=no\nuser-agent: *\nContent-Signal: search=yes",
            "x",
            "/",
            {"content-signal": "search=yes"},
        ),
    ],
)
def test_the_group_and_the_longest_path_decide(text: str, token: str, path: str, stated: dict[str, str]) -> None:
    robots = parse_robots(text.encode(), token)

    assert robots.statements(f"https://bao.example{path}") == stated


def test_a_line_about_usage_does_not_change_what_may_be_fetched() -> None:
    robots = parse_robots(b"user-agent: x\nContent-Usage: train-ai=n\nuser-agent: y\ndisallow: /a", "x")

    assert not robots.decide("https://bao.example/a").allowed
    assert robots.statements("https://bao.example/b") == {"content-usage": "train-ai=n"}


def test_a_huge_file_is_cut_and_read() -> None:
    text = b"user-agent: *\n" + b"content-usage: /a train-ai=n, \xff=\n" * 20_000

    robots = parse_robots(text, "x")

    assert len(robots.usage) <= MAX_BYTES // 30
    assert robots.statements("https://bao.example/a") == {"content-usage": "train-ai=n"}
