"""Finds the dates that a page shows its readers, and weighs which of them is the article's own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import islice

from lxml.etree import XPath
from lxml.html import HtmlElement

from worker.dates import Written, find_written
from worker.extract.measure import is_inline
from worker.extract.text import clean_line, fold

_MOST_TEXTS = 400
_MOST_MARKED = 40
_LONGEST_LINE = 160
# How many characters of other text make a line with a date running text.
_PROSE = 90
# And how many still leave it alone in its line.
_ALONE = 25
_NEAR, _FAR = 700, 2_500
_ABOVE = 400
_LEVELS = 8
_LIKE_A_DATE = re.compile(r"\d{4}|\d\s?[./-]\s?\d|\d\s?[년年月일日]")
_DATED = XPath(
    "//time | //*[@itemprop='datePublished' or @property='datePublished' or @property='schema:datePublished' or "
    "contains(concat(' ', @class, ' '), ' published ') or contains(@class, 'dt-published') or @pubdate] | //abbr[@title]",
    smart_strings=False,
)
_MARKED = re.compile(r"(?:^|\s)(?:dt-)?published(?:$|\s)|publish(?:ed)?[-_]?(?:date|time|on|at)|pub-?date|date-?published", re.IGNORECASE)
_NAMED = re.compile(
    r"(?:^|[\s_-])(?:date|dates|time|times|datetime|timestamp|published|publish|posted|pubdate|dateline|byline|ngay|fecha|datum|data|zeit|"
    r"tid)(?:$|[\s_-]|time|line|on|info|author)|(?<=[a-z])(?:Date|Time|Published|Timestamp|Byline)(?![a-z])|"
    r"(?:post|entry|article|detail|news|pub|publish)-?(?:date|time|meta|info)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"side-?bar|relat|comment|footer|(?:^|[\s_-])nav|menu|widget|popular|recent|latest|archive|calendar|event|teaser|trending|recommend|"
    r"copyright|breadcrumb|weather|most-?read|promo|lien-?quan|cung-?chuyen|tin-?moi|doc-?nhieu|xem-?nhieu|headline-?list|clock|current",
    re.IGNORECASE,
)
_SAYS_PUBLISHED = re.compile(
    r"publi[cs]|posted|\bpost\b|đăng|xuất bản|veröffentlicht|erstellt|gepubliceerd|opublikowano|dodan|опублик|yayın|发布|發布|发表|發表|"
    r"公開|掲載|投稿|등록|입력|게재|written|first|প্রকাশ|نشر|เผยแพร่|diterbitkan|zverejn|vydáno|megjelen|\bdate\b|\bdatum\b|fecha|data|ngày",
    re.IGNORECASE,
)
_SAYS_UPDATED = re.compile(
    r"updat|modif|cập nhật|chỉnh sửa|aktuali|\bstand\b|mis? à jour|maj\b|actuali|aggiorn|atualiz|bijgewerkt|uppdater|oppdater|opdater|"
    r"обновл|измен|güncel|更新|修改|수정|revised|edited|last|dernière|letzte",
    re.IGNORECASE,
)
_SAYS_OTHER = re.compile(
    r"©|copyright|\(c\)|expire|deadline|born|sinh ngày|giấy phép|licen[cs]e|until|hasta|jusqu|\bbis\b|đến ngày|retrieved|accessed|"
    r"archiv|joined|since|from|event|hết hạn",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A date on a page: what may say it, how much speaks for its being the article's own, and what marks it.

    `marked` is a machine-readable mark of publication; `is_time` says that it is in a `time` element.
    """

    values: tuple[str, ...]
    score: int
    marked: bool = False
    is_time: bool = False
    after_title: bool = False


@dataclass(slots=True)
class _Place:
    element: HtmlElement
    values: tuple[str, ...]
    line: str
    before: str
    after_title: bool
    distance: int
    timed: bool
    length: int


def find_shown(tree: HtmlElement, *, title: str, zone: tzinfo, language: str, month_first: bool) -> list[Shown]:
    """Return the dates that a page shows, the article's own first."""
    body = tree.find("body")
    if body is None:
        return []
    heading = _heading(body, title)
    shared = {heading, *heading.iterancestors()} if heading is not None else set()
    dated = {element: None for element in islice(_DATED(body), _MOST_MARKED)}
    found = [
        _weighed(place, shared)
        for place in _places(body, heading, dated, zone=zone, language=language, month_first=month_first)
    ]
    return sorted(found, key=lambda shown: -shown.score)


def _heading(body: HtmlElement, title: str) -> HtmlElement | None:
    """Return the heading that holds the article's title; else the first of the highest rank."""
    wanted = fold(title)
    first = None
    for heading in islice(body.iter("h1", "h2", "h3"), 60):
        text = fold(clean_line("".join(heading.itertext())[:500]))
        if wanted and len(text) >= 8 and (text in wanted or wanted in text):
            return heading
        if first is None and text and heading.tag == "h1":
            first = heading
    return first


def _places(
    body: HtmlElement, heading: HtmlElement | None, dated: Mapping[HtmlElement, None], *, zone: tzinfo, language: str, month_first: bool
) -> Iterator[_Place]:
    """Yield the places of a page's body where a date is written, in page order."""
    inside = {heading, *heading.iter()} if heading is not None else set()
    total, title_at, count = 0, None, 0
    done: set[HtmlElement] = set()
    pending: list[tuple[_Place, int]] = []
    for element in body.iter("*"):
        if element is heading:
            title_at = total
        if element in dated and element not in done:
            values = tuple(_values(element))
            done.add(element)
            if values and count < _MOST_TEXTS:
                count += 1
                line, before = _line(element, "")
                pending.append((_Place(element, values, line, before, title_at is not None, 0, any(":" in value for value in values), len("".join(element.itertext()))), total))
        for text, owner in ((element.text, element), (element.tail, element.getparent())):
            if not text:
                continue
            total += len(text)
            if count >= _MOST_TEXTS or owner is None or owner in done or element in inside or not _LIKE_A_DATE.search(text):
                continue
            if len(text) > 1_000:
                continue
            place = _written(text, owner, zone=zone, language=language, month_first=month_first)
            if place is not None:
                count += 1
                done.add(owner)
                pending.append((replace_after(place, title_at is not None), total))
    for place, at in pending:
        place.distance = at - title_at if title_at is not None else at
        yield place


def replace_after(place: _Place, after: bool) -> _Place:
    place.after_title = after
    return place


def _written(text: str, owner: HtmlElement, *, zone: tzinfo, language: str, month_first: bool) -> _Place | None:
    """Return the date that a piece of text holds, or the line it is part of, where that is short."""
    text = clean_line(text)
    for candidate in (text, clean_line("".join(owner.itertext())[:400])):
        if len(candidate) > _LONGEST_LINE * 2:
            continue
        written = find_written(candidate, home=zone, language=language, month_first=month_first)
        if written is not None:
            line, before = _line(owner, candidate[: written.start])
            return _Place(owner, (candidate,), line, before, False, 0, written.timed, written.end - written.start)
    return None


def _values(element: HtmlElement) -> Iterator[str]:
    for name in ("content", "datetime", "title", "data-datetime", "data-timestamp", "data-time"):
        if value := element.get(name):
            yield value
    text = clean_line("".join(element.itertext())[:400])
    if text and len(text) <= _LONGEST_LINE and any(char.isdigit() for char in text):
        yield text


def _line(element: HtmlElement, before: str) -> tuple[str, str]:
    """Return the text of the block an element stands in, and what stands there before the date."""
    block = element
    while is_inline(block) and (parent := block.getparent()) is not None and parent.tag != "body":
        block = parent
    line = clean_line(" ".join(islice(block.itertext(), 60))[:1_000])
    if not before:
        own = clean_line("".join(element.itertext())[:200])
        before = line.partition(own)[0] if own else ""
        if not before:
            previous = element.getprevious()
            before = clean_line("".join(islice(previous.itertext(), 10)))[-40:] if previous is not None else ""
            before = before or clean_line((previous.tail if previous is not None else None) or "")
    return line, before[-40:]


def _weighed(place: _Place, shared: set[HtmlElement]) -> Shown:
    element = place.element
    marks = _marks(element)
    marked = element.get("pubdate") is not None or "datepublished" in marks.lower() or _MARKED.search(marks) is not None
    is_time = element.tag == "time"
    score = 4 * marked + 2 * is_time + place.timed
    score += _by_words(place) + _by_position(place) + _by_surroundings(element, shared)
    beside = len(place.line) - place.length
    if beside > _PROSE and not is_time and not marked:
        score -= 6
    score += beside <= _ALONE
    return Shown(place.values, score, marked=marked, is_time=is_time, after_title=place.after_title)


def _marks(element: HtmlElement) -> str:
    return " ".join(filter(None, (element.get(name) for name in ("class", "id", "itemprop", "property"))))


def _by_words(place: _Place) -> int:
    if _SAYS_OTHER.search(place.before):
        return -4
    updated, published = list(_SAYS_UPDATED.finditer(place.before)), list(_SAYS_PUBLISHED.finditer(place.before))
    if updated and (not published or updated[-1].start() > published[-1].start()):
        return -2
    return 3 if published else 0


def _by_position(place: _Place) -> int:
    if place.after_title:
        return 3 if place.distance <= _NEAR else 1 if place.distance <= _FAR else 0
    return 1 if -place.distance <= _ABOVE else 0


def _by_surroundings(element: HtmlElement, shared: set[HtmlElement]) -> int:
    """Weigh what the boxes around a date are called and hold, up to the one that it shares with the title."""
    score, named = 0, False
    for level, box in enumerate(islice(_boxes(element, shared), _LEVELS)):
        marks = _marks(box)
        if level < 4 and not named and _NAMED.search(marks):
            score, named = score + 2, True
        if box.tag in {"aside", "footer", "nav"} or _ELSEWHERE.search(marks):
            return score - 5
        if level and level < 5 and _is_teaser(box):
            return score - 5
    return score


def _boxes(element: HtmlElement, shared: set[HtmlElement]) -> Iterator[HtmlElement]:
    box: HtmlElement | None = element
    while box is not None and box not in shared and box.tag != "body":
        yield box
        box = box.getparent()


def _is_teaser(box: HtmlElement) -> bool:
    """Whether a box announces another page: it is short, and holds a headline of its own."""
    size = 0
    for text in box.itertext():
        size += len(text)
        if size > 1_500:
            return False
    for inner in box.iter("a", "h2", "h3", "h4"):
        if len(clean_line("".join(inner.itertext()))) >= 28:
            return True
    return False
