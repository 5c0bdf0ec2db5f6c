"""Makes edited copies of articles, as newspapers make them of each other's: a generator with a seed, so repeatable."""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.bench.articles import Piece

_TONES = "\u0300\u0301\u0303\u0309\u0323"
_NEW_STYLE = re.compile(f"(?<![qQ])([oO])([aAeE])([{_TONES}])(?!\\w)|(?<![qQ])([uU])([yY])([{_TONES}])(?!\\w)")
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})
_BYLINES = ("Theo {}", "{} (t/h)", "Ảnh: {}", "(Nguồn: {})", "PV {}")
_NAMES = ("Minh Anh", "Hoàng Long", "Thu Hà", "Tổng hợp", "Bảo Châu", "Đức Huy")
_MENU = ("Trang chủ", "Đọc nhiều", "Tin liên quan", "Bình luận (0)", "Chia sẻ", "Theo dõi trên Google News", "Đọc thêm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How much to edit: the share of words, and the chance of each other change."""

    words: float
    chance: float = 0.35
    boilerplate: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What strangers' words, titles and paragraphs come from: other articles."""

    vocabulary: Sequence[str]
    titles: Sequence[str]
    paragraphs: Sequence[str]


def material(pieces: Sequence[Piece]) -> Material:
    """Collect what edits are made of."""
    return Material(
        vocabulary=[word for piece in pieces for word in piece.text.split()],
        titles=[piece.title for piece in pieces if piece.title],
        paragraphs=[line for piece in pieces for line in piece.text.split("\n")],
    )


def edited(piece: Piece, recipe: Recipe, stuff: Material, rng: random.Random) -> tuple[Piece, tuple[str, ...]]:
    """Return an edited copy and the names of the changes made."""
    lines = [_edited_words(line, recipe.words, stuff, rng) for line in piece.text.split("\n")]
    title, made = piece.title, []
    if rng.random() < recipe.chance:
        title = _edited_words(piece.title, 0.6, stuff, rng)
        made.append("headline")
    for change in _ON_LINES:
        # A lead may be dropped or added; one put in the place of another is another story.
        if rng.random() < recipe.chance and not (change is led and "unled" in made):
            lines = change(lines, stuff, rng)
            made.append(change.__name__)
    if rng.random() < recipe.chance:
        lines = surrounded(lines, stuff, rng, most=recipe.boilerplate)
        made.append("surrounded")
    text = "\n".join(lines)
    for rewrite in _ON_TEXT:
        if rng.random() < recipe.chance:
            text = rewrite(text)
            made.append(rewrite.__name__)
    return replace(piece, key=f"{piece.key}*", title=title, text=text), tuple(made)


def bylined(lines: list[str], stuff: Material, rng: random.Random) -> list[str]:
    """Add a byline, and a photo caption somewhere in the first half."""
    caption = " ".join(rng.choice(stuff.paragraphs).split()[: rng.randint(4, 12)])
    place = rng.randint(0, max(1, len(lines) // 2))
    named = rng.choice(_BYLINES).format(rng.choice(_NAMES))
    return [*lines[:place], f"{caption}. Ảnh: {rng.choice(_NAMES)}", *lines[place:], named]


def unled(lines: list[str], _stuff: Material, _rng: random.Random) -> list[str]:
    """Drop the lead, where it is not most of the text."""
    return lines[1:] if 2 * _length(lines[:1]) <= _length(lines) else lines


def led(lines: list[str], stuff: Material, rng: random.Random) -> list[str]:
    """Add a lead: a sentence of the text, said again with other words."""
    source = rng.choice(lines)
    return [_edited_words(" ".join(source.split()[:40]), 0.4, stuff, rng), *lines]


def cut(lines: list[str], _stuff: Material, rng: random.Random) -> list[str]:
    """Cut paragraphs, up to three tenths of the words."""
    kept, room = list(lines), 0.3 * _length(lines)
    for place in rng.sample(range(len(lines)), len(lines)):
        if _length([lines[place]]) <= room and rng.random() < 0.5:
            room -= _length([lines[place]])
            kept.remove(lines[place])
    return kept


def reordered(lines: list[str], _stuff: Material, rng: random.Random) -> list[str]:
    """Move two paragraphs elsewhere."""
    moved = list(lines)
    for _ in range(min(2, len(moved) - 1)):
        moved.insert(rng.randrange(len(moved)), moved.pop(rng.randrange(len(moved))))
    return moved


def surrounded(lines: list[str], stuff: Material, rng: random.Random, *, most: float) -> list[str]:
    """Put a page's furniture around: menus and teasers, up to `most` times the words of the article."""
    room = rng.random() * most * _length(lines)
    above: list[str] = []
    below: list[str] = []
    while room > 0:
        drawn = rng.choice([rng.choice(_MENU), rng.choice(stuff.titles or _MENU), rng.choice(stuff.paragraphs)])
        teaser = " ".join(drawn.split()[: math.ceil(room)])
        (above if rng.random() < 0.3 else below).append(teaser)
        room -= len(teaser.split())
    return [*above, *lines, *below]


def decomposed(text: str) -> str:
    """Write letters and marks apart."""
    return unicodedata.normalize("NFD", text)


def toned_otherwise(text: str) -> str:
    """Put tone marks where the other spelling has them: `hoà` becomes `hòa`, `thuỷ` becomes `thủy`."""
    apart = unicodedata.normalize("NFD", text)
    moved = _NEW_STYLE.sub(lambda m: f"{m[1]}{m[3]}{m[2]}" if m[1] else f"{m[4]}{m[6]}{m[5]}", apart)
    return unicodedata.normalize("NFC", moved)


def requoted(text: str) -> str:
    """Replace typographic quotes and dashes by plain ones."""
    return text.translate(_QUOTES)


def _length(lines: list[str]) -> int:
    return sum(len(line.split()) for line in lines)


def _edited_words(text: str, share: float, stuff: Material, rng: random.Random) -> str:
    """Replace, drop or add words, of all words `share`."""
    words = text.split()
    result = []
    for word in words:
        if rng.random() >= share:
            result.append(word)
            continue
        kind = rng.random()
        if kind < 0.7:
            result.append(rng.choice(stuff.vocabulary))
        elif kind < 0.85:
            result.extend((word, rng.choice(stuff.vocabulary)))
    return " ".join(result)


_ON_LINES: tuple[Callable[[list[str], Material, random.Random], list[str]], ...] = (
    unled,
    led,
    cut,
    reordered,
    bylined,
)
_ON_TEXT: tuple[Callable[[str], str], ...] = (decomposed, toned_otherwise, requoted)
