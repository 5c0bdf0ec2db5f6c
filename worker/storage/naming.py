"""What becomes of a known candidate that is named again: at another address, by another authority, or changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from worker.models import Authority, Candidate, State
from worker.schedule import pause
from worker.storage import addresses, contents
from worker.storage.addresses import ENDED, authority_of
from worker.storage.codec import clean
from worker.storage.events import add_event
from worker.storage.former import WITH_ARTICLE, remembered
from worker.storage.intake import Intake, candidate_row, description, lane_of
from worker.storage.rows import Values
from worker.storage.tables import ARTICLES, CANDIDATES
from worker.urls import same_site

_KEY_OF_ARTICLE = select(ARTICLES.c.canonical_url).where(ARTICLES.c.id == bindparam("article"))
_UPDATE = update(CANDIDATES).where(CANDIDATES.c.id == bindparam("candidate"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """A known candidate that is named again, and the addresses it has beside the one in its row, if they are asked."""

    row: Row[Any]
    named: Sequence[Candidate]
    seen: Sequence[Row[Any]] = ()

    def is_new(self) -> bool:
        """Return whether an address is named that was not seen, or that only strangers had named."""
        known = {self.row.url: Authority.PUBLISHER.value, **{each.url: each.authority for each in self.seen}}
        named = [(clean(each.url), each.authority) for each in self.named]
        return any(url not in known or (who.is_own and known[url] == Authority.STRANGER) for url, who in named)


def name_again(connection: Connection, naming: Naming, intake: Intake) -> Candidate | None:
    """Take in what is said of a known candidate; return the one it waits for now, None where nothing is to be done."""
    row, main = naming.row, first_of(naming.named)
    if main.payload is not None and not intake.again:
        return _bring(connection, naming, intake)
    if row.lease_token is None and (intake.again or _has_changed(row, main, now=intake.now)):
        _ask_again(connection, naming, main, intake)
        return main
    if main.payload is not None:
        return None  # it is being worked on in this moment
    own = main.authority.is_own and not authority_of(row).is_own
    if own and row.lease_token is not None and clean(main.url) == row.url:
        return None  # it is being tried in this moment: if it is named again, that is another try
    if not own and not naming.is_new():
        return None
    seen = naming.seen or (addresses.all_of(connection, row.id) if own else ())
    fresh = addresses.add(connection, row, naming.named, seen, now=intake.now)
    word = _Word(row=row, said=main, takes_over=own, fresh=first_of(fresh) if fresh else None)
    return _take_word(connection, word, intake)


def _ask_again(connection: Connection, naming: Naming, main: Candidate, intake: Intake) -> None:
    addresses.add(connection, naming.row, naming.named, naming.seen, now=intake.now)
    addresses.reopen(connection, naming.row.id, main, now=intake.now)
    _queue_again(connection, naming.row, main, intake)


def _bring(connection: Connection, naming: Naming, intake: Intake) -> Candidate | None:
    """Take in contents of a known candidate: the first at once, unless another is in hand, the others in their turn."""
    row = naming.row
    brought = contents.new_among(connection, row, naming.named)
    if not brought:
        return None
    free = row.lease_token is None and not (row.state == State.PENDING and row.lane is None)
    first, later = (brought[:1], brought[1:]) if free else ([], brought)
    if later or any(clean(each.reference) != row.reference for each in first):
        contents.keep_beside(connection, row)
        contents.keep(connection, row.id, first, waiting=False, now=intake.now)
        contents.keep(connection, row.id, later, waiting=True, now=intake.now)
    if not first:
        return None
    _ask_again(connection, replace(naming, named=first), first[0], intake)
    return first[0]


def first_of(named: Sequence[Candidate]) -> Candidate:
    """Return what to begin with of several addresses of one article: the publisher's own word, then the first."""
    return min(named, key=lambda each: not each.authority.is_own)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What was said of a known candidate.

    It `takes_over` where its site names it for the first time; `fresh` is an address that nobody had named.
    """

    row: Row[Any]
    said: Candidate
    takes_over: bool
    fresh: Candidate | None

    @property
    def next(self) -> Candidate | None:
        """The address to turn to: the publisher's, where it is new or takes over from a stranger's."""
        if self.takes_over:
            return self.fresh if self.fresh and self.fresh.authority.is_own else self.said
        return self.fresh


def _take_word(connection: Connection, word: _Word, intake: Intake) -> Candidate | None:
    row, target = word.row, word.next
    values: Values = {}
    if word.takes_over:
        values = _own_word(connection, word, intake)
    turns = target is not None and row.lease_token is None and _turns(connection, word, target)
    if target is not None and turns:
        whose = target.authority if target.authority.is_own else authority_of(row)
        values |= turned(target.url, whose, now=intake.now)
        former = row.former if row.state == State.PENDING else remembered(row)
        values |= {"former": former, "precedence": min(row.precedence, intake.precedence), "look_at": None}
        detail = f"another address: {target.url}, named by {target.reference}"
        add_event(connection, row.id, at=intake.now, what="queued", detail=detail)
    if values:
        connection.execute(_UPDATE.values(**values), {"candidate": row.id})
    return target if turns else None


def _own_word(connection: Connection, word: _Word, intake: Intake) -> Values:
    """Let what its own site says of a candidate stand in the place of what others said, and tell its history."""
    said, before = word.said, word.row.reference
    detail = f"by its own site: {said.reference}; until now only by {before}"
    add_event(connection, word.row.id, at=intake.now, what="named", detail=detail)
    return {**description(said), "source": clean(said.source), "authority": said.authority.value}


def _turns(connection: Connection, word: _Word, target: Candidate) -> bool:
    """Tell whether a candidate is to be tried at an address, now rather than after what it waits for."""
    row, own = word.row, target.authority.is_own
    if row.state == State.PENDING:
        # What lies here already is worked on first; a try that failed may pass, but the publisher's word is better.
        waits_in_vain = row.attempts > 0 and (own or not authority_of(row).is_own)
        return row.lane is not None and (word.takes_over or waits_in_vain)
    if row.state in ENDED:
        return True
    if not own or row.state not in WITH_ARTICLE:
        return False
    # What a stranger's address gave may be any page of the site.
    is_better = word.takes_over and row.lane is not None and clean(target.url) != row.url
    return is_better or _is_from_elsewhere(connection, row)


def _is_from_elsewhere(connection: Connection, row: Row[Any]) -> bool:
    key = connection.execute(_KEY_OF_ARTICLE, {"article": row.article_id}).scalar()
    return key is not None and not same_site(key, row.canonical_url)


def turned(url: str, authority: Authority, *, now: datetime) -> Values:
    """Return what of a candidate changes when it is to be tried at another address, from the beginning."""
    host = lane_of(url)
    return {
        "url": clean(url),
        "host": host,
        "lane": host,
        "authority": authority.value,
        "state": State.PENDING,
        "reason": "",
        "detail": "",
        "due_at": now,
        "attempts": 0,
        "etag": None,
        "last_modified": None,
    }


def _has_changed(row: Row[Any], candidate: Candidate, *, now: datetime) -> bool:
    """Tell whether a known page is announced to be another one; who has cried wolf is believed later each time."""
    if row.state == State.PENDING or row.modified_at is None or candidate.modified_at is None:
        return False
    return bool(row.modified_at < candidate.modified_at and row.due_at + pause(row.looks) <= now)


def _queue_again(connection: Connection, row: Row[Any], candidate: Candidate, intake: Intake) -> None:
    values = candidate_row(candidate, intake)
    for fixed in ("canonical_url", "discovered_at", "source", "reference", "batch"):
        del values[fixed]
    afresh = {"attempts": 0, "reason": "", "detail": "", "look_at": None}
    former = "" if intake.again else remembered(row)
    connection.execute(_UPDATE.values(**values, **afresh, former=former), {"candidate": row.id})
    why = "asked for again" if intake.again else "changed"
    add_event(connection, row.id, at=intake.now, what="queued", detail=f"{why}: {candidate.reference}")
