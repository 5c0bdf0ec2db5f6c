"""Statuses and Retry-After."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fetch.fakes import NOON
from worker.fetch.http.semantics import MAX_RETRY_AFTER, parse_http_date, retry_after, status_error


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", timedelta(seconds=120)),
        (" 0 ", timedelta(0)),
        ("Sun, 01 Mar 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Sunday, 01-Mar-26 12:05:00 GMT", timedelta(minutes=5)),
        ("Sun Mar  1 12:05:00 2026", timedelta(minutes=5)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("999999999999999999999", MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2099 12:05:00 GMT", MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(value: str, wait: timedelta) -> None:
    assert retry_after(value, now=NOON) == NOON + wait


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    headers = {"date": "Sun, 01 Mar 2026 18:00:00 GMT", "retry-after": "Sun, 01 Mar 2026 18:02:00 GMT"}

    error = status_error(503, headers, host="a", now=NOON)

    assert error is not None
    assert error.retry_at == NOON + timedelta(minutes=2)


def test_429_without_retry_after_waits_a_minute() -> None:
    error = status_error(429, {}, host="a", now=NOON)

    assert error is not None
    assert error.retry_at == NOON + timedelta(minutes=1)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "²", "Sun, 99 Mar 2026 12:05:00 GMT", "Fri, 31 Dec 9999 23:59:59 -1200"]
)
def test_a_malformed_retry_after_is_ignored(value: str) -> None:
    assert retry_after(value, now=NOON) is None


@given(st.text(max_size=40))
def test_any_text_is_a_date_or_none(text: str) -> None:
    moment = parse_http_date(text)

    assert moment is None or moment.tzinfo is not None


@pytest.mark.parametrize("status", [200, 203, 301, 302, 303, 307, 308])
def test_pages_and_redirects_are_no_errors(status: int) -> None:
    assert status_error(status, {}, host="a", now=NOON) is None


@pytest.mark.parametrize(
    ("status", "reason", "retry"),
    [(404, "gone", False), (410, "gone", False), (403, "http", False), (418, "http", False), (408, "http", True),
     (429, "http", True), (500, "http", True), (501, "http", False), (503, "http", True), (206, "http", False),
     (999, "http", False)],
)  # fmt: skip
def test_every_other_status_has_its_reason(status: int, reason: str, retry: bool) -> None:
    error = status_error(status, {}, host="news.example", now=NOON)

    assert error is not None
    assert (error.reason, error.retry, error.status) == (reason, retry, status)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("status", "asked"), [(503, NOON + timedelta(seconds=60)), (429, NOON + timedelta(seconds=60)), (500, None)]
)
def test_retry_after_counts_for_429_and_503_only(status: int, asked: datetime | None) -> None:
    error = status_error(status, {"retry-after": "60"}, host="a", now=NOON)

    assert error is not None
    assert error.retry_at == asked
