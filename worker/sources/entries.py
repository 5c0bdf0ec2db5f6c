"""From what a parser found to candidates: links made absolute, strangers and repetitions counted and left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlsplit

from worker import urls
from worker.charset import clean, strip_tags
from worker.dates.parsing import plausible_date
from worker.dates.periods import TimeWindow, lies_within, period_in_path
from worker.errors import SourceError
from worker.models import Authority, Candidate, Discovery, Page, Source

_MAX_TITLE = 500
_MOST_ELSEWHERE = 3
_MAX_WRITTEN_TITLE = 20_000
_TOO_OLD = 'dated before the source\'s "since"'
_OFFSITE = 'a link to another site; set other_sites = "follow" in the source\'s options to follow these'
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
class LinkPolicy:
    """What a source's links are measured against: the sites it speaks for, those it only names, its rules for URLs.

    `listed` says that the source is a list of the operator's own.
    """

    own: frozenset[str]
    rules: urls.UrlRules
    claimed: frozenset[str] = frozenset()
    follow_others: bool = False
    listed: bool = False

    def admits(self, url: str) -> bool:
        """Tell whether a link is followed: it stays within the source's sites or may leave them."""
        return self.follow_others or urls.belongs_to(url, self.own | self.claimed)

    def authority(self, url: str, key: str) -> Authority:
        """Return whose word an address is: what a source says of another site than its own is a stranger's."""
        if self.listed:
            return Authority.OPERATOR
        own = urls.belongs_to(url, self.own) and urls.belongs_to(key, self.own)
        return Authority.PUBLISHER if own else Authority.STRANGER


def link_policy(source: Source, *addresses: str, claimed: str = "") -> LinkPolicy:
    """Return the scope of a source whose own addresses are its URL and these; `claimed` it only says to be its site.

    Its options count: `sites` and `follow_others`, and its rules for addresses.
    """
    own = {urls.site_of(address) for address in (source.url, *addresses) if _is_url(address)}
    return LinkPolicy(
        own=frozenset(own) | {name.removeprefix("www.") for name in source.options.sites},
        claimed=frozenset({urls.site_of(claimed)} if _is_url(claimed) else ()),
        follow_others=source.options.follow_others,
        rules=url_rules(source),
    )


def url_rules(source: Source) -> urls.UrlRules:
    """Return a source's own rules for URLs."""
    return urls.UrlRules(
        keep=source.options.keep_params, drop=source.options.drop_params, fold_case=source.options.fold_case
    )


def _is_url(address: str) -> bool:
    try:
        return bool(urls.site_of(address))
    except SourceError:
        return False


def build_discovery(
    entries: Iterable[Entry],
    *,
    page: Page,
    source: Source,
    scope: LinkPolicy,
    now: datetime,
    notes: tuple[str, ...] = (),
    title: str | None = None,
    follow: tuple[str, ...] = (),
) -> Discovery:
    """Return the candidates among entries: one for each article, whatever ids the source gave them."""
    sieve = EntryFilter(page=page, source=source, scope=scope, now=now)
    found = tuple(sieve.pass_through(entries))
    return Discovery(
        candidates=found,
        follow=follow,
        skipped=sieve.skipped.total(),
        offsite=sieve.offsite,
        offsite_examples=tuple(sieve.elsewhere),
        notes=(*notes, *_not_vouched_for(found, scope), *sieve.notes()),
        title=title,
    )


def _not_vouched_for(found: Sequence[Candidate], scope: LinkPolicy) -> tuple[str, ...]:
    """Say that nothing but addresses is taken of a source that calls a site its own, which only the operator can do."""
    count = sum(not each.authority.is_own for each in found)
    if not (count and scope.claimed):
        return ()
    site = next(iter(scope.claimed))
    taken = f"{count:,} entries are of {site}, which does not lead to this source: only their addresses are taken"
    return (f'{taken}, no title, date or text; set sites = ["{site}"] if it is that site\'s own',)


@dataclass(slots=True, kw_only=True)
class EntryFilter:
    """Lets through the candidates among the entries of one page, one for each address, and counts the others."""

    page: Page
    source: Source
    scope: LinkPolicy
    now: datetime
    skipped: Counter[str] = field(default_factory=Counter)
    elsewhere: dict[str, None] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def pass_through(self, entries: Iterable[Entry]) -> Iterator[Candidate]:
        """Yield a candidate for each entry that leads to an address not met before; nothing else of them is kept.

        An entry that links to a wrapper leads to the address inside first, and to the wrapper where that is dead.
        """
        for entry in entries:
            if (inside := _inside(entry.link)) is not None:
                found = self._read(replace(entry, link=inside))
                yield from self._new(found) if isinstance(found, Candidate) else ()
            found = self._read(entry)
            if isinstance(found, Candidate):
                yield from self._new(found)
                continue
            self.skipped[found] += 1
            if found == _OFFSITE:
                self._note_elsewhere(urls.resolve(entry.link, base=entry.base or self.page.final_url))

    def _read(self, entry: Entry) -> Candidate | str:
        return _candidate(entry, page=self.page, source=self.source, scope=self.scope, now=self.now)

    def _new(self, candidate: Candidate) -> Iterator[Candidate]:
        # A number for each address, of 64 bits: a tenth of what the addresses of a large sitemap take.
        if (address := hash(candidate.url)) not in self._seen:
            self._seen.add(address)
            if candidate.authority is Authority.STRANGER:
                self._note_elsewhere(candidate.url)
            yield candidate

    def _note_elsewhere(self, url: str) -> None:
        if len(self.elsewhere) < _MOST_ELSEWHERE:
            self.elsewhere[_front_of(url)] = None

    @property
    def offsite(self) -> int:
        """How many led to other sites."""
        return self.skipped[_OFFSITE]

    def notes(self) -> tuple[str, ...]:
        """Return what was held back, for people."""
        return tuple(f"{count:,} left out: {why}" for why, count in sorted(self.skipped.items()))


def _candidate(entry: Entry, *, page: Page, source: Source, scope: LinkPolicy, now: datetime) -> Candidate | str:
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
    if not (scope.admits(url) or scope.admits(key)):
        return _OFFSITE
    if _NOT_A_PAGE.search(key.partition("?")[0]):
        return "a link to a file that is no page"
    if urls.is_home_key(key):
        return "a link to a front page"
    if not scope.listed and (urls.embeds_other_site(key) or urls.embeds_other_site(url.partition("?")[0])):
        return "a link that carries the address of another site; give the address itself"
    authority = scope.authority(url, key)
    # What a source says of another site's page is not known of that page.
    said = entry if authority.is_own else Entry(link=entry.link)
    found = Candidate(
        url=url,
        canonical_url=key,
        source=source.name,
        reference=page.url,
        authority=authority,
        title=clean_title(said.title),
        published_at=plausible_date(said.published_at, now=now),
        modified_at=plausible_date(said.modified_at, now=now),
        external_id=one_line(said.external_id)[:_MAX_TITLE] or None,
        fallback=said.fallback,
    )
    return found if _is_wanted(found, since=source.options.since) else _TOO_OLD


def _inside(link: str) -> str | None:
    try:
        return urls.unwrap(link)
    except SourceError:
        return None


def _front_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _is_wanted(found: Candidate, *, since: datetime | None) -> bool:
    """Tell whether an article may have been published since a time, by its dates or else by its address."""
    if since is None:
        return True
    if not found.published_at and not found.modified_at and (dated := period_in_path(found.url)):
        return dated.meets(TimeWindow(start=since))
    return lies_within(TimeWindow(start=since), url=found.url, published=found.published_at, modified=found.modified_at)


def clean_title(title: str | None) -> str | None:
    """Return a title as plain text on one line, None where nothing is left."""
    return one_line(strip_tags((title or "")[:_MAX_WRITTEN_TITLE]))[:_MAX_TITLE].rstrip() or None


def one_line(text: str | None) -> str:
    """Return a text on one line, in NFC, without control characters and lone surrogates."""
    return unicodedata.normalize("NFC", " ".join(clean(text or "").replace("\ufeff", " ").split()))
