"""Drops from the blocks of an article what news sites set between its paragraphs, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.extract.blocks import Block
from worker.extract.explain import Dropped
from worker.extract.learned import key_of_folded
from worker.extract.markers import is_credit, is_cross_link, is_marker, is_prompt, is_shortcode
from worker.extract.text import fold

_CREDIT_WORDS = 45
_REPEAT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The blocks that stay, and what was dropped."""

    blocks: tuple[Block, ...]
    dropped: tuple[Dropped, ...]


def drop_boilerplate(
    blocks: Sequence[Block], *, title: str, url: str = "", learned: frozenset[int] = frozenset()
) -> Cleaned:
    """Return the blocks without titles, prompts, cross links, photo credits, repeats and what the host always prints.

    `url` is the page's own address, which some pages print for readers on paper; `learned` are keys of paragraphs that
    are boilerplate of the host (`learned.boilerplate_of`).
    """
    kept: list[Block] = []
    dropped: list[Dropped] = []
    seen: set[str] = set()
    folded_title = fold(title)
    for block in blocks:
        folded = block.folded
        why = "repeats the title" if folded == folded_title else _why(block, seen)
        if not why and block.text.startswith("http") and _bare(block.text) == _bare(url):
            why = "is the page's own address"
        if not why and learned and key_of_folded(folded) in learned:
            why = "stands in most articles of this host"
        if why:
            dropped.append(Dropped(text=block.text, why=why))
            continue
        kept.append(block)
        seen.add(folded)
    while kept and kept[-1].kind == "heading":
        dropped.append(Dropped(text=kept.pop().text, why="a heading with nothing under it"))
    return Cleaned(blocks=tuple(kept), dropped=tuple(dropped))


def _bare(url: str) -> str:
    return url.partition("://")[2].removeprefix("www.").rstrip("/")


def _why(block: Block, seen: set[str]) -> str:
    text, folded = block.text, block.folded
    if not folded:
        return "holds no word"
    if is_marker(text) and block.kind != "row":
        return "heads a block of links or comments"
    if is_prompt(text):
        return "asks the reader to do something"
    if is_shortcode(text):
        return "is an instruction to the site's own system"
    if is_cross_link(text):
        return "points at another article"
    if block.kind != "heading" and is_credit(text) and len(text.split()) <= _CREDIT_WORDS:
        return "credits a picture"
    if len(folded) >= _REPEAT and folded in seen:
        return "repeats an earlier block"
    return ""
