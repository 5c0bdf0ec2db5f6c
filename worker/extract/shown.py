"""Finds the dates that a page shows its readers, and weighs which of them is the article's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import islice
from typing import cast

from lxml.etree import XPath, iterwalk
from lxml.html import HtmlElement

from worker.dates import Written, find_written, moments_of
from worker.extract.measure import is_inline
from worker.extract.text import clean_line, fold

_MOST_PLACES = 120
_MOST_MARKED = 60
_MOST_IN_LINE = 3
# In characters: a longer line is running text, and so is one with so much beside a date.
_LONGEST_LINE = 200
_PROSE = 90
_IN_PROSE = 6
# With so little beside it, a date is alone in its line.
_ALONE = 25
_LABEL = 40
_NEAR, _FAR = 700, 2_500
_ABOVE = 200
_LEVELS = 8
_SMALL = 200
_LONGEST_TEASER = 1_500
_HEADLINE = 28
_MACHINE = ("content", "datetime", "title", "data-datetime", "data-timestamp", "data-time")
_LIKE_A_DATE = re.compile(r"\d{4}|\d\s?[./-]\s?\d|\d\s?[년年월月일日]")
_DATED = XPath(
    "//time | //relative-time | //local-time | //time-ago | "
    "//*[contains(@itemprop, 'datePublished') or contains(@property, 'datePublished') or "
    "contains(concat(' ', @class, ' '), ' published ') or contains(@class, 'dt-published') or @pubdate] | "
    "//abbr[@title]",
    smart_strings=False,
)
_MARKED = re.compile(
    r"(?:^|\s)(?:dt-)?published(?:$|\s)|publish(?:ed)?[-_]?(?:date|time|on|at)|pub-?date|date-?published", re.IGNORECASE
)
# What systems call the box of a date or of a byline; then the boxes of other pages' dates, or of none's.
_NAMED = re.compile(
    r"(?:^|[\s_-])(?:dates?|times?|datetime|timestamp|published|publish|posted|pubdate|dateline|byline|ngay|fecha|datum|"
    r"data|zeit|tid)(?:$|[\s_-]|time|line|on|info|author)|(?<=[a-z])(?:Date|Time|Published|Timestamp|Byline)(?![a-z])|"
    r"(?:post|entry|article|detail|news|pub|publish)-?(?:date|time|meta|info)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"(?:^|[\s_-])(?:related|comments?|nav|navbar|menu|widget|popular|recent|latest|archive|events?|trending|"
    r"recommend\w*|copyright|breadcrumbs?|weather|most-?read|promo|clock|today)(?:$|[\s_-])|"
    r"lien-?quan|cung-?chuyen|tin-?moi|doc-?nhieu|xem-?nhieu|(?<=[a-z])(?:Related|Comments|Recommended)(?![a-z])",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"side-?(?:bar|col)|(?:^|\s)footer", re.IGNORECASE)
_SAYS_PUBLISHED = re.compile(
    r"publi[cs]|posted|\bpost\b|đăng|xuất bản|veröffentlicht|erstellt|gepubliceerd|opublikowano|dodan|опублик|yayın|"
    r"发布|發布|发表|發表|公開|掲載|投稿|등록|입력|게재|written|first|প্রকাশ|نشر|เผยแพร่|diterbitkan|zverejn|vydáno|megjelen|"
    r"\bdate\b|\bdatum\b|fecha|data|ngày",
    re.IGNORECASE,
)
_SAYS_UPDATED = re.compile(
    r"updat|modif|cập nhật|chỉnh sửa|aktuali|\bstand\b|mis? à jour|maj\b|actuali|aggiorn|atualiz|bijgewerkt|uppdater|"
    r"oppdater|opdater|обновл|измен|güncel|更新|修改|수정|revised|edited|last|dernière|letzte",
    re.IGNORECASE,
)
_SAYS_OTHER = re.compile(
    r"©|copyright|\(c\)|expire|deadline|born|sinh ngày|giấy phép|licen[cs]e|until|hasta|jusqu|\bbis\b|đến ngày|"
    r"retrieved|accessed|archiv|joined|since|from|event|hết hạn",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a page's dates are read: in which zone and language, and whether its custom is to put the month first."""

    zone: tzinfo
    language: str = ""
    month_first: bool = False

    def of_value(self, value: str) -> Iterator[datetime]:
        """Yield what a value that is a date may mean, the most likely first."""
        return moments_of(value, zone=self.zone, month_first=self.month_first, language=self.language)

    def of_text(self, text: str) -> Written | None:
        """Return the first date in a line of text."""
        return find_written(text, home=self.zone, month_first=self.month_first, language=self.language)

    def of_element(self, element: HtmlElement, text: str) -> Iterator[str]:
        """Yield what an element gives as its date, for programs and for readers, as far as it can be read."""
        for value in (*map(element.get, _MACHINE), text):
            if value and any(char.isdigit() for char in value) and next(self.of_value(value), None) is not None:
                yield value


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


@dataclass(frozen=True, slots=True)
class _Place:
    """A date in a line of a page: what may say it, its element, what stands before it, how much beside it.

    `distance` is how many characters after the title it stands; before it where that is negative.
    """

    element: HtmlElement
    values: tuple[str, ...]
    before: str
    beside: int
    timed: bool
    distance: int
    after_title: bool


@dataclass(slots=True)
class _Line:
    """A line of text as a reader sees it; `pieces` are its elements by where their text begins."""

    text: str = ""
    pieces: list[tuple[int, HtmlElement]] = field(default_factory=list)
    dated: list[tuple[int, HtmlElement]] = field(default_factory=list)

    def add(self, text: str, element: HtmlElement) -> None:
        words = " ".join(text.split())
        if words and self.text and (text[0].isspace() or self.text[-1] == " " or _is_seam(self.text[-1], words[0])):
            self.text = self.text.rstrip() + " "
        if words:
            self.pieces.append((len(self.text), element))
            self.text += words
        if text[-1].isspace() and self.text:
            self.text = self.text.rstrip() + " "

    def element_at(self, place: int) -> HtmlElement:
        return next((element for begin, element in reversed(self.pieces) if begin <= place), self.pieces[0][1])


def find_shown(tree: HtmlElement, *, title: str, reading: Reading) -> list[Shown]:
    """Return the dates that a page shows, the most credible first."""
    body = tree.find("body")
    if body is None:
        return []
    heading = _heading(body, title)
    shared = frozenset() if heading is None else frozenset((heading, *heading.iterancestors()))
    places = islice(_places(body, heading, reading), _MOST_PLACES)
    return sorted((_weighed(place, shared) for place in places), key=lambda shown: -shown.score)


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


def _places(body: HtmlElement, heading: HtmlElement | None, reading: Reading) -> Iterator[_Place]:
    """Yield the places of a page where a date is written, in page order."""
    total, title_at = 0, None
    # Before the title, distances are known only once it is met.
    waiting: list[tuple[_Line, int]] = []
    for line in _lines(body):
        if title_at is None and heading is not None and any(_is_in(element, heading) for _, element in line.pieces):
            title_at = total
            for earlier, at in waiting:
                yield from _in_line(earlier, reading, heading, distance=at - title_at, after_title=False)
            waiting.clear()
        if line.dated or (len(line.text) <= _LONGEST_LINE and _LIKE_A_DATE.search(line.text)):
            if title_at is None:
                waiting.append((line, total))
            else:
                yield from _in_line(line, reading, heading, distance=total - title_at, after_title=True)
        total += len(line.text)
    for line, at in waiting:
        yield from _in_line(line, reading, None, distance=at, after_title=False)


def _lines(body: HtmlElement) -> Iterator[_Line]:
    """Yield the lines of a page: they end where a block or a line break does."""
    dated = frozenset(islice(cast("list[HtmlElement]", _DATED(body)), _MOST_MARKED))
    line = _Line()
    for event, element in iterwalk(body, events=("start", "end")):
        if not is_inline(element) and (line.text or line.dated):
            yield line
            line = _Line()
        if event == "start" and element in dated:
            line.dated.append((len(line.text), element))
        text = element.text if event == "start" else element.tail
        owner = element if event == "start" else element.getparent()
        if text and owner is not None and element is not body:
            line.add(text, owner)
    if line.text or line.dated:
        yield line


def _is_seam(last: str, first: str) -> bool:
    """Whether two words were only kept apart by what they look like (`Health` and `DECEMBER 22`)."""
    return (last.isalnum() and first.isupper()) or (last.isalpha() and first.isdigit())


def _is_in(element: HtmlElement, box: HtmlElement) -> bool:
    return element is box or any(ancestor is box for ancestor in islice(element.iterancestors(), _LEVELS))


def _in_line(
    line: _Line, reading: Reading, heading: HtmlElement | None, *, distance: int, after_title: bool
) -> Iterator[_Place]:
    """Yield the dates of one line: those in elements made for dates, and those in its text."""
    spans: list[tuple[int, int]] = []
    for begin, element in line.dated:
        own = clean_line("".join(element.itertext())[:_LONGEST_LINE])
        values = tuple(reading.of_element(element, own))
        spans.append((begin, begin + len(own)))
        if values:
            timed = any(":" in value for value in values)
            before = line.text[max(0, begin - _LABEL) : begin]
            yield _Place(element, values, before, len(line.text) - len(own), timed, distance, after_title)
    if len(line.text) > _LONGEST_LINE:
        return
    begin = 0
    for _ in range(_MOST_IN_LINE):
        written = reading.of_text(line.text[begin:])
        if written is None:
            return
        start, end = begin + written.start, begin + written.end
        element = line.element_at(start)
        in_title = heading is not None and _is_in(element, heading) and not _NAMED.search(_marks(element))
        if not in_title and not any(first <= start < last for first, last in spans):
            before = line.text[max(begin, start - _LABEL) : start]
            beside = len(line.text) - (end - start)
            yield _Place(element, (line.text[begin:end],), before, beside, written.timed, distance, after_title)
        begin = end


def _weighed(place: _Place, shared: Collection[HtmlElement]) -> Shown:
    element = place.element
    marks = _marks(element)
    marked = element.get("pubdate") is not None or "datepublished" in marks.lower() or _MARKED.search(marks) is not None
    is_time = element.tag == "time"
    score = 4 * marked + 2 * is_time + place.timed
    score += _by_words(place) + _by_position(place) + _by_surroundings(element, shared)
    if not (is_time or marked):
        score -= _IN_PROSE * (place.beside > _PROSE)
    score += place.beside <= _ALONE
    return Shown(place.values, score, marked=marked, is_time=is_time, after_title=place.after_title)


def _marks(element: HtmlElement) -> str:
    return " ".join(filter(None, (element.get(name) for name in ("class", "id", "itemprop", "property"))))


def _by_words(place: _Place) -> int:
    if _SAYS_OTHER.search(place.before):
        return -4
    updated, published = list(_SAYS_UPDATED.finditer(place.before)), list(_SAYS_PUBLISHED.finditer(place.before))
    if updated and (not published or updated[-1].start() > published[-1].start()):
        return -1
    return 3 if published else 0


def _by_position(place: _Place) -> int:
    if place.after_title:
        return 3 if place.distance <= _NEAR else 1 if place.distance <= _FAR else 0
    return 1 if -place.distance <= _ABOVE else 0


def _by_surroundings(element: HtmlElement, shared: Collection[HtmlElement]) -> int:
    """Weigh what the boxes around a date are called and hold, up to the one that it shares with the title."""
    score, named = 0, False
    for level, box in enumerate(islice(_boxes(element, shared), _LEVELS)):
        marks = _marks(box)
        if level < 4 and not named and _NAMED.search(marks):
            score, named = score + 2, True
        if _ELSEWHERE.search(marks):
            return score - 5
        if (box.tag in {"aside", "nav", "footer"} or _BESIDE.search(marks)) and not _is_small(box):
            return score - 4
        if level and level < 5 and _announces(box, element):
            return score - 5
    return score


def _is_small(box: HtmlElement) -> bool:
    """Whether a box holds little else than a byline."""
    size = 0
    for text in box.itertext():
        size += len(text.strip())
        if size > _SMALL:
            return False
    return True


def _boxes(element: HtmlElement, shared: Collection[HtmlElement]) -> Iterator[HtmlElement]:
    box: HtmlElement | None = element
    while box is not None and box not in shared and box.tag != "body":
        yield box
        box = box.getparent()


def _announces(box: HtmlElement, element: HtmlElement) -> bool:
    """Whether the box around a date announces another page: it is short, and holds a headline of its own."""
    size = 0
    for text in box.itertext():
        size += len(text)
        if size > _LONGEST_TEASER:
            return False
    around = set(element.iterancestors())
    return any(
        len(clean_line("".join(headline.itertext()))) >= _HEADLINE
        for headline in box.iter("a", "h2", "h3", "h4")
        if headline is not element and headline not in around
    )
