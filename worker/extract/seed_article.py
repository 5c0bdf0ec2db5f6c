"""Extracts the article from a seed file: raw text as it was scraped, with navigation, teasers and comments in it.

Each line is classified by its form, then a scan from the lead decides where the article stops, resumes and ends. If
in doubt, a line is kept: an article with a stray teaser is still recognised as a duplicate later, one without a
paragraph is not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from worker.charset import clean
from worker.charset.characters import clean_line, count_words, fold, fold_ascii, sha256_of
from worker.errors import ExtractError
from worker.extract.main_text.phrases import is_block_heading, is_comment_heading, is_credit, is_cross_link, is_prompt
from worker.extract.quality import LanguageDetector, primary_language
from worker.models import Article, Kind, Seed
from worker.models.base import dataclass
from worker.urls import host_of

# Line classification. The forms (a headline has no full stop, a teaser is cut short) hold for every language; the
# phrases are in `main_text/phrases.py`.


class LineKind(StrEnum):
    """The kind of a line, judged without its neighbours."""

    BLANK = "blank"
    NOISE = "noise"
    MARKER = "marker"
    CREDIT = "credit"
    SIGNATURE = "signature"
    HEADLINE = "headline"
    SENTENCE = "sentence"


_URL = r"\((?:[^)\s!\[]|!(?!\[)|\[(?!\])){0,2000}+\)"
_IMAGE = re.compile(rf"!\[[^\]\n]{{0,300}}\](?:\]|{_URL}| ?)*|\[\]{_URL}")
_PLAYER_TIME = re.compile(r"\d{1,2}:\d{2}(?:\s*/\s*\d{1,2}:\d{2})?")
_DATE_LINE = re.compile(
    r"(?:(?:thứ \w{1,9}|chủ nhật),?\s{0,5})?(?:ngày\s{0,5})?"
    r"\d{1,2}(?:[/.-]\d{1,2}[/.-]\d{2,4}|\s{1,5}\w{3,9}\.?,?(?:\s{1,5}\d{4})?)"
    r"[\s,|–-]{0,9}(?:\d{1,2}[:h]\d{2}\s{0,5}(?:am|pm)?)?(?:\s{0,5}\(?gmt\s{0,5}[+-]?\d{0,2}\)?)?",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"\(?(?:theo|nguồn|source)\s{0,5}:?\s{1,5}[\w.,/&’'\- ]{2,50}\)?\.?", re.IGNORECASE)
_END = re.compile(r"(?:[.!…]|\.\.\.|\./\.|[.!?…]\s?[\"”’»)\]]|[\"”’»)\]][.!…]|[.!?…]\s?[\"”’»)\]]{2,9}|[:;])$")
_TRUNCATED = re.compile(r"(?:\s\.\.\.|…|\.\.\.)$")
_DATELINE = re.compile(r"(\(?[\w.]+(?: [\w.]+){0,4}\)?)\s{1,9}[-–—]\s{1,9}")
# A line of this many words is a sentence even without a full stop. Chosen, not measured: headlines are shorter.
_LONG_LINE_WORDS = 35
# A shorter line is no sentence even with a full stop. Chosen, not measured.
_SHORT_LINE_WORDS = 5


_LISTED = frozenset({LineKind.HEADLINE, LineKind.NOISE, LineKind.MARKER})
"""The kinds of lines that a list of links is made of."""


def classify_line(line: str) -> LineKind:
    """Return the kind of a stripped line."""
    if not line:
        return LineKind.BLANK
    bare = without_images(line)
    if is_block_heading(bare):
        return LineKind.MARKER
    if (
        not fold(bare)
        or _PLAYER_TIME.fullmatch(bare)
        or _DATE_LINE.fullmatch(bare)
        or is_prompt(bare)
        or is_cross_link(bare)
    ):
        return LineKind.NOISE
    if _SIGNATURE.fullmatch(bare):
        return LineKind.SIGNATURE
    words = len(bare.split())
    if words <= 45 and is_credit(bare):
        return LineKind.CREDIT
    if words >= _LONG_LINE_WORDS or (words >= _SHORT_LINE_WORDS and _END.search(bare)):
        return LineKind.SENTENCE
    return LineKind.HEADLINE


def is_truncated(line: str) -> bool:
    """Return whether a line ends in an ellipsis, as teasers do."""
    return _TRUNCATED.search(line) is not None


def dateline(line: str) -> str:
    """Return the dateline that a site puts before its leads (`(Báo X) - …`), folded; an empty string if none."""
    match = _DATELINE.match(line)
    return fold(match[1]) if match and len(match[1]) <= 40 else ""


def without_images(line: str) -> str:
    """Return a line without Markdown images, bullets and the bars of flattened table cells."""
    return _IMAGE.sub(" ", line).strip(" |\t•*·")


# The scan over the lines.

_NAME_OR_NUMBER = re.compile(r"(?<=\s)(?:[^\W\d_a-zà-ỹ][\w-]*|\d[\d.,/]*)")


# After a box of at most so many teasers, one or two sentences can belong to the article; after a longer one, it takes
# three in a row. Chosen, not measured.
_MAX_SHORT_BOX_LINES = 6


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    kind: LineKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedText:
    """A seed's title and article text: paragraphs separated by one newline, the lead first, without the title."""

    title: str
    text: str


def extract_seed_text(raw: str) -> SeedText:
    """Return the article in a seed's raw text. Pure."""
    lines = [_line(part) for part in clean(raw).splitlines()]
    first = _first_sentence(lines)
    title = _title(lines, first)
    body = _Body(lines, first, title)
    return SeedText(title=title, text="\n".join(body.paragraphs()))


def _line(raw: str) -> _Line:
    cleaned = clean_line(raw)
    return _Line(text=clean_line(without_images(cleaned)), kind=classify_line(cleaned))


def _first_sentence(lines: list[_Line]) -> int:
    return next((i for i, line in enumerate(lines) if line.kind is LineKind.SENTENCE), len(lines))


def _title(lines: list[_Line], first: int) -> str:
    """Return the first line; if that is navigation, the headline directly before the lead."""
    top = next((line.text for line in lines if line.text), "")
    folded = Counter(fold(line.text) for line in lines)
    if folded[fold(top)] > 1 or first in {0, len(lines)}:
        return top
    headlines = [line.text for line in lines[:first] if line.kind is LineKind.HEADLINE]
    return (
        headlines[-1]
        if headlines and _shared_words(headlines[-1], lines[first].text) > _shared_words(top, lines[first].text)
        else top
    )


def _shared_words(headline: str, sentence: str) -> float:
    words = set(fold(headline).split())
    return len(words & set(fold(sentence).split())) / (len(words) or 1)


class _Body:
    """Scans the lines from the lead on and decides where the article is interrupted, resumes and ends."""

    def __init__(self, lines: list[_Line], first: int, title: str) -> None:
        self._lines = lines
        self._first = first
        self._title = fold(title)
        self._slug = fold_ascii(title)
        self._dateline = dateline(lines[first].text) if first < len(lines) else ""
        self._kept: list[str] = []

    def paragraphs(self) -> list[str]:
        """Return the article's paragraphs."""
        i = self._first
        while i < len(self._lines):
            if self._starts_other_block(i):
                i = self._resume_index(i)
                continue
            self._keep(self._lines[i])
            i += 1
        return _without_repeats(self._kept)

    def _keep(self, line: _Line) -> None:
        if line.kind in {LineKind.SENTENCE, LineKind.HEADLINE, LineKind.SIGNATURE} and fold(line.text) not in {
            self._title,
            self._slug,
        }:
            self._kept.append(line.text)

    def _starts_other_block(self, i: int) -> bool:
        """Return whether a block that is not the article begins here."""
        line = self._lines[i]
        if line.kind is LineKind.MARKER or self._is_teaser(line):
            return True
        if self._is_lead_of_other_article(line):
            return True
        return line.kind in {LineKind.HEADLINE, LineKind.CREDIT} and self._precedes_teasers(i)

    def _is_teaser(self, line: _Line) -> bool:
        """Return whether the line is a link text: the page's slug (an image's alt text), then another headline."""
        if line.kind is LineKind.SENTENCE and len(line.text.split()) > 40:
            return False
        folded = fold(line.text)
        return bool(self._slug) and self._slug != self._title and folded.startswith(self._slug) and folded != self._slug

    def _is_lead_of_other_article(self, line: _Line) -> bool:
        """Return whether the line is another article's lead: it has the same dateline as this article's lead."""
        return (
            bool(self._dateline and self._kept) and dateline(line.text) == self._dateline and not self._is_repeat(line)
        )

    def _is_repeat(self, line: _Line) -> bool:
        folded = fold(line.text)
        return any(folded in fold(kept) for kept in self._kept[:3])

    def _precedes_teasers(self, i: int) -> bool:
        """Return whether a list of teasers begins here: a repeated line, another lead, or three headlines."""
        following = [line for line in self._lines[i : i + 12] if line.kind not in {LineKind.BLANK, LineKind.NOISE}][:4]
        folded = [fold(line.text) for line in following]
        if len(following) > 1 and folded[0] == folded[1] and folded[0] != self._title:
            return True
        headlines = 0
        for line in following:
            if self._is_lead_of_other_article(line) or (
                headlines and is_truncated(line.text) and line.kind is not LineKind.HEADLINE
            ):
                return True
            if line.kind is LineKind.SENTENCE:
                return False
            headlines += line.kind is LineKind.HEADLINE and not self._is_own_title(line)
        return headlines >= 3

    def _resume_index(self, i: int) -> int:
        """Return the index at which the article resumes after an interruption, the number of lines if it does not."""
        skipped = 0
        comments = False
        for j in range(i, len(self._lines)):
            line = self._lines[j]
            comments = comments or is_comment_heading(line.text)
            if j > i and line.kind is LineKind.SENTENCE and not comments and self._is_article(j, skipped=skipped):
                return j
            skipped += line.kind in {LineKind.SENTENCE, LineKind.HEADLINE} and not self._is_own_title(line)
        return len(self._lines)

    def _is_article(self, j: int, *, skipped: int) -> bool:
        """Return whether the sentence at j belongs to the article: three in a row do, fewer only after a short box.

        A list of teasers has a headline between any two of its sentences, or any three if its pictures have captions.
        """
        run, rest = self._run_of_sentences(j)
        if len(run) >= 3:
            return True
        near = skipped <= _MAX_SHORT_BOX_LINES
        if len(run) == 2:
            return near or self._may_end_before(rest) or self._shares_names(" ".join(run))
        if not run or not near:
            return False
        return rest[:1] == [LineKind.SIGNATURE] or (self._may_end_before(rest) and self._shares_names(run[0]))

    def _run_of_sentences(self, j: int) -> tuple[list[str], list[LineKind]]:
        """Return up to three sentences in a row from j on, and the kinds of the two lines that follow them."""
        run: list[str] = []
        rest: list[LineKind] = []
        for line in self._lines[j:]:
            if line.kind in {LineKind.BLANK, LineKind.NOISE, LineKind.CREDIT} or self._is_own_title(line):
                continue
            if not rest and len(run) < 3 and line.kind is LineKind.SENTENCE and not self._is_foreign(line):
                run.append(line.text)
                continue
            short = line.kind is LineKind.HEADLINE and len(line.text.split()) <= 4
            rest.append(LineKind.SIGNATURE if short and not rest else line.kind)
            if len(rest) == 2:
                break
        return run, rest

    def _may_end_before(self, rest: list[LineKind]) -> bool:
        """Return whether an article may end before these lines: no line, a block heading, or a lone signature."""
        return not rest or LineKind.MARKER in rest[:2] or (len(rest) == 1 and rest[0] is LineKind.SIGNATURE)

    def _is_own_title(self, line: _Line) -> bool:
        return fold(line.text) in {self._title, self._slug}

    def _is_foreign(self, line: _Line) -> bool:
        return is_truncated(line.text) or self._is_teaser(line) or self._is_lead_of_other_article(line)

    def _shares_names(self, text: str) -> bool:
        names = set(_NAME_OR_NUMBER.findall(text))
        known = set(_NAME_OR_NUMBER.findall(" " + " ".join(self._kept)))
        return len(names) >= 2 and len(names & known) >= max(2, len(names) / 2)


def _without_repeats(paragraphs: list[str]) -> list[str]:
    """Drop paragraphs that are part of an earlier one (a lead given twice, a picture's text repeated)."""
    kept: list[str] = []
    earlier: list[str] = []
    for paragraph in paragraphs:
        folded = fold(paragraph)
        if len(folded) > 40 and any(folded in other for other in earlier):
            continue
        kept.append(paragraph)
        earlier.append(folded)
    return kept


# Scraped or clean: a text is cleaned only where the collection around it shows that it was scraped.


_SCRAPED_SHARE = 0.05
"""The share of texts with certain marks from which a collection counts as scraped. Measured with `make bench-seeds
ARGS="--only clean"`: 1 in 1,561 clean texts has such marks, and 14 of 17 seeds with furniture around the article."""
_MANY_REPEATS, _LONG_LIST = 2, 6
"""Lines that a text repeats, lines in a row that are no sentence. Measured as above: each of the 17 seeds has one."""
_MAX_SCRAPED = 300_000
"""A longer text is never cleaned: the scan takes quadratic time, and no page is that long. Chosen, not measured."""


def find_scraped(raws: Sequence[str]) -> list[bool]:
    """Return which texts of one collection were scraped with furniture around the article.

    Headings of link blocks ("Tin liên quan") and lists without sentences are the marks. A single text is not enough
    evidence to cut something out of it: if hardly any text has certain marks, the collection is clean.
    """
    if sum(map(_is_surely_scraped, raws)) < _SCRAPED_SHARE * len(raws):
        return [False] * len(raws)
    return [len(raw) <= _MAX_SCRAPED and bool(_count_headings(raw) or _has_lists(raw)) for raw in raws]


def _is_surely_scraped(raw: str) -> bool:
    headings = _count_headings(raw)
    return headings >= _MANY_REPEATS or (headings > 0 and _has_lists(raw))


def _count_headings(raw: str) -> int:
    """Return the number of block headings; only short lines can be one."""
    short = (line for line in raw.splitlines() if line and len(line) < 100)
    return sum(is_block_heading(without_images(clean_line(line))) for line in short)


def _has_lists(raw: str) -> bool:
    """Return whether a text repeats lines, or has a list of lines that are no sentences."""
    if len(raw) > _MAX_SCRAPED:
        return False
    lines = [line for part in clean(raw).splitlines() if (line := _line(part)).text]
    if len(lines) - len({fold(line.text) for line in lines}) >= _MANY_REPEATS:
        return True
    runs = "".join("-" if line.kind in _LISTED else " " for line in lines).split()
    return max(map(len, runs), default=0) >= _LONG_LIST


def seed_article(seed: Seed, *, fetched_at: datetime, languages: LanguageDetector, scraped: bool) -> Article:
    """Return the article of a seed; raise ExtractError (`empty`) if there is none.

    A scraped text is cleaned. Of another one, every paragraph is kept; the first line of a text file is its title.
    """
    found = _cleaned(seed) if scraped else _as_it_is(seed)
    if not found.text:
        raise ExtractError(f"no article was found in the seed {seed.name}", reason="empty")
    return Article(
        url=seed.url or f"seed:{seed.name}",
        canonical_url=seed_key(seed),
        source="seeds",
        host=host_of(seed.url) if seed.url else "",
        title=found.title,
        text=found.text,
        language=primary_language(seed.language) or languages.identify(found.text),
        fetched_at=fetched_at,
        words=count_words(found.text),
        sha256=sha256_of(found.text),
        kind=Kind.SEED,
        published_at=seed.published_at,
        published_at_from="input" if seed.published_at else "",
        external_id=seed.external_id,
    )


def seed_key(seed: Seed) -> str:
    """Return the canonical URL of a seed: rows move in a file, so that of a row is made of its text and address."""
    if seed.row is None:
        return f"seed:{seed.name}"
    digest = sha256_of(f"{seed.sha256} {seed.url}") if seed.url else seed.sha256
    return f"seed:{seed.name.rpartition('#')[0]}#{digest[:16]}"


def _cleaned(seed: Seed) -> SeedText:
    """Return the article in a scraped text; the title that a row gives goes before the one that is found."""
    found = extract_seed_text(f"{seed.title}\n{seed.raw}" if seed.title else seed.raw)
    return SeedText(title=seed.title or found.title, text=found.text)


def _as_it_is(seed: Seed) -> SeedText:
    """Return every paragraph of a text."""
    paragraphs = [line for part in clean(seed.raw).splitlines() if (line := clean_line(part))]
    if seed.row is not None:
        return SeedText(title=seed.title or "", text="\n".join(paragraphs))
    return SeedText(title="".join(paragraphs[:1]), text="\n".join(paragraphs[1:]))
