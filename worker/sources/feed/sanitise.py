"""Cut large or hostile feeds down before feedparser reads them, in two linear passes.

`newest_entries` keeps the newest entries of a very long feed by a scan of its bytes. `reduce_feed` rebuilds a risky
feed from the fields that are needed, with a streaming parser. `sanitise_feed` applies both if necessary; small plain
feeds pass unchanged. feedparser alone needs 7.8 s for a feed of 20,000 entries (docs/design.md).
"""

from __future__ import annotations

import heapq
import io
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from lxml import etree

from worker.dates.parsing import read_date
from worker.models.base import dataclass
from worker.sources.feed.full_text import TextBudget
from worker.sources.markup import UTF8_DECLARATION, escape_document, refuse_hostile_markup
from worker.urls.syntax import MAX_LENGTH

# Selection of the newest entries by a scan of the bytes.

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
class SanitisedFeed:
    """A feed that was cut down.

    `entries`: the number of entries it had (0: not counted). `rest`: a feed of the entries that were cut off, or b"".
    """

    body: bytes
    entries: int = 0
    rest: bytes = b""


def newest_entries(body: bytes, *, keep: int) -> SanitisedFeed:
    """Return a feed with only its `keep` newest entries; a feed with no more entries is returned unchanged.

    Undated entries count as the oldest; among them those near either end of the feed count as newer, because feeds add
    new entries at either end. Both parts keep everything before the first and after the last entry.
    """
    lower = body.lower()
    if sum(lower.count(name) for name in _ENTRY) <= keep:
        return SanitisedFeed(body=body)
    starts, dates = _find_entries(body)
    if len(starts) <= keep:
        return SanitisedFeed(body=body)
    end = _end_of_last(body, starts[-1])
    ends = [*starts[1:], end]
    last = len(starts) - 1
    by_age = sorted(range(len(starts)), key=lambda number: (dates[number], -min(number, last - number)), reverse=True)

    def only(numbers: Iterable[int]) -> bytes:
        return body[: starts[0]] + b"".join(body[starts[n] : ends[n]] for n in sorted(numbers)) + body[end:]

    return SanitisedFeed(body=only(by_age[:keep]), entries=len(starts), rest=only(by_age[keep:]))


def _end_of_last(body: bytes, start: int) -> int:
    closed = _CLOSED.search(body, start)
    if closed:
        return closed.end()
    tag = body.find(b">", start) + 1
    return tag or len(body)


def _find_entries(body: bytes) -> tuple[list[int], list[DateParts]]:
    """Return the offsets of a feed's entries and their approximate dates without zones, outside CDATA and comments.

    These are two lists because a list of very many pairs needs more memory.
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


# Reduction of a feed to the needed fields.

MAX_ENTRIES = 2_500
"""Entries read at a time, which takes at most two seconds (docs/discovery.md, `huge`)."""
# Limits of what feedparser gets unchanged, and of what is kept of an entry. They were chosen above what real feeds
# have, not measured one by one; docs/design.md ("The steps before feedparser") has what the reduction saves.
_SAFE_BYTES = 100_000
_MAX_FIELD = 1500  # characters of a title, id or date; titles are shortened further later
_MAX_FIELDS = 12  # fields of an entry: more than the names in _NEEDED that one format uses
_MAX_UNCLOSED = 500  # surplus of start tags over end tags; a sign of deep nesting
_MAX_PIECES = 1000  # pieces of text or child elements of one field
_MAX_COUNT = 300_000  # entries; so many empty ones take 0.7 s (docs/discovery.md, `huge`)
_DOCTYPE_START = re.compile(r"<!doctype", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype[^>\[]{0,1000}(?:\[.*?\]\s{0,100})?>", re.IGNORECASE | re.DOTALL)
# feedparser searches authors for e-mail addresses in time quadratic in the longest run of these characters: over 18 s
# for 60 kB.
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
_MAX_ENTITIES = 100  # of a document type; real ones declare a few
_START_TAG = re.compile(rb"<[a-zA-Z][^<>]{0,2000}>")
_FIRST_TAG = re.compile(r"<[a-zA-Z]")
_HEAD = 65_536  # bytes searched for the document type and the root; as in worker.sources.content
_UNDATED = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class _HeapEntry:
    """One kept entry. The smallest is dropped first: the oldest, among undated entries the last."""

    date: datetime
    order: int
    xml: bytes


def sanitise_feed(body: bytes) -> SanitisedFeed:
    """Return a feed that feedparser can read safely; a small, plain feed is unchanged.

    Raises SourceError for a tag without an end and for thousands of broken tags.
    """
    newest = newest_entries(body, keep=MAX_ENTRIES)
    refuse_hostile_markup(newest.body)
    cut = reduce_feed(newest.body) if _is_risky(newest.body) else SanitisedFeed(body=newest.body)
    return replace(cut, rest=newest.rest)


def _is_risky(body: bytes) -> bool:
    """Return whether a feed is large, deeply nested, declares entities or has very long words."""
    deep = body.count(b"<") - 2 * body.count(b"</") - body.count(b"/>") > _MAX_UNCLOSED
    return deep or len(body) > _SAFE_BYTES or b"<!ENTITY" in body or _LONG_RUN.search(body) is not None


def reduce_feed(body: bytes) -> SanitisedFeed:
    """Return a feed with the newest entries, and of these only links, titles, ids, dates and full texts.

    The document type is removed first, and with it all declared entities.
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
    """Return an empty feed with the root element of a feed without entries."""
    root = _START_TAG.search(body, 0, _HEAD)
    return UTF8_DECLARATION + root[0].rstrip(b"/>") + b"/>" if root else b""


def _heap_entry(entry: etree._Element, date: datetime, count: int, budget: TextBudget) -> _HeapEntry:
    return _HeapEntry(date=date, order=-count, xml=_as_bytes(_reduced(entry, budget)))


def _without_doctype(body: bytes) -> bytes:
    """Return a feed without its document type and with repaired ampersands; short plain entities are replaced.

    A feed in EBCDIC is returned unchanged.
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
    """The document around the entries: the root element, and the title and link of the feed itself."""

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
    """Yield each complete entry, and free its memory afterwards."""
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
        # Entries before the damage are used.
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
    """Copy an element without its content, of which the parser has already read some."""
    copy = deepcopy(element)
    del copy[:]
    copy.text = None
    return copy


def _reduced(entry: etree._Element, budget: TextBudget) -> etree._Element:
    """Reduce an entry in place: lxml cannot create elements with the invalid namespaces that some feeds use."""
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
    """Turn a field with a full text into CDATA; return False if it is too large or the budget is used up."""
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
    """Reduce a field in place to its text, with a bounded length; a URL that is too long becomes empty."""
    text = " ".join("".join(islice((str(piece) for piece in field.itertext()), _MAX_PIECES)).split())
    if is_url and len(text) > MAX_LENGTH:
        # Part of a URL is another URL.
        text = ""
    del field[:]
    # As CDATA, because feedparser handles every escaped character with a callback.
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
