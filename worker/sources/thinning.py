"""Cuts the newest entries out of a feed of very many before anything parses it, in one pass over its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_ENTRY = (b"item", b"entry")
Moment = tuple[int, ...]
_UNDATED: Moment = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """A feed with only its newest entries, how many it had (zero where nobody counted), and the feed of the others.

    `rest` is empty where there are none.
    """

    body: bytes
    entries: int = 0
    rest: bytes = b""


def thinned(body: bytes, *, keep: int) -> Thinned:
    """Cut the newest entries out of a feed; one of few entries stays as it is.

    Undated entries count as the oldest, those at either end of the feed as newer than those between: nobody says at
    which end new ones are added. What stands before the first entry and behind the last one stays, with both parts.
    """
    lower = body.lower()
    if sum(lower.count(name) for name in _ENTRY) <= keep:
        return Thinned(body=body)
    starts, moments = _entries(body)
    if len(starts) <= keep:
        return Thinned(body=body)
    end = _end_of_last(body, starts[-1])
    ends = [*starts[1:], end]
    last = len(starts) - 1
    by_age = sorted(range(len(starts)), key=lambda number: (moments[number], -min(number, last - number)), reverse=True)

    def only(numbers: Iterable[int]) -> bytes:
        return body[: starts[0]] + b"".join(body[starts[n] : ends[n]] for n in sorted(numbers)) + body[end:]

    return Thinned(body=only(by_age[:keep]), entries=len(starts), rest=only(by_age[keep:]))


def _end_of_last(body: bytes, start: int) -> int:
    closed = _CLOSED.search(body, start)
    if closed:
        return closed.end()
    tag = body.find(b">", start) + 1
    return tag or len(body)


def _entries(body: bytes) -> tuple[list[int], list[Moment]]:
    """Return where the entries of a feed begin, and when each says, roughly and without its zone, that it was written.

    What is quoted or commented out is passed over. Two lists rather than one of pairs: there may be very many.
    """
    starts: list[int] = []
    moments: list[Moment] = []
    quoted_until = 0
    for mark in _MARK.finditer(body):
        start = mark.start()
        if start < quoted_until:
            continue
        quoted, entry, written = mark.groups()
        if entry:
            starts.append(start)
            moments.append(_UNDATED)
        elif quoted:
            quoted_until = body.find(_ENDS[quoted.upper()], mark.end())
            if quoted_until < 0:
                break
        elif moments and not moments[-1]:
            moments[-1] = _moment(written)
    return starts, moments


def _moment(written: bytes) -> Moment:
    if found := _ISO.match(written):
        return tuple(int(part or 0) for part in found.groups())
    if (found := _MAIL.match(written)) and (month := _MONTHS.get(found[2].lower())):
        return (int(found[3]), month, int(found[1]), *(int(part or 0) for part in found.groups()[3:]))
    return _UNDATED
