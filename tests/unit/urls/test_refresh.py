"""The target of a refresh, as pages write it."""

from __future__ import annotations

import pytest

from worker.urls import refresh_target


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("0; url=/a", "/a"), ("0;url=/a", "/a"), ("3;URL=/a", "/a"), ("0, url=/a", "/a"), ("5 url=/a", "/a"),
        ("0;/a", "/a"), (".5;url=/a", "/a"),
        ("0; url='/a'", "/a"), ('0; url="/a" x', "/a"), ("0.5; url=/a", "/a"), (" 1 ; url = /a ", "/a"),
        ("30; url=/a?b=1;c=2", "/a?b=1;c=2"), ("0; url=//bao.example/a", "//bao.example/a"),
        ("300", None), ("0", None), ("0;", None), ("31; url=/a", None), ("600; url=/a", None), ("", None),
        ("url=/a", None),
        ("0; url=", None), ("0; url=''", None), ("-1; url=/a", None), ("x" * 10_000, None), ("0;" + " " * 10_000, None),
    ],
)  # fmt: skip
def test_a_refresh_has_a_target_or_only_reloads_its_page(written: str, target: str | None) -> None:
    assert refresh_target(written) == target
