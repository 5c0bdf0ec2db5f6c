"""The record of where each field of an article and each dropped block came from, for `extract --explain`."""

from __future__ import annotations

from dataclasses import dataclass


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

    `figures` are what the gates looked at (words, share of linked text…), as name and value.
    """

    fields: tuple[Field, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
