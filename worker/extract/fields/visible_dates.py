"""Finds the dates that a page shows its readers, and scores how likely each is the article's own.

A date is scored by the words before it, its distance from the title, and the names and contents of the boxes around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from itertools import islice
from typing import cast

from lxml.etree import XPath, iterwalk
from lxml.html import HtmlElement

from worker.charset.characters import clean_line, fold
from worker.extract.document import INLINE_TAGS, DateParser
from worker.models.base import dataclass

# All constants and scores are chosen looking at labelled pages, not fitted; `make bench-extract` measures the dates.
# These bound the work on a hostile page.
_MAX_POSITIONS, _MAX_DATED_ELEMENTS, _MAX_DATES_IN_LINE = 120, 60, 3
# Longer lines are running text, as are dates with so much text beside them, which lose _PROSE_PENALTY.
_MAX_LINE_CHARS, _PROSE_CHARS, _PROSE_PENALTY = 200, 90, 6
# A date with at most so much text beside it is alone in its line; a label before it ("Published:") is at most so long.
_LONE_DATE_CHARS, _MAX_LABEL_CHARS = 25, 40
# Scores for words before the date that name something else ("expires"), or a change ("updated").
_OTHER_SCORE, _CHANGE_SCORE = -4, -1
# Distances below the title (near, far) and above it, in characters of text.
_NEAR_CHARS, _FAR_CHARS, _ABOVE_CHARS = 700, 2_500, 200
# How many boxes around a date are looked at; one with so little text holds a byline, one with more is no teaser.
_MAX_BOX_LEVELS = 8
_SMALL_BOX_CHARS = 200
_MAX_TEASER_CHARS = 1_500
# A headline is the title if it is part of it or, from so many words on, shares this many of them.
_MIN_HEADLINE_CHARS, _MIN_TITLE_CHARS = 28, 8
_MIN_TITLE_WORDS, _SAME_WORDS_SHARE = 5, 0.75
_MAY_BE_DATE = re.compile(r"\d{4}|\d\s?[./-]\s?\d|\d\s?[년年월月일日\u0e00-\u0eff]")
_DATED_ELEMENTS = XPath(
    "//time | //relative-time | //local-time | //time-ago | "
    "//*[contains(@itemprop, 'datePublished') or contains(@property, 'datePublished') or "
    "contains(concat(' ', @class, ' '), ' published ') or contains(@class, 'dt-published') or @pubdate] | "
    "//abbr[@title]",
    smart_strings=False,
)
_PUBLICATION_MARK = re.compile(
    r"(?:^|\s)(?:dt-)?published(?:$|\s)|publish(?:ed)?[-_]?(?:date|time|on|at)|pub-?date|date-?published", re.IGNORECASE
)
# Class names of the box of a date or byline, then of boxes with dates of other pages or of nothing published.
_DATE_BOX = re.compile(
    r"(?:^|[\s_-])(?:dates?|times?|datetime|timestamp|published|publish|posted|pubdate|dateline|byline|ngay|fecha|datum|"
    r"data|zeit|tid)(?:$|[\s_-]|time|line|on|info|author)|(?<=[a-z])(?:Date|Time|Published|Timestamp|Byline)(?![a-z])|"
    r"(?:post|entry|article|detail|news|pub|publish)-?(?:date|time|meta|info)",
    re.IGNORECASE,
)
_OTHER_BOX = re.compile(
    r"(?:^|[\s_-])(?:related|comments?|nav|navbar|menu|widget|popular|recent|latest|archive|events?|trending|"
    r"recommend\w*|copyright|breadcrumbs?|weather|most-?read|promo|clock|today)(?:$|[\s_-])|"
    r"lien-?quan|cung-?chuyen|tin-?moi|doc-?nhieu|xem-?nhieu|(?<=[a-z])(?:Related|Comments|Recommended)(?![a-z])",
    re.IGNORECASE,
)
_BYLINE_RELS = re.compile(r"\b(?:author|tag|category|nofollow)\b", re.IGNORECASE)
_BYLINE = re.compile(
    r"\A(?:mailto|tel|javascript):|/(?:authors?|auth?ors?|aut[eo]u?re?s?|autorin|profiles?|people|staff|team|tags?|topics?|"
    r"categor(?:y|ies|ia|ie)|tac-gia|users?|members?|sharer?)(?:[/.?]|\.php)",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"(?:^|[\s_-])(?:hide|hidden|sr-only|visually-?hidden)(?:$|\s)|display:\s?none", re.IGNORECASE)
_SIDEBAR = re.compile(r"side-?(?:bar|col)|(?:^|\s)footer", re.IGNORECASE)
_PUBLISHED_WORDS = re.compile(
    r"publi[cs]|posted|\bpost\b|đăng|xuất bản|veröffentlicht|erstellt|gepubliceerd|opublikowano|dodan|опублик|yayın|"
    r"发布|發布|发表|發表|公開|掲載|投稿|등록|입력|게재|written|first|প্রকাশ|نشر|เผยแพร่|diterbitkan|zverejn|vydáno|megjelen|"
    r"\bdate\b|\bdatum\b|fecha|data|ngày",
    re.IGNORECASE,
)
_UPDATED_WORDS = re.compile(
    r"updat|modif|cập nhật|chỉnh sửa|aktuali|\bstand\b|mis? à jour|maj\b|actuali|aggiorn|atualiz|bijgewerkt|uppdater|"
    r"oppdater|opdater|обновл|измен|güncel|更新|修改|수정|revised|edited|last|dernière|letzte",
    re.IGNORECASE,
)
_OTHER_DATE_WORDS = re.compile(
    r"©|copyright|\(c\)|expire|deadline|born|sinh ngày|giấy phép|licen[cs]e|until|hasta|jusqu|\bbis\b|đến ngày|"
    r"retrieved|accessed|archiv|joined|since|from|event|hết hạn",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class VisibleDate:
    """A date on a page: its written forms, and a score for being the article's own.

    `marked`: the markup calls it the date of publication. `is_time`: it is in a `time` element. `visible`: readers see
    it. `is_change`: the words before it speak of an update.
    """

    values: tuple[str, ...]
    score: int
    marked: bool = False
    is_time: bool = False
    visible: bool = True
    is_change: bool = False
    after_title: bool = False


@dataclass(frozen=True, slots=True)
class _DatePosition:
    """A date in a line of a page: its written forms, its element, the words before it, the characters beside it.

    `distance` is in characters below the title, negative above it; `timed` says that a time of day is given.
    """

    element: HtmlElement
    values: tuple[str, ...]
    before: str
    beside: int
    timed: bool
    distance: int
    after_title: bool
    visible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Article:
    """The page's article: its folded title, and the heading with all its ancestors."""

    title: str
    shared: frozenset[HtmlElement]

    def has_title(self, text: str) -> bool:
        """Return whether a headline is the article's title: one contains the other, or nearly all its words."""
        folded = fold(text)
        shorter, longer = sorted((folded, self.title), key=len)
        if len(shorter) < _MIN_TITLE_CHARS or 2 * len(shorter) < len(longer):
            return False
        words, others = frozenset(shorter.split()), frozenset(longer.split())
        return shorter in longer or (
            len(words) >= _MIN_TITLE_WORDS and len(words & others) >= _SAME_WORDS_SHARE * len(words)
        )


@dataclass(slots=True)
class _TextLine:
    """A line of text as readers see it.

    `pieces` are its elements by position, `dated` those made for dates; `label` is a short line above.
    """

    text: str = ""
    label: str = ""
    pieces: list[tuple[int, HtmlElement]] = field(default_factory=list)
    dated: list[tuple[int, HtmlElement]] = field(default_factory=list)

    def add(self, text: str, element: HtmlElement | None) -> None:
        if element is None or (not self.text and text.isspace()):
            return
        words = " ".join(text.split())
        if words and self.text and (text[0].isspace() or self.text[-1] == " " or _needs_space(self.text[-1], words[0])):
            self.text = self.text.rstrip() + " "
        if words:
            self.pieces.append((len(self.text), element))
            self.text += words
        if text[-1].isspace() and self.text:
            self.text = self.text.rstrip() + " "

    def element_at(self, position: int) -> HtmlElement:
        return next((element for begin, element in reversed(self.pieces) if begin <= position), self.pieces[0][1])


def find_visible_dates(tree: HtmlElement, *, title: str, parser: DateParser, near: bool = False) -> list[VisibleDate]:
    """Return the dates on a page, highest score first; with `near`, only those above or soon below the title."""
    body = tree.find("body")
    heading = None if body is None else _heading(body, title)
    if body is None or (near and heading is None):
        return []
    shared = frozenset() if heading is None else frozenset((heading, *heading.iterancestors()))
    article = _Article(title=fold(title), shared=shared)
    positions = islice(
        _date_positions(body, heading, parser, max_distance=_FAR_CHARS if near else None), _MAX_POSITIONS
    )
    return sorted((_score_position(position, article) for position in positions), key=lambda shown: -shown.score)


def _heading(body: HtmlElement, title: str) -> HtmlElement | None:
    """Return the heading that contains the article's title, else the first `h1`."""
    wanted = fold(title)
    first = None
    for heading in islice(body.iter("h1", "h2", "h3"), 60):
        text = fold(clean_line("".join(heading.itertext())[:500]))
        if wanted and len(text) >= _MIN_TITLE_CHARS and (text in wanted or wanted in text):
            return heading
        if first is None and text and heading.tag == "h1":
            first = heading
    return first


def _date_positions(
    body: HtmlElement, heading: HtmlElement | None, parser: DateParser, *, max_distance: int | None
) -> Iterator[_DatePosition]:
    """Yield the dates of a page in page order, up to `max_distance` characters below the title."""
    total, title_at = 0, None
    title = frozenset() if heading is None else frozenset(heading.iter())
    # The distances of dates above the title are known only when the title is reached.
    waiting: list[tuple[_TextLine, int]] = []
    above = ""
    timed = None if max_distance is None else body.iter("time", "relative-time", "local-time", "time-ago")
    for line in _lines(body, timed or cast("list[HtmlElement]", _DATED_ELEMENTS(body))):
        line.label, above = above, line.text if len(line.text) <= _MAX_LABEL_CHARS else ""
        if title_at is None and any(element in title for _, element in line.pieces):
            title_at = total
            for earlier, at in waiting:
                yield from _dates_in_line(earlier, parser, heading, distance=at - title_at, after_title=False)
            waiting.clear()
        if line.dated or (len(line.text) <= _MAX_LINE_CHARS and _MAY_BE_DATE.search(line.text)):
            if title_at is None:
                waiting.append((line, total))
            else:
                yield from _dates_in_line(line, parser, heading, distance=total - title_at, after_title=True)
        total += len(line.text)
        if max_distance is not None and title_at is not None and total - title_at > max_distance:
            return
    for line, at in waiting:
        yield from _dates_in_line(line, parser, None, distance=at, after_title=False)


def _lines(body: HtmlElement, made_for_dates: Iterable[HtmlElement]) -> Iterator[_TextLine]:
    """Yield the lines of a page, which end at blocks and line breaks."""
    dated = frozenset(islice(made_for_dates, _MAX_DATED_ELEMENTS))
    line = _TextLine()
    for event, element in iterwalk(body, events=("start", "end")):
        if (line.text or line.dated) and element.tag not in INLINE_TAGS:
            yield line
            line = _TextLine()
        if event == "start":
            if element in dated:
                line.dated.append((len(line.text), element))
            if (text := element.text) and element is not body:
                line.add(text, element)
        elif (text := element.tail) and element is not body:
            line.add(text, element.getparent())
    if line.text or line.dated:
        yield line


def _needs_space(last: str, first: str) -> bool:
    """Return whether two pieces are separated only by their looks (`Health` and `DECEMBER 22`)."""
    return (last.isalnum() and first.isupper()) or (last.isalpha() and first.isdigit())


def _is_in(element: HtmlElement, box: HtmlElement) -> bool:
    return element is box or any(ancestor is box for ancestor in islice(element.iterancestors(), _MAX_BOX_LEVELS))


def _dates_in_line(
    line: _TextLine, parser: DateParser, heading: HtmlElement | None, *, distance: int, after_title: bool
) -> Iterator[_DatePosition]:
    """Yield the dates of one line: those in elements made for dates, then those in its text."""
    spans: list[tuple[int, int]] = []
    for begin, element in line.dated:
        own = clean_line("".join(element.itertext())[:_MAX_LINE_CHARS])
        values = tuple(parser.values_of_element(element, own))
        spans.append((begin, begin + len(own)))
        if values:
            timed = any(":" in value for value in values)
            before = line.text[max(0, begin - _MAX_LABEL_CHARS) : begin] or line.label
            visible = bool(own) and not _is_hidden(element)
            yield _DatePosition(
                element, values, before, len(line.text) - len(own), timed, distance, after_title, visible
            )
    if len(line.text) > _MAX_LINE_CHARS:
        return
    begin = 0
    for _ in range(_MAX_DATES_IN_LINE):
        written = parser.find_in_text(line.text[begin:])
        if written is None:
            return
        start, end = begin + written.start, begin + written.end
        element = line.element_at(start)
        in_title = heading is not None and _is_in(element, heading) and not _DATE_BOX.search(_attribute_text(element))
        if not in_title and not any(first <= start < last for first, last in spans):
            before = line.text[max(begin, start - _MAX_LABEL_CHARS) : start] or line.label
            beside = len(line.text) - (end - start)
            yield _DatePosition(
                element, (line.text[begin:end],), before, beside, written.has_time, distance, after_title
            )
        begin = end


def _score_position(position: _DatePosition, article: _Article) -> VisibleDate:
    element = position.element
    marks = _attribute_text(element)
    marked = (
        element.get("pubdate") is not None
        or "datepublished" in marks.lower()
        or _PUBLICATION_MARK.search(marks) is not None
    )
    is_time = element.tag == "time"
    score = 4 * marked + 2 * is_time + position.timed
    by_words = _score_words(position)
    score += by_words + _score_distance(position) + _score_boxes(element, article)
    if not (is_time or marked):
        score -= _PROSE_PENALTY * (position.beside > _PROSE_CHARS)
    score += position.beside <= _LONE_DATE_CHARS
    return VisibleDate(
        position.values,
        score,
        marked=marked,
        is_time=is_time,
        visible=position.visible,
        is_change=by_words == _CHANGE_SCORE,
        after_title=position.after_title,
    )


def _is_hidden(element: HtmlElement) -> bool:
    """Return whether an element or one of the two boxes around it is hidden."""
    return any(
        box.get("hidden") is not None or _HIDDEN.search(f"{box.get('class') or ''} {box.get('style') or ''}")
        for box in islice((element, *element.iterancestors()), 3)
    )


def _attribute_text(element: HtmlElement) -> str:
    return " ".join(filter(None, (element.get(name) for name in ("class", "id", "itemprop", "property"))))


def _score_words(position: _DatePosition) -> int:
    if _OTHER_DATE_WORDS.search(position.before):
        return _OTHER_SCORE
    updated, published = (
        list(_UPDATED_WORDS.finditer(position.before)),
        list(_PUBLISHED_WORDS.finditer(position.before)),
    )
    if updated and (not published or updated[-1].start() > published[-1].start()):
        return _CHANGE_SCORE
    return 3 if published else 0


def _score_distance(position: _DatePosition) -> int:
    if position.after_title:
        return 3 if position.distance <= _NEAR_CHARS else 1 if position.distance <= _FAR_CHARS else 0
    return 1 if -position.distance <= _ABOVE_CHARS else 0


def _score_boxes(element: HtmlElement, article: _Article) -> int:
    """Score the names and contents of the boxes around a date, up to the one that it shares with the title."""
    score, named = 0, False
    for level, box in enumerate(islice(_boxes(element, article.shared), _MAX_BOX_LEVELS)):
        marks = _attribute_text(box)
        if level < 4 and not named and _DATE_BOX.search(marks):
            score, named = score + 2, True
        headlines = _headlines(box, element) if level and level < 5 else []
        if headlines and all(map(article.has_title, headlines)):
            # The article's own entry in a list of new articles.
            return score + 3
        if _OTHER_BOX.search(marks):
            return score - 5
        if (box.tag in {"aside", "nav", "footer"} or _SIDEBAR.search(marks)) and not _is_small(box):
            return score - 4
        if any(len(headline) >= _MIN_HEADLINE_CHARS for headline in headlines):
            return score - 5
    return score


def _is_small(box: HtmlElement) -> bool:
    """Return whether a box holds little more than a byline."""
    size = 0
    for text in box.itertext():
        size += len(text.strip())
        if size > _SMALL_BOX_CHARS:
            return False
    return True


def _boxes(element: HtmlElement, shared: frozenset[HtmlElement]) -> Iterator[HtmlElement]:
    box: HtmlElement | None = element
    while box is not None and box not in shared and box.tag != "body":
        yield box
        box = box.getparent()


def _headlines(box: HtmlElement, element: HtmlElement) -> list[str]:
    """Return the headlines in a box around a date, an empty list if the box is too long for a teaser."""
    size = 0
    for text in box.itertext():
        size += len(text)
        if size > _MAX_TEASER_CHARS:
            return []
    around = set(element.iterancestors())
    headlines = (
        headline
        for headline in box.iter("a", "h2", "h3", "h4")
        if headline is not element and headline not in around and not _is_byline(headline)
    )
    return list(filter(None, (clean_line("".join(headline.itertext())) for headline in headlines)))


def _is_byline(link: HtmlElement) -> bool:
    """Return whether a link is part of a byline: it leads to an author, a topic or a mail address."""
    return _BYLINE_RELS.search(link.get("rel") or "") is not None or _BYLINE.search(link.get("href") or "") is not None
