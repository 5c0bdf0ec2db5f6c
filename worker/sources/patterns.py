"""Tells addresses of articles from those of sections, topics and services, and learns how a site writes them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from worker.sources.links import Link

_ENDING = re.compile(r"\.[a-z]{2,5}\Z", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\A|(?<=[-_./,]))([a-z]{0,6})(\d{4,})\Z", re.IGNORECASE)
_INNER_NUMBER = re.compile(r"/(?:article|artikel|story|post|news|[a-z])?-?\d{5,}/[^/]+\Z")
_HASH = re.compile(r"(?:\A|-)(?=(?:[a-z]*\d){3})(?=\d*[a-z])[a-z0-9]{10,32}\Z")
_DATED = re.compile(r"/(?:19|20)\d{2}[/-](?:0?[1-9]|1[0-2]|[a-z]{3})(?:[/-]\d{1,2})?(?:/|-)")
_WORD_BREAK = re.compile(r"[-_.+ ]+")
_SERVICE = re.compile(
    r"/(?:tags?|topics?|(?:nhom-)?chu-de|su-kien|dong-su-kien|chuyen-muc|chuyen-trang|category|categories|sections?|authors?|"
    r"tac-gia|search|tim-kiem|page|trang|login|dang-nhap|dang-ky|register|subscribe|rss|lien-he|contact|about|gioi-thieu|"
    r"privacy|policy|terms|quang-cao|advertise|newsletters?|sitemap|account|help|jobs?|tuyen-dung|download|static|profile)"
    r"(?:[-_]?\d+)?(?:[/.?]|\Z)",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"[-_](?:tag|topic|sk|event|cat|author)\d{3}\w*\Z", re.IGNORECASE)
_LETTERS = str.maketrans("đĐ", "dD")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressShape:
    """How an address is written: what all articles of one site have in common."""

    ending: str
    number: str
    dated: bool
    wordy: bool
    deep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an address and the link to it say by themselves: the shape, and points for being an article."""

    shape: AddressShape
    points: int
    service: bool


def read(link: Link) -> Reading:
    """Return what a link says by itself."""
    parts = urlsplit(link.key)
    path = unquote(parts.path).lower()
    last = path.rstrip("/").rpartition("/")[2]
    ending = _ENDING.search(last)
    stem = last[: ending.start()] if ending else last
    number = _numbered(stem, path, parts.query)
    words = [word for word in _WORD_BREAK.split(stem) if word and not word.isdigit()]
    shape = AddressShape(
        ending=ending[0] if ending else "",
        number=number,
        dated=_DATED.search(path) is not None,
        wordy=len(words) >= 5,
        deep=path.count("/") > 2,
    )
    service = _SERVICE.search(path) is not None or _TAGGED.search(stem) is not None
    return Reading(shape=shape, points=_points(link, shape, words), service=service)


def _numbered(stem: str, path: str, query: str) -> str:
    """Return how an address carries the article's number: the letters before it, or a sign; empty for none."""
    number = _NUMBER.search(stem)
    if number:
        return f"{number[1]}{'0' * min(len(number[2]) // 4, 3)}"
    if _INNER_NUMBER.search(path):
        return "/"
    if _HASH.search(stem):
        return "#"
    return "?" if re.search(r"(?:\A|&)(?:id|p|aid|newsid|article_?id|sid)=\d{3,}(?:&|\Z)", query) else ""


def _points(link: Link, shape: AddressShape, words: list[str]) -> int:
    said = _plain(link.text)
    length = _length(link.text)
    points = 2 * (length >= 6) + (length in {4, 5}) - (0 < length <= 2)
    points += 2 * bool(shape.number) + 2 * shape.dated
    points += (len(words) >= 4) + (len(words) >= 7)
    points += len(words) >= 4 and _alike(words, said)
    points += link.headed
    return points - 3 * link.furniture


def _length(text: str) -> int:
    """Return the number of words of a text; scripts that do not part words count by letters."""
    return max(len(text.split()), sum(letter >= "\u2e80" for letter in text) // 2)


def _plain(text: str) -> list[str]:
    """Return the words of a text as an address would spell them: without marks, in small letters."""
    bare = "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
    return re.findall(r"[a-z0-9]+", bare.translate(_LETTERS).lower())


def _alike(words: list[str], said: list[str]) -> bool:
    """Tell whether a slug was made of a title."""
    return bool(said) and len(set(words) & set(said)) >= 0.6 * min(len(set(words)), len(set(said)))


def article_shapes(readings: Iterable[Reading]) -> Mapping[AddressShape, float]:
    """Learn from one page the shapes of its articles: each with the mean points of the links written so."""
    sums: dict[AddressShape, list[int]] = {}
    for reading in readings:
        if not reading.service:
            sums.setdefault(reading.shape, []).append(reading.points)
    means = {shape: sum(points) / len(points) for shape, points in sums.items()}
    return {shape: mean for shape, mean in means.items() if mean >= 3.0 and (len(sums[shape]) >= 3 or mean >= 5.0)}
