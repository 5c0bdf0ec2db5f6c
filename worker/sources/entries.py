"""From what a parser found to candidates: links made absolute, strangers and repetitions counted and left out."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from worker import urls
from worker.errors import SourceError
from worker.models import Candidate, Discovery, Page, Source
from worker.sources.dates import plausible

_MAX_TITLE = 500
_MAX_WRITTEN_TITLE = 20_000
_SCRIPTS = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAGS = re.compile(r"<[a-zA-Z/!][^<>]{0,1000}>")
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_STRANGER = 'a link to another site; set other_sites = "follow" in the source\'s options to follow these'
_NOT_A_PAGE = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|ico|bmp|mp[34]|m4[av]|avi|mov|wmv|webm|flv|wav|ogg|pdf|docx?|xlsx?|pptx?|zip|rar|7z"
    r"|gz|tgz|exe|apk|css|js|json|xml|rss|atom)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing a source points at, as written there; `fallback` is its text, where the source gives it in full."""

    link: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    base: str | None = None
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a source's links are measured against: the sites it may point to, and its rules for URLs."""

    sites: frozenset[str]
    follow_others: bool
    rules: urls.Rules

    def admits(self, url: str) -> bool:
        """Tell whether a link stays within the source's sites or may leave them."""
        return self.follow_others or urls.site_of(url) in self.sites


def scope_of(source: Source, *addresses: str) -> Scope:
    """Return the scope of a source whose own addresses are its URL and these.

    The source's options count: `other_sites = "follow"`, `sites` (domains), `keep_params`, `drop_params` (names
    separated by commas), `fold_case = "true"`.
    """
    own = {urls.site_of(address) for address in (source.url, *addresses) if _is_url(address)}
    return Scope(
        sites=frozenset(own) | _names(source, "sites"),
        follow_others=source.options.get("other_sites", "skip") == "follow",
        rules=rules_of(source),
    )


def rules_of(source: Source) -> urls.Rules:
    """Return a source's own rules for URLs."""
    return urls.Rules(
        keep=_names(source, "keep_params"),
        drop=_names(source, "drop_params"),
        fold_case=source.options.get("fold_case", "") == "true",
    )


def _names(source: Source, option: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in source.options.get(option, "").split(",") if name.strip())


def _is_url(address: str) -> bool:
    try:
        return bool(urls.site_of(address))
    except SourceError:
        return False


def discovery(
    entries: Iterable[Entry],
    *,
    page: Page,
    source: Source,
    scope: Scope,
    now: datetime,
    notes: tuple[str, ...] = (),
    title: str | None = None,
    follow: tuple[str, ...] = (),
) -> Discovery:
    """Return the candidates among entries: one for each article, whatever ids the source gave them."""
    sieve = Sieve(page=page, source=source, scope=scope, now=now)
    found = tuple(sieve.pass_through(entries))
    return Discovery(
        candidates=found,
        follow=follow,
        skipped=sieve.skipped.total(),
        strangers=sieve.strangers,
        notes=(*notes, *sieve.notes()),
        title=title,
    )


@dataclass(slots=True, kw_only=True)
class Sieve:
    """Lets through the candidates among the entries of one page, one for each article, and counts the others."""

    page: Page
    source: Source
    scope: Scope
    now: datetime
    skipped: Counter[str] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)

    def pass_through(self, entries: Iterable[Entry]) -> Iterator[Candidate]:
        """Yield a candidate for each entry that leads to an article not met before; nothing else of them is kept."""
        for entry in entries:
            outcome = _candidate(entry, page=self.page, source=self.source, scope=self.scope, now=self.now)
            if isinstance(outcome, str):
                self.skipped[outcome] += 1
            elif (key := hash(outcome.canonical_url)) not in self._seen:
                # A number for each address, of 64 bits: a tenth of what the addresses of a large sitemap take.
                self._seen.add(key)
                yield outcome

    @property
    def strangers(self) -> int:
        """How many led to other sites."""
        return self.skipped[_STRANGER]

    def notes(self) -> tuple[str, ...]:
        """Return what was held back, for people."""
        return tuple(f"{count:,} left out: {why}" for why, count in sorted(self.skipped.items()))


def _candidate(entry: Entry, *, page: Page, source: Source, scope: Scope, now: datetime) -> Candidate | str:
    """Return the candidate, or the reason there is none."""
    if not entry.link.strip():
        return "no link"
    try:
        url = urls.resolve(entry.link, base=entry.base or page.final_url)
        key = urls.canonicalise(url, rules=scope.rules)
    except SourceError:
        return "a link that is no web address"
    if not url.startswith("http"):
        return "a link that is no web address"
    if not scope.admits(url):
        return _STRANGER
    if _NOT_A_PAGE.search(key.partition("?")[0]):
        return "a link to a file that is no page"
    if urls.is_home_key(key):
        return "a link to a front page"
    return Candidate(
        url=url,
        canonical_url=key,
        source=source.name,
        reference=page.url,
        title=clean_title(entry.title),
        published_at=plausible(entry.published_at, now=now),
        modified_at=plausible(entry.modified_at, now=now),
        external_id=clean_text(entry.external_id)[:_MAX_TITLE] or None,
        fallback=entry.fallback,
    )


def clean_title(title: str | None) -> str | None:
    """Return a title as plain text on one line, None where nothing is left."""
    text = _SCRIPTS.sub("", (title or "")[:_MAX_WRITTEN_TITLE])
    text = html.unescape(_TAGS.sub("", text))
    return clean_text(_TAGS.sub("", text))[:_MAX_TITLE].rstrip() or None


def clean_text(text: str | None) -> str:
    """Return a text on one line, in NFC, without control characters and lone surrogates."""
    return unicodedata.normalize("NFC", " ".join(_NOT_TEXT.sub(" ", text or "").split()))
