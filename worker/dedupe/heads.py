"""Decides which of two texts of one cluster is exported, its head, and says why in words.

In this order: a person's word, a seed, the publisher's newest version, the fuller text by what it adds, and among
copies what `keep` says. A stored head of another publisher gives way to evidence alone, never to what a newcomer says
of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from worker.dedupe.additions import Addition
from worker.errors import SourceError
from worker.models import Article, Kind, Neighbour, Relation, came_out
from worker.urls import site_of

Keep = Literal["earliest", "first", "longest"]

JOINING: Final = frozenset({Relation.COPY, Relation.CONTAINED, Relation.CONTAINS, Relation.REVISION})
"""Relations that make two texts members of one cluster."""

_OPERATOR: Final = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """What of a text counts for being the head: whose it is, when it came, and how long it is."""

    publisher: str
    is_seed: bool
    length: int
    published_at: datetime | None
    published_at_from: str
    fetched_at: datetime

    @property
    def came_out(self) -> datetime:
        """When the text came out: its publication, or where that is unknown, a guess or impossible, its fetching."""
        return came_out(self.published_at, self.published_at_from, fetched_at=self.fetched_at)

    @property
    def known_since(self) -> datetime:
        """Since when the text is known by other evidence than its own publisher's word."""
        return self.came_out if self.published_at_from == _OPERATOR else self.fetched_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whether a newcomer becomes the head of the cluster it joins, and why it does or does not."""

    newcomer: bool
    reason: str


def contender(text: Article | Neighbour) -> Contender:
    """Return what of a text counts for being the head."""
    return Contender(
        publisher=publisher_of(text.host),
        is_seed=text.kind is Kind.SEED,
        length=len(text.text),
        published_at=text.published_at,
        published_at_from=text.published_at_from,
        fetched_at=text.fetched_at,
    )


def publisher_of(host: str) -> str:
    """Return whose host it is: its site; empty for what came from no host, a local file."""
    try:
        return site_of(f"https://{host}/") if host else ""
    except SourceError:
        return host


def choose(
    newcomer: Contender,
    head: Contender,
    relation: Relation,
    *,
    keep: Keep,
    adds: Callable[[], Addition],
    original: str = "",
    reworded: bool = False,
) -> Choice:
    """Say whether a newcomer takes the place of the head of the cluster that it joins by its relation to it.

    `adds` measures what the newcomer says beside the head; it is called only where that counts. `original` is
    `newcomer` or `stored` where a person said which of the two is the original; `reworded` says that two copies differ
    in their words.
    """
    if original:
        return Choice(newcomer=original == "newcomer", reason="a person said that it is the original")
    if newcomer.is_seed != head.is_seed:
        return Choice(newcomer=newcomer.is_seed, reason="a seed comes before what is fetched")
    own = newcomer.publisher == head.publisher
    if relation is Relation.REVISION:
        return _newest(newcomer, head)
    if relation is Relation.CONTAINED:
        return Choice(newcomer=False, reason="it has all of the other and more")
    if relation is Relation.CONTAINS:
        return Choice(newcomer=True, reason="the publisher's fuller text") if own else _fuller(adds())
    if own and reworded and newcomer.came_out < head.came_out:
        return Choice(newcomer=False, reason="a newer version by the same publisher")
    return _among_copies(newcomer, head, keep, own=own, adds=adds)


def _newest(newcomer: Contender, head: Contender) -> Choice:
    if newcomer.fetched_at < head.fetched_at:
        return Choice(newcomer=False, reason="a newer version by the same publisher")
    return Choice(newcomer=True, reason="the publisher's newest version")


def _fuller(added: Addition) -> Choice:
    if refusal := added.foreign or added.missing:
        return Choice(newcomer=False, reason=f"another publisher's longer text does not replace it: {refusal}")
    return Choice(newcomer=True, reason=f"the fuller text: {added.words} words more of the story")


def _among_copies(
    newcomer: Contender, head: Contender, keep: Keep, *, own: bool, adds: Callable[[], Addition]
) -> Choice:
    if keep == "longest":
        if newcomer.length <= head.length:
            return Choice(newcomer=False, reason="the longest of the copies")
        if not own and (foreign := adds().foreign):
            return Choice(newcomer=False, reason=f"another publisher's longer copy does not replace it: {foreign}")
        return Choice(newcomer=True, reason="the longest of the copies")
    if keep == "first":
        return Choice(newcomer=newcomer.fetched_at < head.fetched_at, reason="the copy that was fetched first")
    if (newcomer.came_out if own else newcomer.known_since) < head.came_out:
        return Choice(newcomer=True, reason="the copy that came out first")
    if newcomer.came_out < head.came_out:
        claim = "only its own publisher says that the other came out earlier"
        return Choice(newcomer=False, reason=f"the stored copy stays: {claim}")
    return Choice(newcomer=False, reason="the copy that came out first")
