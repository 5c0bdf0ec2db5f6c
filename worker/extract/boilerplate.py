"""Drops from the blocks of an article what news sites set between its paragraphs, and says why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.extract.blocks import Block
from worker.extract.explain import Dropped
from worker.extract.learned import key_of_folded
from worker.extract.markers import is_credit, is_cross_link, is_marker, is_prompt, is_shortcode, without_age
from worker.extract.text import fold

_CREDIT_WORDS = 45
_REPEAT = 40
# A page that holds its article twice, for large screens and for small ones, says most of it again; a song its refrain,
# which is little of what it says, however often it comes.
_DOUBLED = 0.54
_LEAD_BLOCKS, _LEAD = 3, 100
_RUN, _RUN_AT_ONCE = 500, 200
# A block that holds this much of what stands in other blocks is the article once more, without its paragraphs.
_WHOLE, _LARGE = 0.7, 1_000
# What a rule finds in more of a text than this is the text: captions of a photo essay, links of a page about links.
_MOST = 0.3
_SMALL = 3
_HEADLINE = 160
_ENDS = re.compile(r"[.!?…。！？।]\W{0,3}$")


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
    reasons = [_why(block, title=fold(title), url=url, learned=learned) for block in blocks]
    for reason in _too_frequent(blocks, reasons):
        reasons = ["" if each == reason else each for each in reasons]
    for place in _dated_headlines(blocks):
        reasons[place] = "is a headline of another article, with its age"
    for place in _wholes(blocks):
        reasons[place] = "holds the article once more"
    for place in _repeats(blocks):
        reasons[place] = reasons[place] or "repeats an earlier block"
    pairs = list(zip(blocks, reasons, strict=True))
    return Cleaned(
        blocks=tuple(block for block, why in pairs if not why),
        dropped=tuple(Dropped(text=block.text, why=why) for block, why in pairs if why),
    )


def _dated_headlines(blocks: Sequence[Block]) -> range:
    """Return the places below the text that hold headlines, each with how long ago it came out: two or more."""
    begin = len(blocks)
    ages: list[int] = []
    while begin and not _ENDS.search(blocks[begin - 1].text) and len(blocks[begin - 1].text) < _HEADLINE:
        begin -= 1
        if without_age(blocks[begin].text) is not None:
            ages.append(begin)
    if len(ages) < _SMALL - 1:
        return range(0)
    # The first age may stand below its headline, and a heading above that.
    first = ages[-1] if without_age(blocks[ages[-1]].text) else max(begin, ages[-1] - 1)
    is_headed = first > begin and blocks[first - 1].kind == "heading"
    return range(first - is_headed, len(blocks))


def _too_frequent(blocks: Sequence[Block], reasons: Sequence[str]) -> list[str]:
    """Return the reasons of a kind that would leave out more of the text than such lines ever make up."""
    held: Counter[str] = Counter()
    for block, why in zip(blocks, reasons, strict=True):
        held[why] += len(block.folded)
    counts = Counter(reasons)
    return [why for why in _BY_SHAPE if counts[why] >= _SMALL and held[why] > _MOST * held.total()]


def _repeats(blocks: Sequence[Block]) -> set[int]:
    """Return the places of blocks that say again what an earlier one says, where that is not the author's doing.

    It is where a block follows its own likeness or repeats a lead, where a long run of blocks comes again in the same
    order, and where the page holds much of its article twice.
    """
    first: dict[str, int] = {}
    earlier = [first.setdefault(block.folded, place) for place, block in enumerate(blocks)]
    again = {place for place, at in enumerate(earlier) if at != place and len(blocks[place].folded) >= _REPEAT}
    repeated = sum(map(len, {blocks[place].folded for place in again}))
    if repeated > _DOUBLED * sum(map(len, first)):
        return again
    in_runs = {place for run in _runs(blocks, earlier) for place in run}
    return in_runs | {place for place in again if _is_at_once(blocks, place, earlier[place])}


def _wholes(blocks: Sequence[Block]) -> Iterator[int]:
    """Yield the places of large blocks that are made of what stands in other blocks."""
    for place, block in enumerate(blocks):
        if len(block.folded) < _LARGE:
            continue
        others = (other.folded for other in blocks if other is not block and len(other.folded) >= _REPEAT)
        held = [other for other in dict.fromkeys(others) if len(other) < _WHOLE * len(block.folded)]
        if sum(len(other) for other in held if other in block.folded) > _WHOLE * len(block.folded):
            yield place


def _is_at_once(blocks: Sequence[Block], place: int, at: int) -> bool:
    is_lead = at < _LEAD_BLOCKS and len(blocks[place].folded) >= _LEAD
    return is_lead or blocks[place - 1].folded == blocks[place].folded


def _runs(blocks: Sequence[Block], earlier: Sequence[int]) -> Iterator[range]:
    """Yield the long runs of blocks that come again in the same order."""
    start = 0
    for place in range(1, len(blocks) + 1):
        if place < len(blocks) and earlier[place] != place and earlier[place] == earlier[place - 1] + 1:
            continue
        run = range(start if earlier[start] != start else start + 1, place)
        is_at_once = bool(run) and earlier[run.start] + len(run) == run.start
        if sum(len(blocks[each].folded) for each in run) >= (_RUN_AT_ONCE if is_at_once else _RUN):
            yield run
        start = place


def _bare(url: str) -> str:
    return url.partition("://")[2].removeprefix("www.").rstrip("/")


def _why(block: Block, *, title: str, url: str, learned: frozenset[int]) -> str:
    text, folded = block.text, block.folded
    if not folded:
        return "holds no word"
    if folded == title:
        return "repeats the title"
    if text.startswith("http") and _bare(text) == _bare(url):
        return "is the page's own address"
    if learned and key_of_folded(folded) in learned:
        return "stands in most articles of this host"
    if is_shortcode(text):
        return "is an instruction to the site's own system"
    return _by_shape(block)


def _by_shape(block: Block) -> str:
    if is_marker(block.text) and block.kind != "row":
        return _BY_SHAPE[0]
    if block.kind != "heading" and is_prompt(block.text):
        return _BY_SHAPE[1]
    if is_cross_link(block.text):
        return _BY_SHAPE[2]
    if block.kind != "heading" and len(block.text.split()) <= _CREDIT_WORDS and is_credit(block.text):
        return _BY_SHAPE[3]
    return ""


_BY_SHAPE = (
    "heads a block of links or comments",
    "asks the reader to do something",
    "points at another article",
    "credits a picture",
)
