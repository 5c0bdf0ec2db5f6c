"""Quality signals of a text as columns, and masking of personal data. All functions are pure.

The definitions are those of three papers:

Gopher   Rae et al. 2021, "Scaling Language Models", arXiv:2112.11446, appendix A.1.1 (quality, repetition)
C4       Raffel et al. 2020, "Exploring the Limits of Transfer Learning", arXiv:1910.10683, section 2.2
FineWeb  Penedo et al. 2024, "The FineWeb Datasets", arXiv:2406.17557, section 3.5

A word is a run of characters between blanks without the punctuation around it; in Chinese, Japanese and Thai, which
have no blanks, that is a phrase. A line is a paragraph of the text. Shares are 0 for a text without lines or words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import lru_cache
from typing import Final

from worker.charset.characters import count_words, sha256_of
from worker.export.columns import ColumnType, ExportColumn
from worker.models import Article, StoredArticle
from worker.models.base import dataclass

# Quality signals.


# C4's four marks, and what other scripts and typographers write for them.
_TERMINAL: Final = (".", "!", "?", '"', "'", "”", "’", "»", "。", "！", "？", "」", "।", "؟", "။", "።")
_ELLIPSES: Final = ("...", "…")
_BULLETS: Final = ("•", "‣", "▪", "●", "-", "–", "*")
_SHORT_LINE: Final = 30  # characters, as FineWeb counts
_AROUND_WORDS: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”‘’«»…–—•·"
STOP_WORDS: Final = {
    "en": frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),
    "vi": frozenset(
        ("là", "và", "của", "một", "được", "trong", "năm", "các", "có", "loài", "này", "đã", "người")
    ),
}  # fmt: skip
"""Stop words by language: Gopher's for English, those of FineWeb-2's configuration `vie_Latn` for Vietnamese."""


_DIGITS: Final = 4  # after the point: enough for every threshold, and the same on every machine
_MEANINGS: Final = {
    "mean_word_length": "characters of a word, on average",
    "symbol_share": "`#` or ellipses for each word",
    "alphabetic_words": "share of words with a letter",
    "bullet_lines": "share of lines that begin with a bullet",
    "ellipsis_lines": "share of lines that end in an ellipsis",
    "doubled_lines": "share of lines equal to an earlier one",
    "doubled_line_chars": "share of characters in such lines",
    "punctuated_lines": "share of lines that end in a terminal punctuation mark",
    "short_lines": "share of lines of at most 30 characters",
    "stop_words": "number of stop words; none for a language without a list",
}
_COUNTS: Final[dict[str, ColumnType]] = {"stop_words": "int32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySignals:
    """The signals of one text that need no model.

    mean_word_length: characters of a word (Gopher keeps 3 to 10).
    symbol_share: `#` or ellipses, whichever are more, for each word (Gopher keeps up to .1).
    alphabetic_words: share of the words with a letter (Gopher keeps from .8).
    bullet_lines, ellipsis_lines: shares of the lines that begin with a bullet or end in an ellipsis (Gopher keeps up to
    .9 and .3).
    doubled_lines, doubled_line_chars: shares of the lines that are equal to an earlier one, and of the characters in
    such lines (Gopher keeps up to .3 and .2, FineWeb up to .01 of the characters).
    punctuated_lines: share of the lines that end in a terminal punctuation mark (C4 keeps only such lines, FineWeb
    texts with more than .12 of them).
    short_lines: share of the lines of at most 30 characters (FineWeb keeps less than .67).
    stop_words: how many words are stop words of the language (Gopher keeps from 2); None for other languages.
    """

    mean_word_length: float
    symbol_share: float
    alphabetic_words: float
    bullet_lines: float
    ellipsis_lines: float
    doubled_lines: float
    doubled_line_chars: float
    punctuated_lines: float
    short_lines: float
    stop_words: int | None


@lru_cache(maxsize=2)
def quality_signals(text: str, language: str) -> QualitySignals:
    """Return the signals of a text; the latest are kept, since each column asks for one of them."""
    words = [word for word in (piece.strip(_AROUND_WORDS) for piece in text.split()) if word]
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    doubled = _doubled(lines)
    symbols = max(text.count("#"), sum(map(text.count, _ELLIPSES)))
    listed = STOP_WORDS.get(language)
    return QualitySignals(
        mean_word_length=_share(sum(map(len, words)), len(words)),
        symbol_share=_share(symbols, len(words)),
        alphabetic_words=_share(sum(1 for word in words if word.isalpha() or any(map(str.isalpha, word))), len(words)),
        bullet_lines=_share(sum(line.startswith(_BULLETS) for line in lines), len(lines)),
        ellipsis_lines=_share(sum(line.endswith(_ELLIPSES) for line in lines), len(lines)),
        doubled_lines=_share(len(doubled), len(lines)),
        doubled_line_chars=_share(sum(map(len, doubled)), sum(map(len, lines))),
        punctuated_lines=_share(sum(line.endswith(_TERMINAL) for line in lines), len(lines)),
        short_lines=_share(sum(len(line) <= _SHORT_LINE for line in lines), len(lines)),
        stop_words=None if listed is None else sum(word.lower() in listed for word in words),
    )


def _doubled(lines: list[str]) -> list[str]:
    """Return the lines that are equal to an earlier one."""
    seen: set[str] = set()
    return [line for line in lines if line in seen or seen.add(line)]  # type: ignore[func-returns-value]


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


LanguageScore = Callable[[str, str], float]
"""Returns the probability that a text is in a language (ISO 639-1), by a model."""


def quality_columns(score: LanguageScore) -> tuple[ExportColumn, ...]:
    """Return the columns of `--quality`: the probability of the text's language, then the fields of QualitySignals."""
    named = (_signal_column(each.name) for each in fields(QualitySignals))
    meaning = "probability that the text is in `language`, by the model that detected it"
    found = lambda text: round(score(text.article.text, text.article.language), _DIGITS)  # noqa: E731
    return (ExportColumn("language_score", "float64", found, meaning), *named)


def _signal_column(name: str) -> ExportColumn:
    def value(text: StoredArticle) -> object:
        found = getattr(quality_signals(text.article.text, text.article.language), name)
        return round(found, _DIGITS) if isinstance(found, float) else found

    return ExportColumn(name, _COUNTS.get(name, "float64"), value, _MEANINGS[name], nullable=name in _COUNTS)


# Personal data. What is masked is a number or an address in a form that hardly anything else has.


_EMAIL: Final = re.compile(r"(?<![\w.+%-])\w[\w.+%-]{0,63}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@])")
_HIDDEN: Final = "\u200b"
"""In place of a character that is not seen, which may be anywhere in a number (joiners, marks of direction)."""
_PLAIN: Final = {
    **dict.fromkeys((0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), _HIDDEN),
    **dict.fromkeys((*range(0x2010, 0x2014), 0x2212), "-"),
    **dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000), " "),
    **{0xFF10 + digit: str(digit) for digit in range(10)},
}
"""Other forms of digits, blanks and hyphens: one character for one, so that places stay."""
_OTHER_FORM: Final = re.compile(f"[{''.join(map(chr, _PLAIN))}]")
# A row of digits with blanks, dots, hyphens and brackets between them. Another such row may stand beside it after a
# slash or a hyphen, but it is no part of a word, a decimal number or an address.
_NUMBER: Final = re.compile(
    r"(?=[+(\d])(?<![\w=@#&?])(?<!\d[.,])(?<![^\d\s]-)(?<![^\d\s]/)(?<!/\d/)(?<!/\d{2}/)(?<!/\d{4}/)"
    r"(?:\(\+?\d{1,4}(?:[ .-]\d{1,4})?\)|\+?\d)(?:\u200b?[ .-]?\u200b?\(?\d\)?){6,17}"
    r"(?![\w@])(?![.,:]\d)(?!-\d{1,7}(?!\d))(?!/[^\d\s]|/\Z)"
)
_GROUP: Final = re.compile(r"\d+")
_BLANK: Final = re.compile(r" ")
_MAX_BLANKS: Final = 8  # a row with more is a table; two phone numbers have seven
_PASSES: Final = 4  # numbers with nothing but blanks between them are masked one by one; more in a row are no text
_GROUPED_BY_THOUSANDS: Final = re.compile(r"\+?\d{1,3}(?:\.\d{3})+")
_NORTH_AMERICAN: Final = re.compile(r"(?:1-)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}-)[2-9]\d{2}-\d{4}")
_TRUNK_ZERO: Final = re.compile(r"\A840")  # `+84 (0) 912…`
# Words before a number that say that it is an identity card's, and words after it that say that it is none.
_ID_NAME: Final = re.compile(
    r"(?:cmnd|cmtnd|cmt|cccd|chứng minh|căn cước|định danh|tùy thân|hộ chiếu|identity|id card|id number|passport)"
    r"[^\d\n]{0,40}\Z",
    re.IGNORECASE,
)
_UNIT: Final = re.compile(
    r"\s?(?:đồng|vnđ|vnd|usd|đô la|đ\b|₫|\$|€|%|triệu|tỷ|tỉ|nghìn|ngàn|người|km|m2|m²|ha\b|tấn|kg|euro|dollars?)",
    re.IGNORECASE,
)
_CONTEXT: Final = 60  # characters before a number in which its name is looked for; chosen, about ten words
# Vietnamese numbers have ten digits, or eleven for a landline (since 2017) and for mobiles of before 2018.
_VIETNAMESE: Final = re.compile(r"(?:84(?:[35789]\d{8}|2\d{8,9})|0(?:[35789]\d{8}|2\d{8,9}|[46]\d{8,9}|1[2689]\d{8}))")
_CITIZEN: Final = re.compile(r"0(?!00)(?:[0-8]\d|9[0-6])[0-3]\d{8}")
_SHORT_ID, _LONG_ID = 9, 12  # digits of an identity card's number, until 2016 and since
# Digits of a number after `+`, with the code of the country: up to 15 (ITU-T E.164); fixed for some codes.
_INTERNATIONAL: Final = re.compile(r"1\d{10}|84\d{9,10}|(?!1|84)[2-9]\d{8,14}")
_PAIRS: Final = re.compile(r"0[35789](?:\.\d{2}){4}")  # `09.12.34.56.78`; with blanks, it may be a list of draws
_SMALLEST_GROUP: Final = 3  # digits; the parts of a date have two
_FIRST_GROUPS: Final = range(3, 5)  # digits of the first group of a Vietnamese number, the area or the operator


def mask_personal_data(text: str) -> str:
    """Return a text with e-mail addresses, phone numbers and ID numbers as `[email]`, `[phone]` and `[id]`.

    Phone numbers are Vietnamese ones (`0912 345 678`, `(024) 3825 1234`) and those with a country code (`+84…`). ID
    numbers are those of Vietnamese identity cards: twelve digits that begin as such a number must, and nine or twelve
    after words such as `CMND`. Dates, prices, scores and other numbers stay.
    """
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    for _ in range(_PASSES):
        before, text = text, "".join(_pieces(text))
        if text == before:
            break
    return text


def _pieces(text: str) -> Iterator[str]:
    """Yield the parts of a text with a number in each row of digits masked."""
    end = 0
    for match in _NUMBER.finditer(text.translate(_PLAIN) if _OTHER_FORM.search(text) else text):
        masked = _mask_number(match)
        if masked != match.group():
            yield text[end : match.start()]
            yield masked
            end = match.end()
    yield text[end:]


def _mask_number(match: re.Match[str]) -> str:
    """Mask the longest run of groups that is a phone or an ID number, and ends where the row does or at a blank."""
    row, line = match.group(), match.string
    blanks = [blank.start() for blank in _BLANK.finditer(row)]
    if len(blanks) > _MAX_BLANKS:
        return row
    starts, ends = [0, *(place + 1 for place in blanks)], [*blanks, len(row)]
    runs = ((start, end) for start in starts for end in ends if end - start >= _SHORT_ID)
    for start, end in sorted(runs, key=lambda run: run[0] - run[1]):
        written = row[start:end].replace(_HIDDEN, "")
        groups = _GROUP.findall(written)
        begin = match.start() + start
        if _UNIT.match(line, match.start() + end):
            continue
        if _is_id(written, groups, line[max(0, begin - _CONTEXT) : begin]):
            return f"{row[:start]}[id]{row[end:]}"
        if _is_phone(written, groups):
            return f"{row[:start]}[phone]{row[end:]}"
    return row


def _is_id(written: str, groups: list[str], before: str) -> bool:
    digits = "".join(groups)
    if len(digits) not in {_SHORT_ID, _LONG_ID} or "+" in written or min(map(len, groups)) < _SMALLEST_GROUP:
        return False
    return _CITIZEN.fullmatch(digits) is not None or _ID_NAME.search(before) is not None


def _is_phone(written: str, groups: list[str]) -> bool:
    digits = "".join(groups)
    if "+" in written or digits.startswith("0084"):
        number = _TRUNK_ZERO.sub("84", digits.removeprefix("00"))
        if _VIETNAMESE.fullmatch(number):
            return True
        return _INTERNATIONAL.fullmatch(number) is not None and _GROUPED_BY_THOUSANDS.fullmatch(written) is None
    if _NORTH_AMERICAN.fullmatch(written) or _PAIRS.fullmatch(written):
        return True
    begins = len(groups) == 1 or len(groups[0]) in _FIRST_GROUPS or written.startswith("(") or groups[0] == "84"
    # `08 3818 1436`, as landlines were written until 2017; in a date, the day is followed by two digits.
    begins = begins or min(map(len, groups[1:])) > _SMALLEST_GROUP
    return begins and _VIETNAMESE.fullmatch(digits) is not None


def without_personal_data(stored: StoredArticle) -> StoredArticle:
    """Return an article with personal data masked in all its texts; hash and number of words are of the new text."""
    return replace(stored, article=_masked(stored.article))


def _masked(article: Article) -> Article:
    text = mask_personal_data(article.text)
    same = text == article.text
    return replace(
        article,
        title=mask_personal_data(article.title),
        text=text,
        sha256=article.sha256 if same else sha256_of(text),
        words=article.words if same else count_words(text),
        lead=_masked_or_none(article.lead),
        description=_masked_or_none(article.description),
        image_caption=_masked_or_none(article.image_caption),
        tags=tuple(map(mask_personal_data, article.tags)),
        authors=tuple(map(mask_personal_data, article.authors)),
    )


def _masked_or_none(text: str | None) -> str | None:
    return None if text is None else mask_personal_data(text)
