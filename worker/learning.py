"""Remembers between pages what each host sets into its articles: the extractor's counting on the store's memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, Protocol

from worker.extract.learned import HostCounts, boilerplate_of, count_article
from worker.models import Article

_HOSTS_AT_HAND: Final = 256


class ParagraphMemory(Protocol):
    """How often each paragraph was in the articles of a host; the store keeps that, and no extractor knows a store."""

    def paragraphs(self, host: str) -> tuple[int, Mapping[int, int]]:
        """Return how many articles of the host were counted, and in how many of them each paragraph key stood."""
        ...

    def keep_paragraphs(self, host: str, articles: int, counts: Mapping[int, int]) -> None:
        """Replace what is remembered of a host, in the caller's transaction where there is one."""
        ...


class LearnedSites:
    """The boilerplate of each host; what other workers learn is seen when a host is read again."""

    def __init__(self, memory: ParagraphMemory) -> None:
        self._memory = memory
        self._at_hand: OrderedDict[str, frozenset[int]] = OrderedDict()

    def known(self, host: str) -> frozenset[int]:
        """Return the keys of the paragraphs that are boilerplate of the host."""
        if host not in self._at_hand:
            self._put(host, boilerplate_of(self._counts(host)))
        self._at_hand.move_to_end(host)
        return self._at_hand[host]

    def learn(self, article: Article) -> None:
        """Count the paragraphs of an article that was met for the first time."""
        if not article.host or not article.paragraphs:
            return
        counts = count_article(self._counts(article.host), article.paragraphs)
        self._memory.keep_paragraphs(article.host, counts.articles, counts.counts)
        self._put(article.host, boilerplate_of(counts))

    def _counts(self, host: str) -> HostCounts:
        articles, counts = self._memory.paragraphs(host)
        return HostCounts(articles=articles, counts=counts)

    def _put(self, host: str, keys: frozenset[int]) -> None:
        self._at_hand[host] = keys
        while len(self._at_hand) > _HOSTS_AT_HAND:
            self._at_hand.popitem(last=False)
