"""When an article is rechecked, and the outcome of a failed recheck."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker.models import Claim, Outcome, State
from worker.schedule.retry import keep_former_outcome, next_recheck, recheck_pause

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AGES = (6 * HOUR, 2 * DAY)
STORED = Outcome(state=State.STORED, reason="unique", detail="like no other")


def claim(
    *,
    found: datetime = NOW,
    published: datetime | None = None,
    former: Outcome | None = None,
    by_age: bool = False,
) -> Claim:
    return Claim(
        id=1,
        url="https://bao.example/1",
        canonical_url="https://bao.example/1",
        source="bao",
        host="bao.example",
        attempts=1,
        lease_until=NOW,
        token="t",
        published_at=published,
        discovered_at=found,
        known_article=7,
        previous_outcome=former,
        is_scheduled_recheck=by_age,
    )


@pytest.mark.parametrize(
    ("found", "published", "expected"),
    [
        (NOW, None, NOW + 6 * HOUR),
        (NOW, NOW - HOUR, NOW + 5 * HOUR),
        (NOW, NOW - 7 * HOUR, NOW + 2 * DAY - 7 * HOUR),
        (NOW, NOW - 400 * DAY, NOW + 6 * HOUR),
        (NOW, NOW + 9 * HOUR, NOW + 6 * HOUR),
        (NOW - 6 * HOUR, None, NOW + 2 * DAY - 6 * HOUR),
        (NOW - 3 * DAY, None, None),
    ],
)
def test_the_next_recheck_is_at_the_next_age_since_publication_or_discovery(
    found: datetime, published: datetime | None, expected: datetime | None
) -> None:
    assert next_recheck(AGES, claim(found=found, published=published), now=NOW) == expected


def test_without_ages_nothing_is_rechecked() -> None:
    assert next_recheck((), claim(), now=NOW) is None


def test_the_pause_grows_with_each_recheck_without_a_change() -> None:
    pauses = [recheck_pause(looks) for looks in (0, 1, 2, 3, 9, 10, 1000)]

    assert pauses[:4] == [timedelta(0), HOUR, 2 * HOUR, 4 * HOUR]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30 * DAY


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED, State.BLOCKED])
def test_a_failed_recheck_keeps_the_former_outcome(state: State) -> None:
    found = keep_former_outcome(claim(former=STORED), Outcome(state=state, reason="gone", detail="404"))

    assert found == Outcome(
        state=State.STORED,
        reason="unique",
        detail="recheck failed: gone: 404",
        article=7,
        is_failed_recheck=True,
    )


def test_a_recheck_for_a_change_is_retried_and_one_by_age_is_not() -> None:
    later = Outcome(state=State.PENDING, reason="timeout", retry_at=NOW + HOUR)

    assert keep_former_outcome(claim(former=STORED), later) is later
    assert keep_former_outcome(claim(former=STORED, by_age=True), later).state is State.STORED


def test_a_first_attempt_keeps_its_own_outcome() -> None:
    failed = Outcome(state=State.FAILED, reason="gone")

    assert keep_former_outcome(claim(), failed) is failed


@pytest.mark.parametrize("state", [State.UNCHANGED, State.REVISED, State.STORED])
def test_a_successful_recheck_keeps_its_own_outcome(state: State) -> None:
    outcome = Outcome(state=state)

    assert keep_former_outcome(claim(former=STORED, by_age=True), outcome) is outcome
