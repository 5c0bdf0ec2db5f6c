"""Decides which articles the rules of `[filter]` keep out, before a page is fetched and after it was read.

A word is one of full-text search: whole, in any script, without case, with its diacritics as written. Finding out takes
the same time for one word and for a thousand: the rules are tables, and no rule is a regular expression.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Self
from urllib.parse import unquote, urlsplit

from worker.config.schema import Settings
from worker.config.sources import FilterRules
from worker.errors import SourceError
from worker.models import Article
from worker.models.base import dataclass
from worker.ports import Hints
from worker.storage.corpus.search_index import search_words
from worker.urls import host_of


class ArticleFilter:
    """The rules for all articles, and those of single sources."""

    def __init__(self, settings: Settings) -> None:
        self._rules = _in_force("filter.", settings.filter.keep, settings.filter.block)
        self._of_source = {
            each.name: _in_force(f'source "{each.name}": ', each.keep, each.block) for each in settings.sources
        }

    def objection(self, known: Hints, article: Article | None = None) -> str:
        """Return the rule that keeps an article out, for people; an empty text if none does.

        Without `article` only those rules count that need no page: addresses, hosts, and blocked words in the title
        that the source gave.
        """
        facts = _Facts(known, article)
        rules = (*self._rules, *self._of_source.get(known.source, ()))
        return next(filter(None, (each.objection(facts) for each in rules)), "")


def _in_force(place: str, keep: FilterRules | None, block: FilterRules | None) -> tuple[_RulesInForce, ...]:
    """Return the rules that are set; `place` begins the name of each in messages."""
    found = (
        None if rules is None or rules == FilterRules() else _RulesInForce.of(rules, f"{place}{name}", keeps=keeps)
        for name, rules, keeps in (("block", block, False), ("keep", keep, True))
    )
    return tuple(rules for rules in found if rules is not None)


class _Facts:
    """What is known of an article: before its page is fetched, or with `article` after it was read."""

    def __init__(self, known: Hints, article: Article | None) -> None:
        urls = (known.url, known.canonical_url, *((article.url, article.canonical_url) if article else ()))
        self.urls = tuple(dict.fromkeys(urls))
        self.is_read = article is not None
        self.section = (article.section or "") if article else ""
        self._title = article.title if article else known.title or ""
        self._text = article.text if article else ""

    @cached_property
    def addresses(self) -> list[tuple[str, str]]:
        """Host, and path with query, of each address."""
        return [_host_and_path(url) for url in self.urls]

    @cached_property
    def words(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The words of the title and of the text, each with its name."""
        return ("title", _words(self._title)), ("text", _words(self._text))


@dataclass(frozen=True, slots=True, kw_only=True)
class _RulesInForce:
    """The rules of one `keep` or `block`; a kind that has no rule is None. `place` is their name in messages."""

    place: str
    keeps: bool
    words: _WordRules | None
    sections: Mapping[tuple[str, ...], str] | None
    addresses: _AddressRules | None
    hosts: frozenset[str] | None

    @classmethod
    def of(cls, rules: FilterRules, place: str, *, keeps: bool) -> Self:
        """Return rules of the configuration, ready for use."""
        return cls(
            place=place,
            keeps=keeps,
            words=_WordRules(rules.words) if rules.words else None,
            sections={_words(each): each for each in rules.sections} or None,
            addresses=_AddressRules(rules.addresses) if rules.addresses else None,
            hosts=frozenset(rules.hosts) or None,
        )

    def objection(self, facts: _Facts) -> str:
        """Return why these rules keep an article out, as far as the facts show; an empty text if they do not."""
        for kind, match in self._matches(facts):
            if match and not self.keeps:
                return f"blocked by {self.place}.{kind}: {match}"
            if not match and self.keeps:
                return f"no match in {self.place}.{kind}"
        return ""

    def _matches(self, facts: _Facts) -> Iterator[tuple[str, str]]:
        """Yield each kind of rule that there is and the facts suffice for, with the match found, empty if none."""
        if self.hosts is not None:
            hosts = (each for host, _ in facts.addresses for each in _domains(host) if each in self.hosts)
            yield "hosts", _quoted(next(hosts, ""))
        if self.addresses is not None:
            yield "addresses", _quoted(self.addresses.find(facts.addresses))
        if self.sections is not None and facts.is_read:
            yield "sections", _quoted(self.sections.get(_words(facts.section), ""))
        if self.words is not None and (facts.is_read or not self.keeps):
            yield "words", self.words.find(facts.words)


def _quoted(rule: str) -> str:
    return f'"{rule}"' if rule else ""


class _WordRules:
    """Words and phrases in a table, by which a text is searched for all of them at once."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules = {_words(rule): rule for rule in rules}
        lengths: dict[str, set[int]] = defaultdict(set)
        for phrase in self._rules:
            lengths[phrase[0]].add(len(phrase))
        self._lengths = dict(lengths)
        """The numbers of words of the phrases that begin with a word."""

    def find(self, parts: Iterable[tuple[str, tuple[str, ...]]]) -> str:
        """Return the first match in texts that have a name, with that name; an empty text if there is none."""
        for name, words in parts:
            if not self._lengths.keys().isdisjoint(words) and (rule := self._first(words)):
                return f"{_quoted(rule)} in the {name}"
        return ""

    def _first(self, words: tuple[str, ...]) -> str:
        for place, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                if rule := self._rules.get(words[place : place + length]):
                    return rule
        return ""


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a text as they are compared: without case, with diacritics."""
    return tuple([word.marked or word.bare for word in search_words(text)])


class _AddressRules:
    """Patterns of addresses, by host."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._by_host: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
        for rule in rules:
            host, _, path = rule.partition("/")
            self._by_host[host].append((_composed(f"/{path}").casefold().split("*"), rule))

    def find(self, addresses: Iterable[tuple[str, str]]) -> str:
        """Return the first rule that matches an address, given as host and path; an empty text if none does."""
        for host, path in addresses:
            for each in (*_domains(host), "*"):
                for pieces, rule in self._by_host.get(each, ()):
                    if _is_made_of(path, pieces):
                        return rule
        return ""


def _is_made_of(path: str, pieces: Sequence[str]) -> bool:
    """Return whether a path is these pieces with any text between them; takes time in proportion to its length."""
    first, *between = pieces
    if not between:
        return path == first
    last, place = between.pop(), len(first)
    if not path.startswith(first) or not path.endswith(last):
        return False
    for piece in between:
        found = path.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return place + len(last) <= len(path)


def _host_and_path(url: str) -> tuple[str, str]:
    """Return the host of an address without its port, and its path and query, decoded and without case."""
    try:
        host, parts = host_of(url), urlsplit(url)
    except (SourceError, ValueError):
        return "", ""
    query = f"?{parts.query}" if parts.query else ""
    return host.partition(":")[0], _composed(unquote(parts.path + query)).casefold()


def _domains(host: str) -> Iterator[str]:
    """Yield a host and each domain above it: `m.bao.vn`, `bao.vn`, `vn`."""
    while host:
        yield host
        host = host.partition(".")[2]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
