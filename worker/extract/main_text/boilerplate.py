"""Drops from an article's blocks what news sites put between its paragraphs, and learns what each host repeats."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.extract.explain import DroppedBlock
from worker.extract.main_text.phrases import (
    is_block_heading,
    is_credit,
    is_cross_link,
    is_prompt,
    is_shortcode,
    strip_age,
)
from worker.extract.main_text.text_blocks import ArticleBlock
from worker.extract.text import fold
from worker.models import Article

# What is learned about a host: which paragraphs it sets into article after article; pure, bounded, without order.
#
# A paragraph is boilerplate of a host if it stood in many of its articles AND in a large share of all that were
# counted.
# Both are needed: a paper repeats its own background paragraphs in every follow-up of a long story, an agency's
# sentence
# is quoted again and again, and neither may ever be lost. They stand in a few of a hundred articles; boilerplate
# stands in a third of them or in all.
#
# Counts are kept for the most frequent paragraphs (the space-saving idea of Metwally, Agrawal and El Abbadi, 2005,
# without its overestimate: a newcomer starts at one, so a count is never too high).


_MIN_ARTICLES = 8
_BOILERPLATE_SHARE = 0.3
_PROSE_BOILERPLATE_SHARE = 0.6
_PROSE_WORDS = 30
_MAX_COUNTED_PARAGRAPHS = 2_000
# Halve at this many articles: what a site no longer prints is forgotten, and no number grows for ever.
_HALVE_AT_ARTICLES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParagraphCounts:
    """How many articles of a host were counted, and in how many of them each paragraph key stood."""

    articles: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)


def paragraph_key(text: str) -> int:
    """Return a signed 64-bit key of a paragraph that does not see case, blanks or punctuation.

    Long paragraphs differ in their lowest bit from short ones: `boilerplate_of` asks more of prose.
    """
    return folded_paragraph_key(fold(text))


def folded_paragraph_key(folded: str) -> int:
    """Return the key of a paragraph that is folded already."""
    digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
    is_prose = folded.count(" ") >= _PROSE_WORDS - 1
    return (int.from_bytes(digest, "little", signed=True) & ~1) | is_prose


def count_article(known: ParagraphCounts, paragraphs: Iterable[int]) -> ParagraphCounts:
    """Return the counts with one more article; the result does not depend on the order of its paragraphs."""
    counts = dict(known.counts)
    for key in set(paragraphs):
        counts[key] = counts.get(key, 0) + 1
    articles = known.articles + 1
    if articles >= _HALVE_AT_ARTICLES:
        articles //= 2
        counts = {key: count // 2 for key, count in counts.items() if count > 1}
    if len(counts) > _MAX_COUNTED_PARAGRAPHS:
        frequent = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        counts = dict(frequent[: _MAX_COUNTED_PARAGRAPHS // 2])
    return ParagraphCounts(articles=articles, counts=counts)


def boilerplate_keys(known: ParagraphCounts) -> frozenset[int]:
    """Return the keys of the paragraphs that are boilerplate of the host."""
    return frozenset(key for key, count in known.counts.items() if _is_boilerplate(key, count, known.articles))


def _is_boilerplate(key: int, count: int, articles: int) -> bool:
    share = _PROSE_BOILERPLATE_SHARE if key & 1 else _BOILERPLATE_SHARE
    return count >= _MIN_ARTICLES and count >= share * articles


_MAX_CREDIT_WORDS = 45
_MIN_REPEAT_CHARS = 40
# A page that holds its article twice, for large screens and for small ones, says most of it again; a song its refrain,
# which is little of what it says, however often it comes.
_DOUBLED_PAGE_SHARE = 0.54
_LEAD_BLOCKS, _MIN_LEAD_CHARS = 3, 100
_MIN_RUN_CHARS, _MIN_ADJACENT_RUN_CHARS = 500, 200
# A block that holds this much of what stands in other blocks is the article once more, without its paragraphs.
_RESTATED_SHARE, _MIN_RESTATING_CHARS = 0.7, 1_000
# What a rule finds in more of a text than this is the text: captions of a photo essay, links of a page about links.
_MAX_RULE_SHARE = 0.3
_MIN_MATCHES = 3
_MAX_HEADLINE_CHARS = 160
_SENTENCE_END = re.compile(r"[.!?…。！？।]\W{0,3}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedBlocks:
    """The blocks that stay, and what was dropped."""

    blocks: tuple[ArticleBlock, ...]
    dropped: tuple[DroppedBlock, ...]


def drop_boilerplate(
    blocks: Sequence[ArticleBlock], *, title: str, url: str = "", learned: frozenset[int] = frozenset()
) -> CleanedBlocks:
    """Return the blocks without titles, prompts, cross links, photo credits, repeats and what the host always prints.

    `url` is the page's own address, which some pages print for readers on paper; `learned` are keys of paragraphs that
    are boilerplate of the host (`learned.boilerplate_of`).
    """
    reasons = [_why_dropped(block, title=fold(title), url=url, learned=learned) for block in blocks]
    for reason in _overused_reasons(blocks, reasons):
        reasons = ["" if each == reason else each for each in reasons]
    for index in _dated_headlines(blocks):
        reasons[index] = "is a headline of another article, with its age"
    for index in _restated_articles(blocks):
        reasons[index] = "holds the article once more"
    for index in _repeated_blocks(blocks):
        reasons[index] = reasons[index] or "repeats an earlier block"
    pairs = list(zip(blocks, reasons, strict=True))
    return CleanedBlocks(
        blocks=tuple(block for block, why in pairs if not why),
        dropped=tuple(DroppedBlock(text=block.text, why=why) for block, why in pairs if why),
    )


def _dated_headlines(blocks: Sequence[ArticleBlock]) -> range:
    """Return the places below the text that hold headlines, each with how long ago it came out: two or more."""
    begin = len(blocks)
    ages: list[int] = []
    while (
        begin and not _SENTENCE_END.search(blocks[begin - 1].text) and len(blocks[begin - 1].text) < _MAX_HEADLINE_CHARS
    ):
        begin -= 1
        if strip_age(blocks[begin].text) is not None:
            ages.append(begin)
    if len(ages) < _MIN_MATCHES - 1:
        return range(0)
    # The first age may stand below its headline, and a heading above that.
    first = ages[-1] if strip_age(blocks[ages[-1]].text) else max(begin, ages[-1] - 1)
    is_headed = first > begin and blocks[first - 1].kind == "heading"
    return range(first - is_headed, len(blocks))


def _overused_reasons(blocks: Sequence[ArticleBlock], reasons: Sequence[str]) -> list[str]:
    """Return the reasons of a kind that would leave out more of the text than such lines ever make up."""
    held: Counter[str] = Counter()
    for block, why in zip(blocks, reasons, strict=True):
        held[why] += len(block.folded)
    counts = Counter(reasons)
    return [why for why in _SHAPE_REASONS if counts[why] >= _MIN_MATCHES and held[why] > _MAX_RULE_SHARE * held.total()]


def _repeated_blocks(blocks: Sequence[ArticleBlock]) -> set[int]:
    """Return the places of blocks that say again what an earlier one says, where that is not the author's doing.

    It is where a block follows its own likeness or repeats a lead, where a long run of blocks comes again in the same
    order, and where the page holds much of its article twice.
    """
    first: dict[str, int] = {}
    earlier = [first.setdefault(block.folded, index) for index, block in enumerate(blocks)]
    again = {
        index for index, at in enumerate(earlier) if at != index and len(blocks[index].folded) >= _MIN_REPEAT_CHARS
    }
    repeated = sum(map(len, {blocks[index].folded for index in again}))
    if repeated > _DOUBLED_PAGE_SHARE * sum(map(len, first)):
        return again
    in_repeated_runs = {index for run in _repeated_runs(blocks, earlier) for index in run}
    return in_repeated_runs | {index for index in again if _is_adjacent_repeat(blocks, index, earlier[index])}


def _restated_articles(blocks: Sequence[ArticleBlock]) -> Iterator[int]:
    """Yield the places of large blocks that are made of what stands in other blocks."""
    for index, block in enumerate(blocks):
        if len(block.folded) < _MIN_RESTATING_CHARS:
            continue
        others = (other.folded for other in blocks if other is not block and len(other.folded) >= _MIN_REPEAT_CHARS)
        held = [other for other in dict.fromkeys(others) if len(other) < _RESTATED_SHARE * len(block.folded)]
        if sum(len(other) for other in held if other in block.folded) > _RESTATED_SHARE * len(block.folded):
            yield index


def _is_adjacent_repeat(blocks: Sequence[ArticleBlock], index: int, at: int) -> bool:
    is_lead = at < _LEAD_BLOCKS and len(blocks[index].folded) >= _MIN_LEAD_CHARS
    return is_lead or blocks[index - 1].folded == blocks[index].folded


def _repeated_runs(blocks: Sequence[ArticleBlock], earlier: Sequence[int]) -> Iterator[range]:
    """Yield the long runs of blocks that come again in the same order."""
    start = 0
    for index in range(1, len(blocks) + 1):
        if index < len(blocks) and earlier[index] != index and earlier[index] == earlier[index - 1] + 1:
            continue
        run = range(start if earlier[start] != start else start + 1, index)
        is_adjacent = bool(run) and earlier[run.start] + len(run) == run.start
        if sum(len(blocks[each].folded) for each in run) >= (
            _MIN_ADJACENT_RUN_CHARS if is_adjacent else _MIN_RUN_CHARS
        ):
            yield run
        start = index


def _without_scheme(url: str) -> str:
    return url.partition("://")[2].removeprefix("www.").rstrip("/")


def _why_dropped(block: ArticleBlock, *, title: str, url: str, learned: frozenset[int]) -> str:
    text, folded = block.text, block.folded
    if not folded:
        return "holds no word"
    if folded == title:
        return "repeats the title"
    if text.startswith("http") and _without_scheme(text) == _without_scheme(url):
        return "is the page's own address"
    if learned and folded_paragraph_key(folded) in learned:
        return "stands in most articles of this host"
    if is_shortcode(text):
        return "is an instruction to the site's own system"
    return _shape_reason(block)


def _shape_reason(block: ArticleBlock) -> str:
    if is_block_heading(block.text) and block.kind != "row":
        return _SHAPE_REASONS[0]
    if block.kind != "heading" and is_prompt(block.text):
        return _SHAPE_REASONS[1]
    if is_cross_link(block.text):
        return _SHAPE_REASONS[2]
    if block.kind != "heading" and len(block.text.split()) <= _MAX_CREDIT_WORDS and is_credit(block.text):
        return _SHAPE_REASONS[3]
    return ""


_SHAPE_REASONS = (
    "heads a block of links or comments",
    "asks the reader to do something",
    "points at another article",
    "credits a picture",
)


# Remembers between pages what each host sets into its articles: the extractor's counting on the store's memory.


_CACHED_HOSTS: Final = 256


class BoilerplateStore(Protocol):
    """How often each paragraph was in the articles of a host; the store keeps that, and no extractor knows a store."""

    def paragraphs(self, host: str) -> tuple[int, Mapping[int, int]]:
        """Return how many articles of the host were counted, and in how many of them each paragraph key stood."""
        ...

    def keep_paragraphs(self, host: str, articles: int, counts: Mapping[int, int]) -> None:
        """Replace what is remembered of a host, in the caller's transaction where there is one."""
        ...


class HostBoilerplateCache:
    """The boilerplate of each host; what other workers learn is seen when a host is read again."""

    def __init__(self, store: BoilerplateStore) -> None:
        self._store = store
        self._cache: OrderedDict[str, frozenset[int]] = OrderedDict()

    def known(self, host: str) -> frozenset[int]:
        """Return the keys of the paragraphs that are boilerplate of the host."""
        if host not in self._cache:
            self._remember(host, boilerplate_keys(self._counts(host)))
        self._cache.move_to_end(host)
        return self._cache[host]

    def learn(self, article: Article) -> None:
        """Count the paragraphs of an article that was met for the first time."""
        if not article.host or not article.paragraphs:
            return
        counts = count_article(self._counts(article.host), article.paragraphs)
        self._store.keep_paragraphs(article.host, counts.articles, counts.counts)
        self._remember(article.host, boilerplate_keys(counts))

    def _counts(self, host: str) -> ParagraphCounts:
        articles, counts = self._store.paragraphs(host)
        return ParagraphCounts(articles=articles, counts=counts)

    def _remember(self, host: str, keys: frozenset[int]) -> None:
        self._cache[host] = keys
        while len(self._cache) > _CACHED_HOSTS:
            self._cache.popitem(last=False)
