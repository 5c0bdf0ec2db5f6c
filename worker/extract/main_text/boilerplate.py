"""Drops boilerplate from an article's blocks, and learns which paragraphs each host repeats.

Four parts: counting the paragraphs of a host (pure), dropping blocks by form, repetition and these counts (pure),
comparing the blocks of two readings (pure), and HostBoilerplateCache, which keeps the counts in the store.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final, Protocol

from worker.charset.characters import count_words, fold, text_length
from worker.extract.explain import DroppedBlock
from worker.extract.main_text.phrases import (
    is_block_heading,
    is_credit,
    is_cross_link,
    is_date_line,
    is_prompt,
    is_shortcode,
    strip_age,
)
from worker.extract.main_text.text_blocks import MIN_BLOCK_CHARS, ArticleBlock
from worker.models import Article
from worker.models.base import dataclass

# Which paragraphs a host repeats.
#
# A paragraph is boilerplate of a host if it was in many of its articles AND in a large share of all articles counted.
# Both are needed: a newspaper repeats background paragraphs in every follow-up of a long story, and agency sentences
# are quoted again and again; neither may be lost. Those are in a few of a hundred articles, boilerplate is in a third
# of them or in all.
#
# Only the most frequent paragraphs are counted, as in the space-saving algorithm (Metwally, Agrawal and El Abbadi,
# 2005). Unlike there, a new paragraph starts at one, so that a count is never too high.


# The thresholds are chosen, not measured. Prose, from _PROSE_WORDS words on, needs the larger share: losing a paragraph
# is worse than keeping a notice.
_MIN_ARTICLES = 8
_BOILERPLATE_SHARE = 0.3
_PROSE_BOILERPLATE_SHARE = 0.6
_PROSE_WORDS = 30
# Bounds the store: at most this many counts per host. Chosen, not measured.
_MAX_COUNTED_PARAGRAPHS = 2_000
# All counts are halved at this many articles, so that what a site no longer prints is forgotten. Chosen, not measured.
_HALVE_AT_ARTICLES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ParagraphCounts:
    """How many articles of a host were counted, and in how many of them each paragraph was, by key."""

    articles: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)


def paragraph_key(folded: str) -> int:
    """Return a signed 64-bit key of a folded paragraph.

    The lowest bit is set for long paragraphs (prose), for which `boilerplate_keys` has a higher threshold.
    """
    digest = hashlib.blake2b(folded.encode(), digest_size=8).digest()
    is_prose = folded.count(" ") >= _PROSE_WORDS - 1
    return (int.from_bytes(digest, "little", signed=True) & ~1) | is_prose


def count_article(known: ParagraphCounts, paragraphs: Iterable[int]) -> ParagraphCounts:
    """Return the counts with one more article; the order of its paragraphs does not matter."""
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
    """Return the keys of the host's boilerplate."""
    return frozenset(key for key, count in known.counts.items() if _is_boilerplate(key, count, known.articles))


def _is_boilerplate(key: int, count: int, articles: int) -> bool:
    share = _PROSE_BOILERPLATE_SHARE if key & 1 else _BOILERPLATE_SHARE
    return count >= _MIN_ARTICLES and count >= share * articles


# Dropping blocks. Lengths are in folded characters.

# A longer block is no picture credit; a shorter block is not compared with earlier ones. Chosen, not measured.
_MAX_CREDIT_WORDS = 45
_MIN_REPEAT_CHARS = 40
# A page that holds its article twice, for large and small screens, repeats more than this share of its distinct text
# (35% of all of it); a song repeats its refrain, which is little distinct text. Measured: docs/extract.md.
_DOUBLED_PAGE_SHARE = 0.54
# One or two paragraphs that are there three times on average, and are most of the text, are the author's filler: a page
# that holds its article twice repeats many paragraphs, each once. Chosen; measured on 2,500 pages of 14 collections.
_MAX_FILLERS, _MIN_FILLER_COPIES = 2, 3
# Otherwise a repeat is dropped if it repeats one of the first blocks, or is part of a long repeated run; a shorter run
# is enough if it follows its original directly. Measured together: docs/extract.md.
_LEAD_BLOCKS, _MIN_LEAD_CHARS = 3, 100
_MIN_RUN_CHARS, _MIN_ADJACENT_RUN_CHARS = 500, 200
# A block of which this share is the text of other blocks is the article again, in one piece. Chosen, not measured.
_RESTATED_SHARE, _MIN_RESTATING_CHARS = 0.7, 1_000
# A rule that matches more of a text than this has found the text itself: the captions of a photo essay, the links of a
# page about links. Applied from _MIN_MATCHES matches on. Chosen; docs/extract.md has the result as a whole.
_MAX_RULE_SHARE = 0.3
_MIN_MATCHES = 3
# In characters; longer blocks are no headlines. Chosen, not measured.
_MAX_HEADLINE_CHARS = 160
_SENTENCE_END = re.compile(r"[.!?…。！？।]\W{0,3}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedBlocks:
    """The blocks that are kept and those that were dropped."""

    blocks: tuple[ArticleBlock, ...]
    dropped: tuple[DroppedBlock, ...]


def drop_boilerplate(
    blocks: Sequence[ArticleBlock], *, title: str, url: str = "", learned: frozenset[int] = frozenset()
) -> CleanedBlocks:
    """Return the blocks without the title, prompts, cross links, picture credits, repeats and the host's boilerplate.

    `url` is the page's own address, which some pages print at their end. `learned` are the keys of the host's
    boilerplate (`boilerplate_keys`).
    """
    folded_title = fold(title)
    reasons = [_why_dropped(block, title=folded_title, url=url, learned=learned) for block in blocks]
    for reason in _overused_reasons(blocks, reasons):
        reasons = ["" if each == reason else each for each in reasons]
    for index in _dated_headlines(blocks):
        reasons[index] = "is a headline of another article, with its age"
    for index in _lines_around_text(blocks, reasons):
        reasons[index] = reasons[index] or "is a date or a label beside the text"
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
    """Return the indexes of the headlines with an age ("3 hours ago") at the end, empty if fewer than two."""
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
    # The first age may be in a block below its headline, and a heading above that.
    first = ages[-1] if strip_age(blocks[ages[-1]].text) else max(begin, ages[-1] - 1)
    is_headed = first > begin and blocks[first - 1].kind == "heading"
    return range(first - is_headed, len(blocks))


def _lines_around_text(blocks: Sequence[ArticleBlock], reasons: Sequence[str]) -> Iterator[int]:
    """Yield the indexes of dates above and below the text, and of short lines at its end below a dropped heading."""
    long = [index for index, block in enumerate(blocks) if text_length(block.text) >= MIN_BLOCK_CHARS]
    if not long:
        return
    # The lead may stand above the date.
    above, below = range(long[:2][-1]), range(long[-1] + 1, len(blocks))
    dates = [index for index in above if is_date_line(blocks[index].text)]
    dates += [index for index in below if is_date_line(blocks[index].text, has_label=False)]
    # Several days are those of an event.
    yield from dates if len(dates) == 1 else ()
    end = len(blocks)
    while end > below.start and not _SENTENCE_END.search(blocks[end - 1].text):
        end -= 1
    heading = next((index for index in range(end, len(blocks)) if reasons[index] == _SHAPE_REASONS[0]), len(blocks))
    if sum(len(block.text) for block in blocks[heading:]) <= _MAX_RULE_SHARE * sum(len(block.text) for block in blocks):
        yield from range(heading + 1, len(blocks))


def _overused_reasons(blocks: Sequence[ArticleBlock], reasons: Sequence[str]) -> list[str]:
    """Return the reasons that would drop more of the text than such lines ever make up."""
    held: Counter[str] = Counter()
    for block, why in zip(blocks, reasons, strict=True):
        held[why] += len(block.folded)
    counts = Counter(reasons)
    return [why for why in _SHAPE_REASONS if counts[why] >= _MIN_MATCHES and held[why] > _MAX_RULE_SHARE * held.total()]


def _repeated_blocks(blocks: Sequence[ArticleBlock]) -> set[int]:
    """Return the indexes of blocks that repeat an earlier one because of the page, not the author.

    That is so for a block directly after its original, a repeated lead, a long run of blocks repeated in the same
    order, and every repeat on a page that holds most of its article twice. A page of filler has no such repeats.
    """
    first: dict[str, int] = {}
    earlier = [first.setdefault(block.folded, index) for index, block in enumerate(blocks)]
    again = {
        index for index, at in enumerate(earlier) if at != index and len(blocks[index].folded) >= _MIN_REPEAT_CHARS
    }
    repeated = {earlier[index] for index in again}
    if sum(len(blocks[at].folded) for at in repeated) > _DOUBLED_PAGE_SHARE * sum(map(len, first)):
        is_filler = len(repeated) <= _MAX_FILLERS and len(again) >= (_MIN_FILLER_COPIES - 1) * len(repeated)
        return set() if is_filler else again
    in_repeated_runs = {index for run in _repeated_runs(blocks, earlier) for index in run}
    return in_repeated_runs | {index for index in again if _is_adjacent_repeat(blocks, index, earlier[index])}


def _restated_articles(blocks: Sequence[ArticleBlock]) -> Iterator[int]:
    """Yield the indexes of large blocks that consist of the text of other blocks."""
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
    """Yield the index ranges of long runs of blocks that repeat an earlier run."""
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
    if learned and paragraph_key(folded) in learned:
        return "stands in most articles of this host"
    if is_shortcode(text):
        return "is an instruction to the site's own system"
    return _shape_reason(block)


def _shape_reason(block: ArticleBlock) -> str:
    if is_block_heading(block.text) and block.kind != "row":
        return _SHAPE_REASONS[0]
    if block.kind != "heading" and is_prompt(block.text, block.folded):
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


# Two readings of a page compared.


# A block is covered if its first folded characters are in the text. Chosen, not measured.
_COVERAGE_KEY_CHARS = 50
# How much more running text trafilatura must cover, as a share (docs/extract.md) and in characters (a paragraph).
_MIN_GAIN_SHARE = 0.2
_MIN_GAIN_CHARS = 200
# Our text is a scrap if trafilatura's is so many times as long. Chosen; docs/extract.md has the result.
_SCRAP_RATIO = 3


def covers_more(theirs: Sequence[ArticleBlock], ours: Sequence[ArticleBlock], running: Sequence[str]) -> bool:
    """Return whether one text covers clearly more of a page's running text than the other."""
    if not ours:
        return bool(theirs)
    keys = [(fold(text)[:_COVERAGE_KEY_CHARS], len(text)) for text in running]
    gain = _covered(theirs, keys) - _covered(ours, keys)
    return gain > max(_MIN_GAIN_CHARS, _MIN_GAIN_SHARE * sum(chars for _, chars in keys))


def is_scrap(
    ours: Sequence[ArticleBlock], theirs: Sequence[ArticleBlock], shown: Callable[[], str], *, few: int
) -> bool:
    """Return whether our text is fewer words than `few`, theirs several times as long, and not what is `shown`.

    Such a page has its text where no step of ours looks, in `noscript` or in JSON-LD. What it shows and ours lacks was
    left out for a reason.
    """
    if count_block_words(ours) >= few or count_block_words(theirs) < few:
        return False
    size = sum(len(block.text) for block in theirs)
    if size < _SCRAP_RATIO * sum(len(block.text) for block in ours):
        return False
    seen = fold(shown())
    unseen = sum(len(block.text) for block in theirs if block.folded[:_COVERAGE_KEY_CHARS] not in seen)
    return unseen > size / 2


def _covered(blocks: Sequence[ArticleBlock], keys: Sequence[tuple[str, int]]) -> int:
    text = " ".join(block.folded for block in blocks)
    return sum(chars for key, chars in keys if key in text)


def count_block_words(blocks: Sequence[ArticleBlock]) -> int:
    """Return how many words blocks have."""
    return count_words("\n".join(block.text for block in blocks))


# The counts of each host, in the store.


# Hosts kept in memory. Chosen, not measured: a run works on few hosts at a time.
_CACHED_HOSTS: Final = 256


class BoilerplateStore(Protocol):
    """Where the counts are kept: `storage.queue.hosts`, which this package must not import."""

    def paragraphs(self, host: str) -> tuple[int, Mapping[int, int]]:
        """Return how many articles of the host were counted, and in how many of them each paragraph was, by key."""
        ...

    def keep_paragraphs(self, host: str, articles: int, counts: Mapping[int, int]) -> None:
        """Replace the counts of a host, in the caller's transaction if there is one."""
        ...


class HostBoilerplateCache:
    """The boilerplate of each host, cached; counts of other workers show up when a host is loaded again."""

    def __init__(self, store: BoilerplateStore) -> None:
        self._store = store
        self._cache: OrderedDict[str, frozenset[int]] = OrderedDict()

    def known(self, host: str) -> frozenset[int]:
        """Return the keys of the host's boilerplate."""
        if host not in self._cache:
            self._remember(host, boilerplate_keys(self._counts(host)))
        self._cache.move_to_end(host)
        return self._cache[host]

    def learn(self, article: Article) -> None:
        """Count the paragraphs of an article, which must be new: call it once per article."""
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
