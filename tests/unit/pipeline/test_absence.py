"""A time in which a source was not polled does not count as a silence of the source."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes import START
from worker.errors import FetchError
from worker.models import PublishingStats, Source, SourceState, Validators
from worker.models.sources import PollHistory
from worker.pipeline.poll_result import PollContext, PollProgress, poll_of_failure, poll_of_success
from worker.schedule.poll_interval import IntervalPolicy

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SOURCE = Source(name="bao", kind="feed", url="https://bao.example/rss")
RHYTHM = IntervalPolicy(every=HOUR, min_every=HOUR / 12, max_every=HOUR * 12, jitter=0.0)
BUSY = PublishingStats(
    looked_at=START,
    items=(1.0,) * 24,
    hours=(5.0,) * 24,
    window=30,
    new_at=START,
    silence=timedelta(hours=8),
    arrivals=100,
)


def state() -> SourceState:
    learned = PollHistory(publishing_stats=BUSY, entries=(1,))
    return SourceState(name="bao", polled_at=START, succeeded_at=START, due_at=START + HOUR, found=30, learned=learned)


@pytest.mark.parametrize(("away", "warned"), [(1.5 * DAY, ["silence"]), (3 * DAY, []), (30 * DAY, [])])
@pytest.mark.parametrize("fails", [False, True])
def test_after_a_pause_the_first_poll_warns_of_no_silence(away: timedelta, warned: list[str], *, fails: bool) -> None:
    context = PollContext(now=START + away, policy=RHYTHM, chance=0.0)
    if fails:
        poll = poll_of_failure(SOURCE, state(), FetchError("no answer", reason="timeout", retry=True), context=context)
    else:
        count = PollProgress(found=30)
        poll = poll_of_success(SOURCE, state(), count, context=context, validators=Validators(), unchanged=False)

    assert [alarm.what for alarm in poll.learned.alarms] == warned


def test_what_comes_after_a_pause_is_not_learned_as_the_longest_silence() -> None:
    context = PollContext(now=START + 30 * DAY, policy=RHYTHM, chance=0.0)
    count = PollProgress(found=30, new=30)

    poll = poll_of_success(SOURCE, state(), count, context=context, validators=Validators(), unchanged=False)

    assert poll.learned.publishing_stats.silence < DAY
    assert poll.learned.publishing_stats.new_at == context.now
