"""Holds extraction against trafilatura as it comes, set by set: text, title, day, pages lost, listing pages stored."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import Pool

import trafilatura

from tests.bench.extract_gold import SETS, Gold, body_f1, tokens
from worker.extract.article import ArticleExtractor
from worker.extract.ipc import ExtractRules
from worker.models import Page
from worker.ports import Hints

_RULES = ExtractRules(min_words=20, languages=(), timezone="UTC")
_LOWER = 0.1
_KEY = 60

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an extractor gave for one page, and why it gave none; `day` is ISO 8601."""

    text: str = ""
    title: str = ""
    day: str = ""
    published: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How near one extractor came to one page's gold; None where the gold does not say."""

    text: float | None
    title: bool | None
    day: bool | None
    lead: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One page as both read it."""

    name: str
    listing: bool
    ours: Scores
    theirs: Scores
    found: bool
    they_found: bool
    reason: str


def request_of(gold: Gold) -> tuple[Page, Hints]:
    """Return a page as if fetched, and what discovery would know of it."""
    at = datetime.fromisoformat(gold.fetched).replace(tzinfo=UTC) if gold.fetched else datetime.now(UTC)
    page = Page(url=gold.url, final_url=gold.url, status=200, body=gold.markup, fetched_at=at)
    return page, Hints(url=gold.url, canonical_url=gold.url, source="bench")


def ours(reader: ArticleExtractor, gold: Gold) -> Found:
    """Read a page as a run would; of one without an article the reason, and the day all the same."""
    page, hints = request_of(gold)
    told = reader.explain(page, hints, fetched_at=page.fetched_at)
    if told.article is None:
        day = next((field.value[:10] for field in told.fields if field.name == "published"), "")
        return Found(day=day, reason=f"{told.reason}: {told.message}")
    article = told.article
    day = article.published_at.date().isoformat() if article.published_at else ""
    reason = "; ".join(article.notes)
    return Found(text=article.text, title=article.title, published=article.published_at, day=day, reason=reason)


def theirs(gold: Gold) -> Found:
    """Read a page with trafilatura as it comes; title and day are of its own metadata."""
    text = trafilatura.extract(gold.markup, include_comments=False) or ""
    document = trafilatura.bare_extraction(gold.markup, url=gold.url, with_metadata=True, fast=True)
    title, day = (getattr(document, name, "") or "" for name in ("title", "date"))
    return Found(text=text, title=title, day=day)


def quality(names: Iterable[str], say: Say) -> bool:
    """Print every set's figures, and the pages on which ours is lower; return whether no set is below the library."""
    say(f"{'':24} {'pages':>5} {'text':>7} {'lost':>5} {'title':>7} {'day':>7} {'lead':>7}  listings stored")
    above = [_one_set(name, say) for name in names]
    return all(above)


def _one_set(name: str, say: Say) -> bool:
    with Pool(len(os.sched_getaffinity(0)), initializer=_start) as pool:
        compared = list(pool.imap(_compare, SETS[name](), chunksize=4))
    for label, scores, found in (
        ("trafilatura", [each.theirs for each in compared], [each.they_found for each in compared]),
        ("corpus worker", [each.ours for each in compared], [each.found for each in compared]),
    ):
        say(_line(f"{name} {label}", compared, scores, found))
    for line in _lower(compared):
        say(line)
    mean, library = (_mean(score.text for score in side) for side in _sides(compared))
    if mean is None or library is None:
        return True
    if mean < library:
        say(f"    BELOW THE LIBRARY: {mean:.4f} against {library:.4f}")
    return mean >= library


_readers: list[ArticleExtractor] = []


def _start() -> None:
    _readers.append(ArticleExtractor(_RULES))


def _compare(gold: Gold) -> Compared:
    mine, other = ours(_readers[0], gold), theirs(gold)
    score = partial(_score, gold)
    return Compared(
        name=f"{gold.name} {gold.url}"[:100],
        listing=gold.listing,
        ours=score(mine),
        theirs=score(other),
        found=bool(mine.text),
        they_found=bool(other.text),
        reason=mine.reason,
    )


def _score(gold: Gold, found: Found) -> Scores:
    if gold.listing:
        return Scores(text=None, title=None, day=None, lead=None)
    lead = " ".join(tokens(gold.lead))[:_KEY]
    return Scores(
        text=body_f1(found.text, gold.body) if gold.body else None,
        title=_composed(found.title) == _composed(gold.title) if gold.title else None,
        day=_is_same_day(gold, found) if gold.day else None,
        lead=" ".join(tokens(found.text)).startswith(lead) if lead else None,
    )


def _composed(title: str) -> str:
    """Return a title in NFC with single blanks: pages and golds compose the letters of some scripts otherwise."""
    return " ".join(unicodedata.normalize("NFC", title).split())


def _is_same_day(gold: Gold, found: Found) -> bool:
    said = datetime.fromisoformat(gold.day) if re.match(r"\d{4}-\d\d-\d\d ", gold.day) else None
    if said is not None and said.tzinfo is not None and found.published is not None:
        return found.published.astimezone(said.tzinfo).date() == said.date()
    return found.day == gold.day[:10]


def _sides(compared: list[Compared]) -> tuple[list[Scores], list[Scores]]:
    return [each.ours for each in compared], [each.theirs for each in compared]


def _line(name: str, compared: list[Compared], scores: list[Scores], found: list[bool]) -> str:
    articles = [got for each, got in zip(compared, found, strict=True) if not each.listing]
    listings = [got for each, got in zip(compared, found, strict=True) if each.listing]
    cells = [_cell(_mean(getattr(score, field) for score in scores)) for field in ("text", "title", "day", "lead")]
    return (
        f"{name:24} {len(articles):5} {cells[0]:>7} {articles.count(False):5} {cells[1]:>7} {cells[2]:>7} "
        f"{cells[3]:>7}  {sum(listings)} of {len(listings)}"
    )


def _lower(compared: list[Compared]) -> Iterator[str]:
    """Yield the pages on which ours is lower by more than a tenth, and those lost, with the reason."""
    for each in compared:
        mine, other = each.ours.text, each.theirs.text
        if mine is None or other is None:
            continue
        if mine < other - _LOWER or not each.found:
            yield f"    {mine:.3f} against {other:.3f}  {each.name}  {each.reason or 'no reason given'}"[:240]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
