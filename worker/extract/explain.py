"""Records what each step of an extraction found, dropped and failed at, for `extract --explain`, and limits the steps.

A step that fails or would remove too much of a page's running text costs nothing but that step. What several steps need
of short texts is here, too: a clean field, and a title without the name of its site.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from lxml.html import HtmlElement

from worker.charset import strip_tags
from worker.charset.characters import clean_line, fold, text_length
from worker.errors import WorkerError
from worker.models import Article
from worker.models.base import dataclass

# How much of a removed box is shown: enough to recognise it on the page. Chosen, not measured.
_MAX_SHOWN_PIECES = 20
_MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedField:
    """One field of an article: its value as text, and its origin (`json-ld`, `meta`, `feed`…)."""

    name: str
    value: str
    origin: str


# Bounds every stored field, in characters. Chosen, not measured.
_MAX_FIELD_CHARS = 1_000


def short_field(raw: str) -> str:
    """Return a field's text clean, without markup, on one line and cut off at a fixed length."""
    return clean_line(strip_tags(raw[: 2 * _MAX_FIELD_CHARS]))[:_MAX_FIELD_CHARS].rstrip()


class Found(NamedTuple):
    """A value and its origin."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleFields:
    """The fields of an article besides text, title and dates; `origins` has the origin of each by name."""

    lead: str | None = None
    section: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    image: str | None = None
    image_caption: str | None = None
    authors: tuple[str, ...] = ()
    origins: dict[str, str] = field(default_factory=dict)

    def added_to(self, article: Article) -> Article:
        """Return an article with these fields."""
        return replace(
            article,
            lead=self.lead,
            section=self.section,
            tags=self.tags,
            description=self.description,
            image=self.image,
            image_caption=self.image_caption,
            authors=self.authors,
            fields_from=self.origins,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedBlock:
    """A block of the page that is not part of the text, and the reason."""

    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionExplanation:
    """All decisions about one page, in the order in which they were made.

    If `article` is None, `reason` and `message` say why. `figures` are the numbers that the quality filters looked at
    (words, teasers…), as pairs of name and value.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    fields: tuple[ExplainedField, ...] = ()
    dropped: tuple[DroppedBlock, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


class Trace:
    """Records the decisions about a page while it is extracted; does nothing unless `enabled`."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._fields: list[ExplainedField] = []
        self._dropped: list[DroppedBlock] = []
        self._figures: list[tuple[str, str]] = []

    def field(self, name: str, value: object, origin: str) -> None:
        """Record a field that was found."""
        if value and self._enabled:
            self._fields.append(ExplainedField(name=name, value=str(value), origin=origin))

    def fields(self, found: ArticleFields) -> None:
        """Record the fields that were found."""
        for name, origin in found.origins.items():
            value = getattr(found, name)
            self.field(name, ", ".join(value) if isinstance(value, tuple) else value, origin)

    def drop(self, blocks: Iterable[DroppedBlock]) -> None:
        """Record dropped blocks."""
        if self._enabled:
            self._dropped.extend(blocks)

    def drop_box(self, box: HtmlElement, why: str) -> None:
        """Record an element that is about to be removed, with the beginning of its text."""
        if self._enabled:
            beginning = " ".join(islice(box.itertext(), _MAX_SHOWN_PIECES))
            self._dropped.append(DroppedBlock(text=" ".join(beginning.split())[:_MAX_SHOWN_CHARS], why=why))

    def figure(self, name: str, value: object) -> None:
        """Record a number that a quality filter looked at."""
        if self._enabled:
            self._figures.append((name, str(value)))

    def explanation(
        self, *, article: Article | None = None, reason: str = "", message: str = ""
    ) -> ExtractionExplanation:
        """Return the recorded decisions, with the result of the extraction."""
        return ExtractionExplanation(
            article=article,
            reason=reason,
            message=message,
            fields=tuple(self._fields),
            dropped=tuple(self._dropped),
            figures=tuple(self._figures),
        )


# A bug in one step must not cost the page: the step is skipped, and the fault becomes a note on the article.


T = TypeVar("T")

# An exception's text may quote the page. Chosen, not measured.
_MAX_MESSAGE_CHARS = 300


class StepGuard:
    """Runs the steps of one extraction and collects the faults in them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def run(self, step: str, work: Callable[[], T], *, default: T) -> T:
        """Return the result of a step, or `default` if it fails.

        A WorkerError is a decision about the page and passes through, as does MemoryError, which ends the process.
        """
        try:
            return work()
        except (WorkerError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library makes of an odd page
            self.faults.append(f"{step} failed: {describe_error(error)}")
            return default


def describe_error(error: Exception) -> str:
    """Return the exception's type and text, with the file and line where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in place)
    return f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_CHARS] + where


# Removals: how much running text each takes.


# The running text of smaller boxes is not counted, to save time. Chosen, not measured: two or three sentences.
_SMALL_BOX_CHARS = 200
# Elements whose content is never text.
NON_TEXT_TAGS = ("script", "style", "template", "svg", "iframe", "link", "base", "input", "option")
MIN_SENTENCE_CHARS = 40
"""Shorter pieces of text are menu entries and labels. Chosen, not measured."""
_MIN_SENTENCE_LETTERS = 13  # fewer are shorter in any script


class RemovalBudget:
    """Refuses removals that would take too much of a page's running text, measured in characters.

    Unclosed tags can put a whole article inside its own menu; so every step that removes elements goes through this.
    `doubtful` are removed elements that nothing but a name speaks against.
    """

    def __init__(self, body: HtmlElement, trace: Trace) -> None:
        self._body = body
        self._trace = trace
        self._total: int | None = None
        self.doubtful: list[HtmlElement] = []

    @property
    def total(self) -> int:
        """How much running text the page had before the first removal."""
        if self._total is None:
            self._total = count_running_text(self._body)
        return self._total

    def remove(
        self, boxes: Iterable[HtmlElement], *, why: str, share: float, counted: Mapping[HtmlElement, int] | None = None
    ) -> list[HtmlElement]:
        """Remove elements from the page, but keep and return those with more than `share` of its running text.

        `why` completes the sentence "it …". `counted` is the running text of each element, if it was counted since the
        last change of the page. Every removal and every refusal is recorded on the trace.
        """
        kept = []
        # The page has at least this much running text; only if that is too little, all of it is counted.
        least = share * counted.get(self._body, 0) if counted else 0.0
        for box in boxes:
            held = _running_text_in(box) if counted is None else counted.get(box, 0)
            if held > least and held > share * self.total:
                self.keep(held, why)
                kept.append(box)
                continue
            self._trace.drop_box(box, why)
            remove_element(box)
        return kept

    def keep(self, held: int, why: str) -> None:
        """Record that elements with so many characters of running text stay, although each "it …"."""
        self._trace.figure(f"kept although it {why}", f"{held} of {self.total} characters of running text")


def remove_element(element: HtmlElement) -> None:
    """Remove an element with its content, but not the text after it; do nothing if it is already removed."""
    if element.getparent() is not None:
        element.drop_tree()


def make_plain_div(element: HtmlElement) -> None:
    """Turn an element into a `div` without attributes, so that nothing suggests what it holds."""
    for name in list(element.attrib):
        del element.attrib[name]
    element.tag = "div"


def _running_text_in(box: HtmlElement) -> int:
    """Return how many characters of running text an element holds, 0 for a small one."""
    text = box.text_content()
    # Most boxes hold almost no text; counting it exactly is not worth the time.
    return count_running_text(box) if 3 * len(text) > _SMALL_BOX_CHARS and text_length(text) > _SMALL_BOX_CHARS else 0


def count_running_text(element: HtmlElement) -> int:
    """Return how many characters of running text an element holds.

    Running text is every piece of text outside links with at least MIN_SENTENCE_CHARS characters.
    """
    return sum(map(text_length, sentences_in(element)))


def sentences_in(element: HtmlElement) -> Iterator[str]:
    """Yield the pieces of running text in an element, blanks collapsed."""
    for part in element.iter("*"):
        text, tail = part.text or "", part.tail or ""
        if (len(text) < _MIN_SENTENCE_LETTERS > len(tail)) or part.tag in NON_TEXT_TAGS:
            continue
        if part.tag != "a" and (sentence := sentence_of(text)):
            yield sentence
        if part is not element and (sentence := sentence_of(tail)):
            yield sentence


def sentence_of(piece: str | None) -> str:
    """Return a piece of text with its blanks collapsed, an empty string if it is too short to be running text."""
    if not piece or len(piece) < (MIN_SENTENCE_CHARS if piece.isascii() else _MIN_SENTENCE_LETTERS):
        return ""
    flat = " ".join(piece.split())
    return flat if text_length(flat) >= MIN_SENTENCE_CHARS else ""


# The name of the site in a title.

# Chinese, Japanese and Korean have no blanks beside a dash, and bars of their own.
_SEPARATOR = re.compile(
    r"\s(?:[|│–—·•»«›‹>⋆~/:-]|::|--)\s|\s?[|｜ㅣ│]\s?|\s?[-–—_]{1,2}\s?(?=[\u3040-\u9fff\uac00-\ud7a3])"
)
# Beside a name that is known, a colon or any mark between blanks separates.
_NAME_SEPARATOR = re.compile(rf"{_SEPARATOR.pattern}|\s[^\w\s&+='\"“”‘’()]{{1,3}}\s|[:：]\s?")
# The last words of a site's name, with at least this share of its length, are its name as well: `Quân khu 2` of `Báo
# Quân khu 2`, `Guardian` of `The Guardian`. Chosen, not measured.
_MIN_NAME_SHARE = 0.6


def is_site_name_next(title: str, wording: str) -> bool:
    """Return whether a title has this wording and then a separator, after which the name of a site is expected."""
    return title.startswith(wording) and _SEPARATOR.match(title, len(wording)) is not None


def without_site_name(title: str, names: frozenset[str]) -> str:
    """Return a title without the site's name at either end; `names` are folded."""
    while cut := _cut_once(title, names):
        title = cut
    return title


def _cut_once(title: str, names: frozenset[str]) -> str:
    separators = list(_NAME_SEPARATOR.finditer(title))
    if not separators:
        return ""
    first, last = separators[0], separators[-1]
    if is_site_name(title[last.end() :], names):
        return title[: last.start()].strip()
    if is_site_name(title[: first.start()], names):
        return title[first.end() :].strip()
    return ""


def is_site_name(part: str, names: frozenset[str]) -> bool:
    """Return whether a part of a title is one of the site's names, which are folded, or the end of one."""
    bare = fold(part)
    return bool(bare) and (
        bare in names
        or bare.replace(" ", "") in {name.replace(" ", "") for name in names}
        or any(name.endswith(f" {bare}") and len(bare) >= _MIN_NAME_SHARE * len(name) for name in names)
    )
