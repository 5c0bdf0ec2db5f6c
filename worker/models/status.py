"""What a running worker tells of itself: is it well, and in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from worker.models.enums import State
from worker.models.sources import Source, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether work gets on; `reason` says for people why not, `figures` what it was told from."""

    ok: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStats:
    """One source: what is remembered of its polls, what became of its candidates, and its newest text.

    `paused` says that the configuration keeps it from being polled: nothing about its polls is a trouble then.
    """

    name: str
    state: SourceState
    counts: Mapping[State, int] = field(default_factory=dict)
    newest_at: datetime | None = None
    paused: bool = False

    @property
    def known(self) -> int:
        """How many candidates it has brought."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentArticle:
    """One text that came in lately; its title and address are as somebody else wrote them."""

    id: int
    title: str
    url: str
    source: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What a worker and its store look like at one moment.

    `due` counts the pending candidates that could be claimed now, `in_hand` those that are being worked on, `texts`
    what `export` would write, `articles` every text a worker brought, `seeds` those that were there before. `recent`
    says by span how many candidates came to which end in it; `rejected`, where it was asked for, by reason how many
    pages gave no article and how many of them are kept. `size` is in bytes; None where nobody knows.
    """

    at: datetime
    pending: int
    due: int
    in_hand: int = 0
    counts: Mapping[State, int] = field(default_factory=dict)
    texts: int = 0
    articles: int = 0
    seeds: int = 0
    size: int | None = None
    sources: tuple[SourceStats, ...] = ()
    recent: Mapping[timedelta, Mapping[str, int]] = field(default_factory=dict)
    latest: tuple[RecentArticle, ...] = ()
    rejected: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def under(self, configured: Iterable[Source]) -> StoreStats:
        """Return these figures with the sources paused that are not polled: not enabled, or configured no longer."""
        polled = {source.name for source in configured if source.enabled}
        told = tuple(replace(each, paused=each.name not in polled) for each in self.sources)
        return replace(self, sources=told)


# What is wrong with a source, in sentences for people, each with since when.


GAP_SHOWN_FOR: Final = timedelta(days=7)
"""How long a gap between two polls counts as trouble."""


def source_warnings(source: SourceStats, *, now: datetime, moment: Callable[[datetime], str]) -> list[str]:
    """Return failed polls, gaps of late and drift; nothing for a source that is well or paused.

    `moment` writes a time.
    """
    if source.paused:
        return []
    state, learned = source.state, source.state.learned
    found = []
    if state.error:
        since = learned.failing_since or state.succeeded_at
        when = f"since {moment(since)}" if since else "from the first poll on"
        found.append(f"{_counted(state.failures, 'failed poll')} {when}: {state.error}")
    if learned.gap_at and now - learned.gap_at < GAP_SHOWN_FOR:
        gaps = _counted(learned.gaps, "gap")
        found.append(f"{gaps}, the last at {moment(learned.gap_at)}: items may have been missed")
    return found + [f"{alarm.what} since {moment(alarm.since)}: {alarm.detail}" for alarm in learned.alarms]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
