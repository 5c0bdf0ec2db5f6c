"""Cuts a feed of very many entries down to its newest ones before anything parses it, in one pass over its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = re.compile(
    rb"<(?:(!\[CDATA\[|!--)|(?:[\w.-]{1,20}:)?(?:"
    rb"(item|entry)(?=[\s/>])|(?:pubdate|published|issued|updated|modified|created|date)(?:\s[^<>]{0,200})?>([^<]{4,80})))",
    re.IGNORECASE,
)
_ENDS = {b"![CDATA[": b"]]>", b"!--": b"-->"}
_ISO = re.compile(rb"\s*(\d{4})-?(\d\d)-?(\d\d)(?:[T\s]+(\d\d):(\d\d)(?::(\d\d))?)?")
_MAIL = re.compile(rb"\D{0,12}(\d{1,2})[\s-]+([A-Za-z]{3})[a-z]*[\s-]+(\d{4})(?:\s+(\d\d):(\d\d)(?::(\d\d))?)?")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), start=1
    )
}
_CLOSED = re.compile(rb"</(?:[\w.-]{1,20}:)?(?:item|entry)\s*>", re.IGNORECASE)
_FEW_ENOUGH = 2
Moment = tuple[int, ...]
_UNDATED: Moment = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry begins, and when it says that it was written, read roughly: without its time zone."""

    start: int
    moment: Moment = _UNDATED


def thinned(body: bytes, *, keep: int) -> tuple[bytes, int]:
    """Return a feed with only its newest entries, and how many it had; one of few entries as it is.

    Undated entries count as the oldest, the first of them as newer than the rest. What stands before the first entry
    and behind the last one stays.
    """
    if body.count(b"<item") + body.count(b"<entry") <= _FEW_ENOUGH * keep and len(body) < keep * 1_000:
        return body, 0
    places = list(_places(body))
    if len(places) <= _FEW_ENOUGH * keep:
        return body, 0
    end = _end_of_last(body, places[-1].start)
    ends = [*(place.start for place in places[1:]), end]
    newest = sorted(range(len(places)), key=lambda number: (places[number].moment, -number), reverse=True)[:keep]
    kept = b"".join(body[places[number].start : ends[number]] for number in sorted(newest))
    return body[: places[0].start] + kept + body[end:], len(places)


def _end_of_last(body: bytes, start: int) -> int:
    closed = _CLOSED.search(body, start)
    if closed:
        return closed.end()
    tag = body.find(b">", start) + 1
    return tag or len(body)


def _places(body: bytes) -> Iterator[_Place]:
    """Yield the entries of a feed in the order they stand; what is quoted or commented out is passed over."""
    at, start, moment = 0, -1, _UNDATED
    while mark := _MARK.search(body, at):
        at = mark.end()
        quoted, entry, written = mark.groups()
        if quoted:
            end = body.find(_ENDS[quoted.upper()], at)
            if end < 0:
                break
            at = end
        elif entry:
            if start >= 0:
                yield _Place(start, moment)
            start, moment = mark.start(), _UNDATED
        elif start >= 0 and not moment:
            moment = _moment(written)
    if start >= 0:
        yield _Place(start, moment)


def _moment(written: bytes) -> Moment:
    if found := _ISO.match(written):
        return tuple(int(part or 0) for part in found.groups())
    if (found := _MAIL.match(written)) and (month := _MONTHS.get(found[2].lower())):
        return (int(found[3]), month, int(found[1]), *(int(part or 0) for part in found.groups()[3:]))
    return _UNDATED
