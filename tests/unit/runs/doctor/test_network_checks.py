"""The doctor checks of network and sources, from one poll of each source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.fakes import START, page
from worker.fetch.request import Step
from worker.models import Candidate, Page, Source
from worker.runs.doctor import Level
from worker.runs.doctor.network import check_clock, check_hosts, check_source, check_tls
from worker.runs.preview import ProbeResult


def candidate(days_ago: int = 0) -> Candidate:
    url = f"https://bao.example/{days_ago}"
    published = START - timedelta(days=days_ago)
    return Candidate(url=url, canonical_url=url, source="bao", reference="", published_at=published)


def result(host: str = "bao.example", /, **changes: object) -> ProbeResult:
    source = Source(name="bao", kind="feed", url=f"https://{host}/rss")
    good = ProbeResult(source=source, page=page(source.url, "<rss/>"), candidates=(candidate(),))
    return replace(good, **changes)  # type: ignore[arg-type]


def moved(url: str) -> Page:
    return replace(page("https://bao.example/rss"), permanent_url=url)


@pytest.mark.parametrize(
    ("changes", "level", "told"),
    [
        ({}, Level.OK, "1 entry; newest"),
        ({"candidates": (candidate(29), candidate(40))}, Level.OK, "2 entries"),
        ({"candidates": (candidate(31), candidate(40))}, Level.WARN, "seems to be abandoned"),
        ({"candidates": ()}, Level.WARN, "no entries"),
        ({"candidates": (), "further": True}, Level.OK, "and more pages"),
        ({"candidates": (), "notes": ("3 left out: no link",)}, Level.WARN, "no entries: 3 left out"),
        ({"page": moved("https://bao.example/feed")}, Level.WARN, 'set url = "https://bao.example/feed"'),
        ({"error": "no such name", "fault": "dns"}, Level.FAIL, "check the host name"),
        ({"error": "forbidden", "fault": "robots"}, Level.FAIL, "remove the source"),
        ({"error": "odd", "fault": "something new"}, Level.FAIL, "see the steps"),
    ],
)
def test_a_finding_follows_from_the_result_of_the_poll(changes: Mapping[str, object], level: Level, told: str) -> None:
    finding = check_source(result(**changes), now=START)

    assert finding.level is level
    assert told in f"{finding.detail} -> {finding.remedy}"


def test_a_finding_keeps_the_steps_of_the_fetch() -> None:
    step = Step(what="status", detail="200", url="https://bao.example/rss")

    record = check_source(result(steps=(step,)), now=START).as_record()

    assert record["steps"] == [{"what": "status", "detail": "200  (https://bao.example/rss)"}]


def test_hosts_that_do_not_answer_are_counted_and_the_check_fails_if_none_answers() -> None:
    good, lost = result(), result("khac.example", error="no such name", fault="dns")
    mute = result("cam.example", error="too slow", fault="timeout")

    some, none, unknown = check_hosts([good, lost, mute]), check_hosts([lost, mute]), check_hosts([lost])

    assert (some.level, some.detail) == (Level.WARN, "3 hosts asked, 1 answered, 1 name is not found")
    assert (none.level, none.remedy) == (Level.FAIL, "check the network")
    assert unknown.remedy.startswith("no name server answers")


@pytest.mark.parametrize(
    ("ahead", "age", "level"),
    [
        (timedelta(0), None, Level.OK),
        (timedelta(minutes=1), None, Level.OK),
        (timedelta(hours=-1), None, Level.WARN),
        (timedelta(hours=1), None, Level.WARN),
        (timedelta(hours=1), "3600", Level.OK),
    ],
)
def test_the_clock_is_compared_with_the_date_and_age_of_responses(
    ahead: timedelta, age: str | None, level: Level
) -> None:
    headers = {"date": format_datetime(START - ahead)} | ({"age": age} if age else {})
    answered = replace(page("https://bao.example/rss"), headers=headers)

    finding = check_clock([result(page=answered)])

    assert finding
    assert finding.level is level


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 01 Mar 2026 08:00:00"])
def test_a_server_without_a_valid_date_is_ignored(date: str) -> None:
    answered = replace(page("https://bao.example/rss"), headers={"date": date})

    assert check_clock([result(page=answered)]) is None


def test_an_unreadable_certificate_authority_fails(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")

    finding = check_tls(str(tmp_path / "ca.pem"))

    assert finding.level is Level.FAIL
    assert "ca.pem" in finding.detail
    assert check_tls("").level is Level.OK
