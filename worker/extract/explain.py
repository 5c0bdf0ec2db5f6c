"""The record of where each field of an article and each dropped block came from, for `extract --explain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from lxml.html import HtmlElement

from worker.models import Article

_PIECES = 20
_BEGINNING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an article: its value as text, and where it came from."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A block of the page that is not in the text, and why."""

    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that was decided about one page, in the order of deciding.

    `article` is None where there is none; then `reason` and `message` say why. `figures` are what the gates looked
    at (words, share of linked text…), as name and value.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    fields: tuple[Field, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


class Trace:
    """Collects, while a page is read, what an explanation is made of; where nobody asks for one, nothing."""

    def __init__(self, *, asked: bool = True) -> None:
        self._asked = asked
        self._fields: list[Field] = []
        self._dropped: list[Dropped] = []
        self._figures: list[tuple[str, str]] = []

    def field(self, name: str, value: object, origin: str) -> None:
        """Note a field that was found."""
        if value and self._asked:
            self._fields.append(Field(name=name, value=str(value), origin=origin))

    def drop(self, blocks: Iterable[Dropped]) -> None:
        """Note blocks that were left out."""
        if self._asked:
            self._dropped.extend(blocks)

    def drop_box(self, box: HtmlElement, why: str) -> None:
        """Note a box of the page that is about to be taken out, by the beginning of its text."""
        if self._asked:
            beginning = " ".join(islice(box.itertext(), _PIECES))
            self._dropped.append(Dropped(text=" ".join(beginning.split())[:_BEGINNING], why=why))

    def figure(self, name: str, value: object) -> None:
        """Note a figure that a gate looked at."""
        if self._asked:
            self._figures.append((name, str(value)))

    def explanation(self, *, article: Article | None = None, reason: str = "", message: str = "") -> Explanation:
        """Return what was collected, and how the reading ended."""
        return Explanation(
            article=article,
            reason=reason,
            message=message,
            fields=tuple(self._fields),
            dropped=tuple(self._dropped),
            figures=tuple(self._figures),
        )
