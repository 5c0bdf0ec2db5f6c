"""Cuts huge or hostile feeds down to what is needed of their newest entries, in one streaming pass."""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from lxml import etree

from worker.dates.parsing import read_date
from worker.sources.feed.full_text import TextBudget
from worker.sources.markup import UTF8_DECLARATION, escape_document, refuse_hostile_markup
from worker.urls.syntax import MAX_LENGTH

# Cuts the newest entries out of a feed of very many before anything parses it, in one pass over its bytes.


_ENTRY_OR_DATE = re.compile(
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
DateParts = tuple[int, ...]
_NO_DATE: DateParts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinnedFeed:
    """A feed with only its newest entries, how many it had (zero where nobody counted), and the feed of the others.

    `rest` is empty where there are none.
    """

    body: bytes
    entries: int = 0
    rest: bytes = b""


def newest_entries(body: bytes, *, keep: int) -> ThinnedFeed:
    """Cut the newest entries out of a feed; one of few entries stays as it is.

    Undated entries count as the oldest, those at either end of the feed as newer than those between: nobody says at
    which end new ones are added. What stands before the first entry and behind the last one stays, with both parts.
    """
    lower = body.lower()
    if sum(lower.count(name) for name in _ENTRY) <= keep:
        return ThinnedFeed(body=body)
    starts, dates = _find_entries(body)
    if len(starts) <= keep:
        return ThinnedFeed(body=body)
    end = _end_of_last(body, starts[-1])
    ends = [*starts[1:], end]
    last = len(starts) - 1
    by_age = sorted(range(len(starts)), key=lambda number: (dates[number], -min(number, last - number)), reverse=True)

    def only(numbers: Iterable[int]) -> bytes:
        return body[: starts[0]] + b"".join(body[starts[n] : ends[n]] for n in sorted(numbers)) + body[end:]

    return ThinnedFeed(body=only(by_age[:keep]), entries=len(starts), rest=only(by_age[keep:]))


def _end_of_last(body: bytes, start: int) -> int:
    closed = _CLOSED.search(body, start)
    if closed:
        return closed.end()
    tag = body.find(b">", start) + 1
    return tag or len(body)


def _find_entries(body: bytes) -> tuple[list[int], list[DateParts]]:
    """Return where the entries of a feed begin, and when each says, roughly and without its zone, that it was written.

    What is quoted or commented out is passed over. Two lists rather than one of pairs: there may be very many.
    """
    starts: list[int] = []
    dates: list[DateParts] = []
    quoted_until = 0
    for mark in _ENTRY_OR_DATE.finditer(body):
        start = mark.start()
        if start < quoted_until:
            continue
        quoted, entry, written = mark.groups()
        if entry:
            starts.append(start)
            dates.append(_NO_DATE)
        elif quoted:
            quoted_until = body.find(_ENDS[quoted.upper()], mark.end())
            if quoted_until < 0:
                break
        elif dates and not dates[-1]:
            dates[-1] = _date_parts(written)
    return starts, dates


def _date_parts(written: bytes) -> DateParts:
    if found := _ISO.match(written):
        return tuple(int(part or 0) for part in found.groups())
    if (found := _MAIL.match(written)) and (month := _MONTHS.get(found[2].lower())):
        return (int(found[3]), month, int(found[1]), *(int(part or 0) for part in found.groups()[3:]))
    return _NO_DATE


MAX_ENTRIES = 2_500
"""So many entries are read at a time, in less than two seconds: of a longer feed the newest, then of those left."""
_SAFE_BYTES = 100_000
_MAX_FIELD = 1500
_MAX_FIELDS = 12
_MAX_UNCLOSED = 500
_MAX_PIECES = 1000
_MAX_COUNT = 300_000
_DOCTYPE_START = re.compile(r"<!doctype", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype[^>\[]{0,1000}(?:\[.*?\]\s{0,100})?>", re.IGNORECASE | re.DOTALL)
# feedparser looks for an e-mail address in every author, in time quadratic in the longest run of such characters.
_LONG_RUN = re.compile(rb"[\w.+-]{1000}")
_ENTRIES = frozenset({"item", "entry"})
_ENTRY_TAGS = ["{*}item", "{*}entry", "{*}ITEM", "{*}Item", "{*}ENTRY", "{*}Entry"]
_NEEDED = frozenset(
    [
        "title",
        "link",
        "guid",
        "id",
        "pubdate",
        "published",
        "issued",
        "updated",
        "modified",
        "created",
        "date",
        "origlink",
    ]
)
_URL_FIELDS = frozenset({"link", "guid", "id", "origlink"})
_DATES = ("pubdate", "published", "issued", "date", "updated", "modified", "created")
_MARK = "ENTRIES-STAND-HERE"
_HARMLESS_ENTITY = re.compile(r"<!ENTITY\s{1,20}([a-zA-Z]\w{0,30})\s{1,20}\"([^\"&<%]{0,64})\"\s{0,20}>")
_MAX_ENTITIES = 100
_START_TAG = re.compile(rb"<[a-zA-Z][^<>]{0,2000}>")
_FIRST_TAG = re.compile(r"<[a-zA-Z]")
_HEAD = 65_536
_UNDATED = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SanitisedFeed:
    """A feed cut down; `entries` is how many it had, zero where nobody counted; `rest` is the feed of those cut off."""

    body: bytes
    entries: int = 0
    rest: bytes = b""


@dataclass(frozen=True, slots=True, order=True)
class _HeapEntry:
    """One entry on the heap: the oldest falls out first, of undated ones the last."""

    date: datetime
    order: int
    xml: bytes


def sanitise_feed(body: bytes) -> SanitisedFeed:
    """Return a feed that is safe to parse: as it is where it is small and plain, else cut down.

    Raises SourceError for a tag without an end, and for thousands of broken ones.
    """
    newest = newest_entries(body, keep=MAX_ENTRIES)
    refuse_hostile_markup(newest.body)
    cut = reduce_feed(newest.body) if _is_risky(newest.body) else SanitisedFeed(body=newest.body)
    return replace(cut, rest=newest.rest)


def _is_risky(body: bytes) -> bool:
    deep = body.count(b"<") - 2 * body.count(b"</") - body.count(b"/>") > _MAX_UNCLOSED
    return deep or len(body) > _SAFE_BYTES or b"<!ENTITY" in body or _LONG_RUN.search(body) is not None


def reduce_feed(body: bytes) -> SanitisedFeed:
    """Return a feed with the newest entries only and of these only links, titles, ids and dates.

    Document types go first, and with them every entity somebody declared.
    """
    body = _without_doctype(body)
    heap: list[_HeapEntry] = []
    skeleton: _Skeleton | None = None
    count = 0
    budget = TextBudget()
    for entry in islice(_stream(body), _MAX_COUNT):
        skeleton = skeleton or _Skeleton(entry)
        count += 1
        date = _date_of(entry)
        if len(heap) < MAX_ENTRIES:
            heapq.heappush(heap, _heap_entry(entry, date, count, budget))
        elif date > heap[0].date:
            heapq.heapreplace(heap, _heap_entry(entry, date, count, budget))
    if skeleton is None:
        return SanitisedFeed(body=_root_alone(body))
    entries = (kept.xml for kept in sorted(heap, key=lambda kept: -kept.order))
    return SanitisedFeed(body=skeleton.filled_with(entries), entries=count)


def _root_alone(body: bytes) -> bytes:
    root = _START_TAG.search(body, 0, _HEAD)
    return UTF8_DECLARATION + root[0].rstrip(b"/>") + b"/>" if root else b""


def _heap_entry(entry: etree._Element, date: datetime, count: int, budget: TextBudget) -> _HeapEntry:
    return _HeapEntry(date=date, order=-count, xml=_as_bytes(_reduced(entry, budget)))


def _without_doctype(body: bytes) -> bytes:
    """Return a feed without its document type, its ampersands mended; short plain entities it declares are written out.

    One in EBCDIC stays as it is.
    """
    if not body.startswith(UTF8_DECLARATION):
        return body
    text = body.decode("utf-8", "replace")
    start, first = _DOCTYPE_START.search(text, 0, _HEAD), _FIRST_TAG.search(text, 0, _HEAD)
    doctype = _DOCTYPE.match(text, start.start(), _HEAD) if start else None
    if doctype is None or (first and first.start() < doctype.start()):
        return escape_document(text).encode()
    own = dict(_HARMLESS_ENTITY.findall(doctype[0])[:_MAX_ENTITIES])
    return escape_document(text[: doctype.start()] + text[doctype.end() :], own=own).encode()


class _Skeleton:
    """What stands around the entries: the root, and the title and link of the feed itself."""

    def __init__(self, entry: etree._Element) -> None:
        root = entry.getroottree().getroot()
        channel = next((outer for outer in root.iter() if _local(outer) == "channel"), root)
        self._root = _bare(root)
        self._inner = self._root
        if channel is not root:
            self._inner = _bare(channel)
            self._root.append(self._inner)
        about = (child for child in islice(channel, _MAX_PIECES) if _local(child) in {"title", "link"})
        for child in islice(about, _MAX_FIELDS):
            kept = deepcopy(child)
            _shorten(kept, is_url=_local(child) in _URL_FIELDS)
            self._inner.append(kept)

    def filled_with(self, entries: Iterable[bytes]) -> bytes:
        """Return the whole document as UTF-8."""
        around = self._inner if _local(self._root) == "rss" else self._root
        if len(around):
            around[-1].tail = _MARK
        else:
            around.text = _MARK
        before, _, after = _as_bytes(self._root).partition(_MARK.encode())
        return UTF8_DECLARATION + before + b"".join(entries) + after


def _as_bytes(element: etree._Element) -> bytes:
    return etree.tostring(element, encoding="utf-8", xml_declaration=False)


def _stream(body: bytes) -> Iterator[etree._Element]:
    """Yield each entry, complete, and forget it afterwards."""
    events = etree.iterparse(
        io.BytesIO(body), events=("end",), tag=_ENTRY_TAGS, recover=True, resolve_entities=False, no_network=True,
        remove_comments=True, remove_pis=True, load_dtd=False, huge_tree=False,
    )  # fmt: skip
    try:
        for _, element in events:
            if not _is_inner(element):
                yield element
                _free_memory(element)
    except etree.XMLSyntaxError:
        # What was read before the damage counts.
        return


def _is_inner(element: etree._Element) -> bool:
    return any(_local(outer) in _ENTRIES for outer in element.iterancestors())


def _free_memory(element: etree._Element) -> None:
    parent = element.getparent()
    element.clear()
    if parent is not None:
        for earlier in list(element.itersiblings(preceding=True)):
            parent.remove(earlier)


def _bare(element: etree._Element) -> etree._Element:
    """Copy an element without what is in it: the parser is always some elements ahead."""
    copy = deepcopy(element)
    del copy[:]
    copy.text = None
    return copy


def _reduced(entry: etree._Element, budget: TextBudget) -> etree._Element:
    """Cut an entry down in place: a new element cannot have the odd namespaces that feeds have."""
    needed = 0
    entry.text = entry.tail = None
    for child in list(entry):
        needed += _local(child) in _NEEDED
        if _local(child) in _NEEDED and needed <= _MAX_FIELDS:
            _shorten(child, is_url=_local(child) in _URL_FIELDS)
        elif not (_is_full_text(child) and _keep_whole(child, budget)):
            entry.remove(child)
    _without_long_attributes(entry)
    return entry


def _is_full_text(child: etree._Element) -> bool:
    return _local(child) == "encoded" or (_local(child) == "content" and not (child.get("url") or child.get("src")))


def _keep_whole(field: etree._Element, budget: TextBudget) -> bool:
    """Make a field that holds a whole text plain, and tell whether there was budget for it."""
    if len(field) > _MAX_PIECES:
        return False
    inner = b"".join(etree.tostring(child, encoding="utf-8") for child in field).decode("utf-8")
    written = (field.text or "") + inner
    if not budget.reserve(len(written)):
        return False
    del field[:]
    field.text = etree.CDATA(written.replace("]]>", "]] >"))
    field.tail = None
    if field.get("type") == "xhtml":
        field.set("type", "html")
    _without_long_attributes(field)
    return True


def _shorten(field: etree._Element, *, is_url: bool = False) -> None:
    text = " ".join("".join(islice((str(piece) for piece in field.itertext()), _MAX_PIECES)).split())
    if is_url and len(text) > MAX_LENGTH:
        # Part of an address is another address.
        text = ""
    del field[:]
    # As CDATA: feedparser is called back for every single escaped character otherwise.
    field.text = etree.CDATA((text if is_url else text[:_MAX_FIELD]).replace("]]>", "]] >"))
    field.tail = None
    _without_long_attributes(field)
    if field.get("type") == "xhtml":
        del field.attrib["type"]


def _without_long_attributes(element: etree._Element) -> None:
    for count, (name, value) in enumerate(element.attrib.items()):
        if count >= _MAX_FIELDS or len(value) > (MAX_LENGTH if str(name) == "href" else _MAX_FIELD):
            del element.attrib[name]


def _date_of(entry: etree._Element) -> datetime:
    written = {_local(child): child.text for child in entry if _local(child) in _DATES}
    dates = (read_date(written[name], zone=UTC) for name in _DATES if name in written)
    return next((found for found in dates if found), _UNDATED)


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()
