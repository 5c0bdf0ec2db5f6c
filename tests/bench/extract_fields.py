"""Holds the fields of articles against gold, by halves of the publishers: lead, section, tags, authors, picture."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pool

from tests.bench.extract_gold import SETS, Gold
from tests.bench.extract_quality import request_of
from worker.charset.characters import fold
from worker.extract.article import ArticleExtractor
from worker.extract.document import open_document, read_marks
from worker.extract.explain import ArticleFields
from worker.extract.fields.metadata import find_fields
from worker.extract.ipc import ExtractRules
from worker.extract.multipage import is_same_picture
from worker.models import Article

_RULES = ExtractRules(min_words=0, languages=(), timezone="UTC")
_SAME_TEXT = 0.9
_CREDIT_WORDS = 15
_WITH_GOLD = ("vi", "vi2", "fundus")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is right on one page: counts by field and outcome, and a line for each field that is not right."""

    name: str
    half: int
    counts: Counter[str]
    wrong: tuple[str, ...]


def fields(names: Iterable[str], say: Say, *, show: bool = False) -> None:
    """Print for each set and half of its publishers how many fields are right, wrong and missing."""
    for name in (each for each in names if each in _WITH_GOLD):
        with Pool(len(os.sched_getaffinity(0)), initializer=_start) as pool:
            judged = list(pool.imap(_judge, (gold for gold in SETS[name]() if not gold.listing), chunksize=4))
        for half in (0, 1):
            say(f"{name}, half {half + 1} of the publishers")
            _print([each for each in judged if each.half == half], say)
        for each in judged if show else ():
            for line in each.wrong:
                say(f"    {each.name}: {line}")


def _print(judged: Sequence[Judged], say: Say) -> None:
    total: Counter[str] = Counter()
    for each in judged:
        total.update(each.counts)
    for field in ("lead", "section", "tags", "authors", "image", "caption"):
        right, wrong, missing = (total[f"{field} {what}"] for what in ("right", "wrong", "missing"))
        precision = f"{right / (right + wrong):.3f}" if right + wrong else "  -  "
        recall = (
            f"{right / (right + missing + wrong * (field not in _LISTS)):.3f}" if right + missing + wrong else "  -  "
        )
        say(f"    {field:8} precision {precision}  recall {recall}  ({right} right, {wrong} wrong, {missing} missing)")


_LISTS = ("tags", "authors")
_readers: list[ArticleExtractor] = []


def _start() -> None:
    _readers.append(ArticleExtractor(_RULES))


def _judge(gold: Gold) -> Judged:
    page, hints = request_of(gold)
    told = _readers[0].explain(page, hints, fetched_at=page.fetched_at)
    half = zlib.crc32(gold.name.partition("_")[0].encode()) % 2
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    if told.article is None:
        return Judged(name=gold.name, half=half, counts=counts, wrong=(f"no article: {told.message}",))
    article = told.article
    _one("lead", article.lead or "", gold.lead, same_text, counts, wrong)
    _many("tags", article.tags, gold.tags, counts, wrong)
    _many("authors", article.authors, gold.authors, counts, wrong)
    if gold.images:
        found = article.image or ""
        is_right = bool(found) and any(is_same_picture(found, url) for url in gold.images)
        _count("image", found, is_right, f"{found} for {gold.images[0]}", counts, wrong)
    _one("caption", article.image_caption or "", gold.caption, same_caption, counts, wrong)
    _section(gold, article, counts, wrong)
    return Judged(name=gold.name, half=half, counts=counts, wrong=tuple(wrong))


def same_text(one: str, other: str) -> bool:
    """Return whether two texts have nearly the same words (F1 of at least 0.9)."""
    first, second = Counter(fold(one).split()), Counter(fold(other).split())
    shared = (first & second).total()
    return 2 * shared >= _SAME_TEXT * (first.total() + second.total())


def same_caption(found: str, gold: str) -> bool:
    """Return whether a caption has the words of the gold, and at most a credit besides: fifteen words, or as many."""
    first, second = Counter(fold(found).split()), Counter(fold(gold).split())
    shared = (first & second).total()
    return shared >= _SAME_TEXT * second.total() and first.total() - shared <= max(_CREDIT_WORDS, second.total())


def _one(
    field: str, found: str, gold: str, same: Callable[[str, str], bool], counts: Counter[str], wrong: list[str]
) -> None:
    if gold:
        _count(field, found, same(found, gold), f"{found!r} for {gold!r}", counts, wrong)


def _count(field: str, found: str, is_right: bool, detail: str, counts: Counter[str], wrong: list[str]) -> None:
    counts[f"{field} {'right' if is_right else 'wrong' if found else 'missing'}"] += 1
    if not is_right:
        wrong.append(f"{field}: {detail}")


def _many(field: str, found: Sequence[str], gold: Sequence[str], counts: Counter[str], wrong: list[str]) -> None:
    if not gold:
        return
    ours, theirs = set(map(fold, found)), set(map(fold, gold))
    counts[f"{field} right"] += len(ours & theirs)
    counts[f"{field} wrong"] += len(ours - theirs)
    counts[f"{field} missing"] += len(theirs - ours)
    if ours != theirs:
        wrong.append(f"{field}: not in gold {sorted(ours - theirs)}, not found {sorted(theirs - ours)}")


def _section(gold: Gold, article: Article, counts: Counter[str], wrong: list[str]) -> None:
    """Compare the section that JSON-LD declares with what the other sources give."""
    page, _ = request_of(gold)
    document = open_document(page)
    declared = set(map(fold, document.json_ld.sections))
    if not declared:
        return
    without = replace(document, json_ld=replace(document.json_ld, sections=()))
    found: ArticleFields = find_fields(without, read_marks(without), title=article.title, lead="", text=article.text)
    section = found.section or ""
    _count("section", section, fold(section) in declared, f"{section!r} for {sorted(declared)}", counts, wrong)
