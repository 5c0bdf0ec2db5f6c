"""Records the origin of each field, each dropped block and each failed step of a page, for `extract --explain`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from lxml.html import HtmlElement

from worker.errors import WorkerError
from worker.models import Article

_MAX_SHOWN_PIECES = 20
_MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedField:
    """One field of an article: its value as text, and where it came from."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedBlock:
    """A block of the page that is not in the text, and why."""

    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionExplanation:
    """Everything that was decided about one page, in the order of deciding.

    `article` is None where there is none; then `reason` and `message` say why. `figures` are what the gates looked
    at (words, share of linked text…), as name and value.
    """

    article: Article | None = None
    reason: str = ""
    message: str = ""
    fields: tuple[ExplainedField, ...] = ()
    dropped: tuple[DroppedBlock, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()


class Trace:
    """Collects, while a page is read, what an explanation is made of; where nobody asks for one, nothing."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._fields: list[ExplainedField] = []
        self._dropped: list[DroppedBlock] = []
        self._figures: list[tuple[str, str]] = []

    def field(self, name: str, value: object, origin: str) -> None:
        """Note a field that was found."""
        if value and self._enabled:
            self._fields.append(ExplainedField(name=name, value=str(value), origin=origin))

    def drop(self, blocks: Iterable[DroppedBlock]) -> None:
        """Note blocks that were left out."""
        if self._enabled:
            self._dropped.extend(blocks)

    def drop_box(self, box: HtmlElement, why: str) -> None:
        """Note a box of the page that is about to be taken out, by the beginning of its text."""
        if self._enabled:
            beginning = " ".join(islice(box.itertext(), _MAX_SHOWN_PIECES))
            self._dropped.append(DroppedBlock(text=" ".join(beginning.split())[:_MAX_SHOWN_CHARS], why=why))

    def figure(self, name: str, value: object) -> None:
        """Note a figure that a gate looked at."""
        if self._enabled:
            self._figures.append((name, str(value)))

    def explanation(
        self, *, article: Article | None = None, reason: str = "", message: str = ""
    ) -> ExtractionExplanation:
        """Return what was collected, and how the reading ended."""
        return ExtractionExplanation(
            article=article,
            reason=reason,
            message=message,
            fields=tuple(self._fields),
            dropped=tuple(self._dropped),
            figures=tuple(self._figures),
        )


# Keeps a fault of ours to the step it happened in: the page is read without that step, and the fault is noted.


T = TypeVar("T")

_MAX_MESSAGE_CHARS = 300


class StepGuard:
    """Runs the steps of one reading, and collects the faults in them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def run(self, step: str, work: Callable[[], T], *, default: T) -> T:
        """Return what a step gives, or something else where it fails.

        A gate that rejects the page is no fault, and a lack of memory is for the process to deal with.
        """
        try:
            return work()
        except (WorkerError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library makes of an odd page
            self.faults.append(f"{step} failed: {describe_error(error)}")
            return default


def describe_error(error: Exception) -> str:
    """Return what happened and where, for a developer."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in place)
    return f"{type(error).__name__}: {error}"[:_MAX_MESSAGE_CHARS] + where
