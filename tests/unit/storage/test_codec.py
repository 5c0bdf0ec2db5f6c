"""Values survive the conversion to columns and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from worker.models import Comparison, Page, Relation, Text, Validators, Verdict
from worker.storage.db.codec import (
    PackedText,
    UtcTime,
    body_of,
    content_from,
    content_to_json,
    form_of,
    storable,
    verdict_from_json,
    verdict_to_json,
)

DIALECT = sqlite.dialect()


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=7))])))
def test_times_come_back_to_the_microsecond(time: datetime) -> None:
    kept = UtcTime().process_bind_param(time, DIALECT)

    assert UtcTime().process_result_value(kept, DIALECT) == time


def test_a_time_without_a_zone_is_a_bug() -> None:
    with pytest.raises(TypeError):
        UtcTime().process_bind_param(datetime(2026, 1, 1), DIALECT)  # noqa: DTZ001


@given(st.text(st.characters(codec=None)))
def test_a_seed_comes_back_as_scraped_whatever_is_in_it(raw: str) -> None:
    kept = PackedText().process_bind_param(raw, DIALECT)

    assert PackedText().process_result_value(kept, DIALECT) == raw


@given(st.text(st.characters(codec=None)))
def test_cleaned_strings_fit_into_both_databases(value: str) -> None:
    cleaned = storable(value)

    assert "\x00" not in cleaned
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert storable(cleaned) == cleaned


@given(st.binary(), st.dictionaries(st.text(), st.text()), st.none() | st.text())
def test_pages_come_back_as_fetched(body: bytes, headers: dict[str, str], etag: str | None) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    page = Page(
        url="https://a.example/",
        final_url="https://a.example/b",
        status=200,
        body=body,
        fetched_at=now,
        headers=headers,
        validators=Validators(etag=etag),
        permanent_url="https://a.example/b",
        elapsed=timedelta(milliseconds=125),
    )

    assert content_from(form_of(page), content_to_json(page), body_of(page), now) == page


@given(st.text(st.characters(codec=None)), st.none() | st.text())
def test_plain_texts_come_back_as_given(text: str, title: str | None) -> None:
    given_text = Text(text=text, title=title, fields={"section": text, "tags": (text, "b")})

    kept = content_from(
        form_of(given_text), content_to_json(given_text), body_of(given_text), datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert kept == given_text


def test_verdicts_come_back_in_full() -> None:
    comparison = Comparison(
        article=7, relation=Relation.CONTAINS, rule="words", jaccard=0.5, containment=1.0, shared_words=9, notes=("n",)
    )
    verdict = Verdict(relation=Relation.CONTAINS, head=True, best=comparison, considered=(comparison, comparison))

    assert verdict_from_json(verdict_to_json(verdict)) == verdict
