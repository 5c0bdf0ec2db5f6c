"""Articles to measure on: read from any folder, labelled pairs from the data beside the repository, or made."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(os.environ.get("CORPUS_WORKER_SHARED") or Path(__file__).resolve().parents[3] / "shared")
NEARDUP = SHARED / "data" / "neardup"
_OUR_LABELS = Path(__file__).resolve().parents[1] / "unit" / "dedupe"
LABELS = _OUR_LABELS / "near_identical_labels.jsonl"
MORE_LABELS = _OUR_LABELS / "more_labels.jsonl"
"""Pairs of articles from `labelled_pairs.jsonl` and `same_event_clusters.jsonl.gz` that have no label there."""

# What the agency's system, not its reporter, put below a text.
_SIGN_OFF = re.compile(r"\s*(?:reuter)?\s*&#3;\s*$", re.IGNORECASE)
_DATES = ("%d-%b-%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """An article to measure on: a title, and paragraphs separated by newlines, the lead first."""

    key: str
    title: str
    text: str
    published_at: datetime | None = None
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two articles and what a person said of them; `weight` is how many pairs like it there are."""

    label: str
    weight: float
    one: Piece
    two: Piece


def read_folder(folder: Path) -> list[Piece]:
    """Return every article below a folder: `.txt` (first line the title), `.json`, `.jsonl`, `.jsonl.gz`."""
    found: dict[str, Piece] = {}
    for path in sorted(folder.rglob("*")):
        for piece in read_file(path):
            found.setdefault(piece.text, piece)
    return list(found.values())


def read_pairs(path: Path, *, lead: bool = True, labels: Mapping[tuple[str, str], str] | None = None) -> list[Pair]:
    """Return labelled pairs; `labels` by the ids of both where the file itself has none."""
    pairs = []
    for row in _rows(path):
        one, two = _piece(row["a"], lead=lead), _piece(row["b"], lead=lead)
        label = row.get("label") or (labels or {})[one.key, two.key]
        pairs.append(Pair(label=label, weight=float(row.get("weight", 1)), one=one, two=two))
    return pairs


def read_labelled(path: Path) -> list[Pair]:
    """Return the pairs of `labelled_pairs.jsonl`: `label` is whether to merge, `group` of the first piece the kind."""
    pairs = []
    for row in _rows(path):
        one, two = (_labelled_piece(row[side], group=row["kind"]) for side in "ab")
        pairs.append(Pair(label=row["merge"], weight=float(row["weight"]), one=one, two=two))
    return pairs


def _labelled_piece(row: dict[str, Any], *, group: str) -> Piece:
    at = row.get("published_at")
    return Piece(
        key=row["id"],
        title=row["title"],
        text=_paragraphs(row["text"]),
        published_at=datetime.fromisoformat(at) if at else None,
        group=group,
    )


def read_labels(path: Path = LABELS) -> dict[tuple[str, str], str]:
    """Return the labels given by hand to the near-identical pairs, by the ids of both articles."""
    return {(row["a"], row["b"]): row["label"] for row in _rows(path)}


def read_file(path: Path) -> list[Piece]:
    """Return the articles of one file; none where it is no file of articles."""
    return list(_pieces(path))


def _pieces(path: Path) -> Iterator[Piece]:
    name = path.name
    if name.endswith(".txt"):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        yield Piece(key=name, title=title.strip(), text=_paragraphs(text))
    elif name.endswith((".jsonl", ".jsonl.gz")):
        for row in _rows(path):
            articles = [row["a"], row["b"]] if "a" in row and "b" in row else [row]
            yield from (_piece(each, lead=True) for each in articles if "text" in each or "body" in each)
    elif name.endswith(".json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(row, dict) and isinstance(row.get("text"), str):
            yield Piece(key=name, title=str(row.get("title", "")), text=_paragraphs(row["text"]))


def _piece(row: dict[str, Any], *, lead: bool) -> Piece:
    body = row["text"] if "text" in row else row["body"]
    parts = [row["lead"], body] if lead and row.get("lead") else [body]
    return Piece(
        key=str(row.get("id", "")),
        title=str(row.get("title", "")),
        text=_paragraphs(_SIGN_OFF.sub("", "\n".join(parts))),
        published_at=_date(str(row.get("date", ""))),
        group=str(row.get("cluster", "")),
    )


def _date(written: str) -> datetime | None:
    for form in _DATES:
        try:
            return datetime.strptime(written.partition("&")[0].strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _rows(path: Path) -> Iterator[Any]:
    lines = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode("utf-8")
    yield from (json.loads(line) for line in lines.split("\n") if line)


class MadeTexts:
    """Makes texts of syllables with diacritics, drawn like the words of a language: the frequent ones often."""

    def __init__(self, seed: int) -> None:
        onsets = ["", *"bcdđghlmntvx", "ch", "kh", "ng", "nh", "ph", "th", "tr"]
        vowels = [*"aăâeêioôơuư", "uô", "ươ", "iê"]
        marks = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]
        ends = ["", "n", "ng", "c", "t", "m", "i"]
        syllables = [
            unicodedata.normalize("NFC", onset + vowel + mark + end)
            for onset in onsets for vowel in vowels for mark in marks for end in ends
        ]  # fmt: skip
        random.Random(11).shuffle(syllables)
        self._syllables = np.array(syllables, dtype=object)
        self._odds = (1 / np.arange(3, len(syllables) + 3)).cumsum()
        self._chance = np.random.default_rng(seed)

    def words(self, count: int) -> list[str]:
        """Return so many words."""
        drawn = self._chance.random(count) * self._odds[-1]
        return list(self._syllables[np.searchsorted(self._odds, drawn)])

    def text(self, count: int) -> str:
        """Return a text of so many words."""
        return " ".join(self.words(count))
