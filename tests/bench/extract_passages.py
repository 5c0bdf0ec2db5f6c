"""Compares both readings on trafilatura's own evaluation pages, which are labelled by passages.

The pages are in trafilatura's repository, not here: a folder with `evaldata.json` (for each URL its file, and passages
that its text must have and must not have) and the files in `cache/` or `eval/`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import trafilatura

from tests.bench.extract_gold import Gold
from tests.bench.extract_quality import ours
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules

_RULES = ExtractRules(min_words=20, languages=(), timezone="UTC")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A page with the passages that its text must have, and those that it must not have."""

    page: Gold
    wanted: Sequence[str]
    unwanted: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many wanted and unwanted passages a reading has, and why it has no text."""

    wanted: int
    unwanted: int
    reason: str


def passages(folder: Path, say: Callable[[str], None]) -> None:
    """Print precision, recall and F1 of the passages for both, and the pages of which only the library has text."""
    pages = list(labelled_pages(folder))
    with Pool(len(os.sched_getaffinity(0)), initializer=_start) as pool:
        outcomes = list(pool.imap(_read_both, pages, chunksize=4))
    wanted, unwanted = sum(len(page.wanted) for page in pages), sum(len(page.unwanted) for page in pages)
    say(f"{len(pages)} pages, {wanted} passages wanted, {unwanted} unwanted")
    for label, place in (("trafilatura", 1), ("corpus worker", 0)):
        found = sum(each[place].wanted for each in outcomes)
        leaked = sum(each[place].unwanted for each in outcomes)
        precision, recall = found / max(1, found + leaked), found / max(1, wanted)
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        say(f"{label:24} precision {precision:.4f}  recall {recall:.4f}  F1 {f1:.4f}")
    for page, (mine, other) in zip(pages, outcomes, strict=True):
        if mine.reason and other.wanted:
            say(f"    {page.page.name[:60]}: {mine.reason}")


def labelled_pages(folder: Path) -> Iterator[Labelled]:
    """Yield the pages whose file is there, with an address that a crawler could have."""
    for url, entry in json.loads((folder / "evaldata.json").read_text("utf-8")).items():
        path = next((path for part in ("cache", "eval") if (path := folder / part / entry["file"]).is_file()), None)
        address = url.lstrip("x")  # some are switched off by an `x`
        if path is not None and address.startswith("http"):
            page = Gold(name=entry["file"], url=address, markup=path.read_bytes())
            yield Labelled(page, _flat(entry.get("with")), _flat(entry.get("without")))


def _flat(said: Sequence[str] | None) -> Sequence[str]:
    return [" ".join(passage.split()) for passage in said or ()]


_readers: list[ArticleExtractor] = []


def _start() -> None:
    _readers.append(ArticleExtractor(_RULES))


def _read_both(labelled: Labelled) -> tuple[Outcome, Outcome]:
    mine = ours(_readers[0], labelled.page)
    theirs = trafilatura.extract(labelled.page.markup, include_comments=False) or ""
    return _outcome(labelled, mine.text, "" if mine.text else mine.reason), _outcome(labelled, theirs, "")


def _outcome(labelled: Labelled, text: str, reason: str) -> Outcome:
    flat = " ".join(text.split())
    wanted, unwanted = (sum(passage in flat for passage in found) for found in (labelled.wanted, labelled.unwanted))
    return Outcome(wanted, unwanted, reason)
