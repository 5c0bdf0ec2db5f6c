"""A source that has changed raises a warning with figures, and a steady one never does."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tests.fakes import article
from worker.models import Alarm, OutcomeStats, PublishingStats, State
from worker.schedule.drift import PageOutcome, add_outcome, drift_alarms, useful_share

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PLAIN = article("chữ")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The pages of a simulated source: shares, and the mean and spread of the logarithm of lengths."""

    rejected: float = 0.05
    repeated: float = 0.05
    signed: float = 0.9
    dated: float = 0.95
    titled: float = 1.0
    foreign: float = 0.02
    length: float = 6.0
    spread: float = 0.5
    age: timedelta = timedelta(hours=2)


STEADY = [
    Kind(),
    Kind(rejected=0.5, repeated=0.5),
    Kind(signed=0.5, dated=0.5, titled=0.5),
    Kind(signed=0.0, dated=0.0),
    Kind(foreign=0.5),
    Kind(length=4.5, spread=1.0),
    Kind(spread=0.02),
]
RELAUNCHED = {
    "rejected": Kind(rejected=0.95),
    "length": Kind(length=4.0),
    "authors": Kind(signed=0.0),
    "undated": Kind(dated=0.0),
    "titles": Kind(titled=0.0),
    "language": Kind(foreign=0.9),
    "dates": Kind(age=400 * DAY),
    "useless": Kind(repeated=0.95),
}


class Paper:
    """A source whose page outcomes are added one by one; each warning is recorded with the number of the page."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.harvest = OutcomeStats()
        self.known: tuple[Alarm, ...] = ()

    def publish(self, pages: int, kind: Kind) -> set[str]:
        """Take in so many pages, and return what was warned of on the way."""
        raised: set[str] = set()
        for _ in range(pages):
            self.harvest = add_outcome(self.harvest, self.page(kind))
            self.known = drift_alarms(self.harvest, PublishingStats(), known=self.known, now=NOW)
            raised |= {alarm.what for alarm in self.known}
        return raised

    def page(self, kind: Kind) -> PageOutcome:
        chance = self.random.random
        if chance() < kind.rejected:
            return PageOutcome(state=State.REJECTED, useful=False)
        found = replace(
            PLAIN,
            words=round(math.exp(self.random.gauss(kind.length, kind.spread))),
            title="Tin" if chance() < kind.titled else "",
            authors=("A",) if chance() < kind.signed else (),
            published_at=NOW - kind.age if chance() < kind.dated else None,
            language="en" if chance() < kind.foreign else "vi",
            fetched_at=NOW,
        )
        return PageOutcome(state=State.STORED, useful=chance() >= kind.repeated, article=found)


@pytest.mark.parametrize("kind", STEADY)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_steady_source_raises_no_false_alarm(kind: Kind, seed: int) -> None:
    assert Paper(seed).publish(1500, kind) == set()


@pytest.mark.parametrize("what", sorted(RELAUNCHED))
def test_a_changed_source_gets_a_warning_within_twenty_pages(what: str) -> None:
    paper = Paper(3)
    before = paper.publish(200, Kind())

    after = paper.publish(20, RELAUNCHED[what])

    assert before == set()
    assert what in after


def test_a_warning_says_both_figures_and_since_when() -> None:
    paper = Paper(4)
    paper.publish(200, Kind(signed=1.0))
    paper.publish(30, Kind(signed=0.0))
    (first,) = paper.known

    (later,) = drift_alarms(
        add_outcome(paper.harvest, paper.page(Kind(signed=0.0))), PublishingStats(), known=(first,), now=NOW + DAY
    )

    assert re.fullmatch(r"articles without an author: \d+% lately, \d+% before", later.detail)
    assert (first.since, later.since) == (NOW, NOW)


def test_a_warning_ends_when_the_source_is_again_what_it_was() -> None:
    paper = Paper(5)
    paper.publish(200, Kind())
    paper.publish(30, Kind(rejected=0.95))

    paper.publish(150, Kind())

    assert paper.known == ()


def test_a_new_source_is_not_judged_by_its_first_pages() -> None:
    paper = Paper(6)

    first = paper.publish(15, Kind(signed=1.0)) | paper.publish(15, Kind(signed=0.0))

    assert first == set()


def test_the_useful_share_is_that_of_pages_new_to_the_corpus_once_there_are_enough() -> None:
    new, honest, liar = Paper(7), Paper(7), Paper(7)
    new.publish(3, Kind(repeated=1.0))
    honest.publish(100, Kind(rejected=0.0, repeated=0.0))
    liar.publish(100, Kind(rejected=0.0, repeated=1.0))

    assert [useful_share(paper.harvest) for paper in (new, honest, liar)] == [1.0, pytest.approx(1.0), 0.0]


def test_a_good_source_keeps_its_useful_share_through_a_relaunch_but_not_forever() -> None:
    paper = Paper(8)
    paper.publish(400, Kind(rejected=0.0, repeated=0.0))

    paper.publish(100, Kind(rejected=1.0))
    after_days = useful_share(paper.harvest)
    paper.publish(2000, Kind(rejected=1.0))

    assert after_days > 0.5
    assert useful_share(paper.harvest) < 0.1


WONT = PublishingStats(new_at=NOW, silence=6 * timedelta(hours=1), arrivals=100, window=30)


@pytest.mark.parametrize(
    ("habits", "silent_for", "expected"),
    [
        (WONT, 23 * timedelta(hours=1), []),
        (WONT, 25 * timedelta(hours=1), ["silence"]),
        (replace(WONT, silence=3 * DAY), 11 * DAY, []),
        (replace(WONT, silence=3 * DAY), 13 * DAY, ["silence"]),
        (replace(WONT, arrivals=5), 300 * DAY, []),
        (replace(WONT, empty=2), timedelta(0), []),
        (replace(WONT, empty=3), timedelta(0), ["empty"]),
        (replace(WONT, empty=3, arrivals=0), timedelta(0), []),
        (PublishingStats(), timedelta(0), []),
    ],
)
def test_silence_is_measured_against_the_sources_own(
    habits: PublishingStats, silent_for: timedelta, expected: list[str]
) -> None:
    found = drift_alarms(OutcomeStats(), habits, known=(), now=NOW + silent_for)

    assert [alarm.what for alarm in found] == expected


def test_a_silence_is_given_in_days() -> None:
    (alarm,) = drift_alarms(OutcomeStats(), replace(WONT, silence=DAY), known=(), now=NOW + 9.5 * DAY)

    assert alarm.detail == "nothing new for 9.5 days; its longest silence was 1.0 days"
