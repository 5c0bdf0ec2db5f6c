"""Validators of conditional requests, and the headers that a page keeps."""

from __future__ import annotations

import pytest

from worker.fetch.http.semantics import condition_headers, kept_headers, validators_after, validators_in
from worker.models import Validators

DATE = "Sun, 01 Mar 2026 00:00:00 GMT"


@pytest.mark.parametrize("etag", ['"abc"', 'W/"abc"', '""', '"a,b;c=\'d"'])
def test_an_entity_tag_is_sent_back_exactly_as_it_came(etag: str) -> None:
    assert condition_headers(Validators(etag=etag)) == {"If-None-Match": etag}


@pytest.mark.parametrize("etag", ["abc", '"a"b"', '"a\r\nX: y"', '"' + "x" * 2_000 + '"', '"é"', "*", 'w/"a"'])
def test_a_malformed_entity_tag_is_not_sent(etag: str) -> None:
    assert condition_headers(Validators(etag=etag)) == {}
    assert validators_in({"etag": etag}) == Validators()


@pytest.mark.parametrize("date", [DATE, "Sunday, 01-Mar-26 00:00:00 GMT", "Sun Mar  1 00:00:00 2026"])
def test_a_date_is_sent_back_exactly_as_it_came(date: str) -> None:
    assert condition_headers(Validators(last_modified=date)) == {"If-Modified-Since": date}


@pytest.mark.parametrize("date", ["yesterday", "0", "-1", "", "2026-99-99"])
def test_a_malformed_date_is_not_sent(date: str) -> None:
    assert condition_headers(Validators(last_modified=date)) == {}
    assert validators_in({"last-modified": date}) == Validators()


def test_a_304_replaces_the_validators_it_names_and_keeps_the_others() -> None:
    kept = Validators(etag='"1"', last_modified=DATE)

    assert validators_after(kept, {"etag": '"2"'}) == Validators(etag='"2"', last_modified=DATE)
    assert validators_after(kept, {}) == kept


def test_kept_headers_are_few_short_and_clean() -> None:
    kept = kept_headers({"x-robots-tag": "noai\t\x85", "link": "<" + "x" * 9_000, "set-cookie": "a=b", "x-other": "1"})

    assert kept == {"x-robots-tag": "noai", "link": "<" + "x" * 1_999}
