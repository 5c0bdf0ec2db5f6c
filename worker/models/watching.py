"""What a running worker tells of itself: is it well, and in figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from worker.models.kinds import State
from worker.models.sources import Source, SourceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether work gets on; `reason` says for people why not, `figures` what it was told from."""

    ok: bool
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
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
class Latest:
    """One text that came in lately; its title and address are as somebody else wrote them."""

    id: int
    title: str
    url: str
    source: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
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
    sources: tuple[SourceFigures, ...] = ()
    recent: Mapping[timedelta, Mapping[str, int]] = field(default_factory=dict)
    latest: tuple[Latest, ...] = ()
    rejected: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def under(self, configured: Iterable[Source]) -> Figures:
        """Return these figures with the sources paused that are not polled: not enabled, or configured no longer."""
        polled = {source.name for source in configured if source.enabled}
        told = tuple(replace(each, paused=each.name not in polled) for each in self.sources)
        return replace(self, sources=told)
