"""Turn the entries that a parser found into candidates.

Every parser yields `Entry` objects with links as written. `build_discovery` makes the links absolute and canonical,
drops repetitions, links to other sites, files that are no pages and entries before the source's `since`, and counts
what it dropped by reason. `link_policy` decides which sites a source may link to, and with which authority.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from datetime import datetime
from urllib.parse import urlsplit

from worker import urls
from worker.charset import clean, strip_tags
from worker.dates.parsing import plausible_date
from worker.dates.periods import TimeWindow, lies_within, period_in_path
from worker.errors import SourceError
from worker.models import Authority, Candidate, Discovery, Page, Source
from worker.models.base import dataclass
from worker.urls.syntax import MAX_FINISHED_LENGTH, UrlTooLong

_MAX_TITLE = 500  # characters; longer "titles" in feeds are whole texts
_MAX_OFFSITE_EXAMPLES = 3  # sites; for each, its robots.txt is fetched to see whether it names this source
_MAX_WRITTEN_TITLE = 20_000  # characters of markup, which bounds the time to strip tags; chosen, not measured
_MAX_NAMED = 15  # lines of one list that are named, the others are counted; chosen: more than a person reads at once
_NO_ADDRESS = "a link that is no web address"
_TOO_LONG = f"a link of more than {MAX_FINISHED_LENGTH:,} characters"
_TOO_OLD = 'dated before the source\'s "since"'
_OFFSITE = 'a link to another site; set other_sites = "follow" in the source\'s options to follow these'
_NOT_A_PAGE = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|ico|bmp|mp[34]|m4[av]|avi|mov|wmv|webm|flv|wav|ogg|pdf|docx?|xlsx?|pptx?|zip|rar|7z"
    r"|gz|tgz|exe|apk|css|js|json|xml|rss|atom)\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a source as written there.

    `link` is relative to `base`, or to the page's URL if there is no base. `fallback` is the article's full text if the
    source contains it. `place` names the line of a list and what it says, for the case that it is left out;
    `problem` is the reason for that, if the line holds no address.
    """

    link: str
    title: str | None = None
    published_at: datetime | None = None
    modified_at: datetime | None = None
    external_id: str | None = None
    base: str | None = None
    fallback: str | None = None
    place: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """Which links of a source are followed, and with which authority.

    `own_sites`: sites that the source may describe. `claimed_sites`: sites that the source calls its own without proof;
    links to them are followed, but only the URL is used. `follow_others`: links to any site are followed.
    `from_operator`: the source is a local list of URLs. `rules`: how URLs are canonicalised.
    """

    own_sites: frozenset[str]
    rules: urls.UrlRules
    claimed_sites: frozenset[str] = frozenset()
    follow_others: bool = False
    from_operator: bool = False

    def allows(self, url: str) -> bool:
        """Return whether a link is followed."""
        return self.follow_others or urls.belongs_to(url, self.own_sites | self.claimed_sites)

    def authority(self, url: str, key: str) -> Authority:
        """Return the authority of a URL and its key: only a link within the source's own sites is the publisher's."""
        if self.from_operator:
            return Authority.OPERATOR
        own = urls.belongs_to(url, self.own_sites) and urls.belongs_to(key, self.own_sites)
        return Authority.PUBLISHER if own else Authority.STRANGER


def link_policy(source: Source, page: Page, *, claimed: str = "") -> LinkPolicy:
    """Return the link policy of one of a source's pages.

    Its own sites are those of the source's URL, of its option `sites`, and the one that served the page; not the site
    of an address that redirects there, which another site may have chosen. `claimed` is the URL that the page itself
    gives as its home page.
    """
    own = {urls.site_of(address) for address in (source.url, page.final_url) if _is_url(address)}
    return LinkPolicy(
        own_sites=frozenset(own) | {name.removeprefix("www.") for name in source.options.sites},
        claimed_sites=frozenset({urls.site_of(claimed)} if _is_url(claimed) else ()),
        follow_others=source.options.follow_others,
        rules=url_rules(source),
    )


def url_rules(source: Source) -> urls.UrlRules:
    """Return the rules by which a source's URLs are canonicalised (its options `keep_params`, `drop_params`, …)."""
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
    policy: LinkPolicy,
    now: datetime,
    notes: tuple[str, ...] = (),
    title: str | None = None,
    follow: tuple[str, ...] = (),
) -> Discovery:
    """Return the candidates among entries, one for each URL, with the number and the reasons of the dropped ones."""
    entry_filter = EntryFilter(page=page, source=source, policy=policy, now=now)
    found = tuple(entry_filter.iter_candidates(entries))
    return Discovery(
        candidates=found,
        follow=follow,
        skipped=entry_filter.skipped.total(),
        offsite=entry_filter.offsite,
        offsite_examples=tuple(entry_filter.offsite_examples),
        notes=(*notes, *_not_vouched_for(found, policy), *entry_filter.notes()),
        title=title,
    )


def _not_vouched_for(found: Sequence[Candidate], policy: LinkPolicy) -> tuple[str, ...]:
    """Return a note if a source only claims to belong to a site: of its entries just the URLs are used."""
    count = sum(not each.authority.is_own for each in found)
    if not (count and policy.claimed_sites):
        return ()
    site = next(iter(policy.claimed_sites))
    used = f"{count:,} entries link to {site}, which does not name this source as its own: only their URLs are used"
    return (f'{used}, not titles, dates or texts; set sites = ["{site}"] if the source belongs to that site',)


@dataclass(slots=True, kw_only=True)
class EntryFilter:
    """Turns entries of one page into candidates, one for each URL, and counts the dropped entries by reason.

    `skipped`: number of dropped entries by reason. `offsite_examples`: front pages of a few other sites that entries
    link to, in order (a dict serves as an ordered set). `named`: the first dropped lines of a list, with the reason.
    """

    page: Page
    source: Source
    policy: LinkPolicy
    now: datetime
    skipped: Counter[str] = field(default_factory=Counter)
    offsite_examples: dict[str, None] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def iter_candidates(self, entries: Iterable[Entry]) -> Iterator[Candidate]:
        """Yield a candidate for each entry whose URL has not been met before; memory use stays small.

        An entry that links to a wrapper (`https://t.example/?url=…`) gives two candidates: the wrapped URL, then the
        wrapper, in case the wrapped URL is dead.
        """
        for entry in entries:
            if (wrapped := _unwrapped(entry.link)) is not None:
                found = self._read(replace(entry, link=wrapped))
                yield from self._new(found) if isinstance(found, Candidate) else ()
            found = self._read(entry)
            if isinstance(found, Candidate):
                yield from self._new(found)
                continue
            self.skipped[found] += 1
            if entry.place and len(self.named) < _MAX_NAMED:
                self.named.append(f"{entry.place}: {found}")
            if found == _OFFSITE:
                self._note_offsite(urls.resolve(entry.link, base=entry.base or self.page.final_url))

    def _read(self, entry: Entry) -> Candidate | str:
        return _candidate(entry, page=self.page, source=self.source, policy=self.policy, now=self.now)

    def _new(self, candidate: Candidate) -> Iterator[Candidate]:
        # The hashes of a large sitemap's URLs need a tenth of the memory of the URLs.
        if (address := hash(candidate.url)) not in self._seen:
            self._seen.add(address)
            if candidate.authority is Authority.STRANGER:
                self._note_offsite(candidate.url)
            yield candidate

    def _note_offsite(self, url: str) -> None:
        if len(self.offsite_examples) < _MAX_OFFSITE_EXAMPLES:
            self.offsite_examples[_front_page(url)] = None

    @property
    def offsite(self) -> int:
        """The number of entries dropped because they link to other sites."""
        return self.skipped[_OFFSITE]

    def notes(self) -> tuple[str, ...]:
        """Return one sentence for each reason for which entries were dropped, of a list for each of the first lines."""
        if self.named:
            more = self.skipped.total() - len(self.named)
            return (*self.named, *([f"{more:,} more lines were left out"] if more else []))
        return tuple(f"{count:,} left out: {why}" for why, count in sorted(self.skipped.items()))


def _candidate(entry: Entry, *, page: Page, source: Source, policy: LinkPolicy, now: datetime) -> Candidate | str:
    """Return the candidate of an entry, or the reason for dropping it."""
    if entry.problem or not entry.link.strip():
        return entry.problem or "no link"
    try:
        url = urls.resolve(entry.link, base=entry.base or page.final_url)
        key = urls.canonicalise(url, rules=policy.rules)
    except SourceError as exc:
        return _TOO_LONG if isinstance(exc, UrlTooLong) else _NO_ADDRESS
    if not url.startswith("http"):
        return _NO_ADDRESS
    if not (policy.allows(url) or policy.allows(key)):
        return _OFFSITE
    if _NOT_A_PAGE.search(key.partition("?")[0]):
        return "a link to a file that is not a web page"
    if urls.is_home_key(key):
        return "a link to a front page"
    if not policy.from_operator and (urls.embeds_other_site(key) or urls.embeds_other_site(url.partition("?")[0])):
        return "a link that carries the address of another site; give the address itself"
    authority = policy.authority(url, key)
    # A source is no authority on another site's page, so only the URL is used.
    trusted = entry if authority.is_own else Entry(link=entry.link)
    found = Candidate(
        url=url,
        canonical_url=key,
        source=source.name,
        reference=page.url,
        authority=authority,
        title=clean_title(trusted.title),
        published_at=plausible_date(trusted.published_at, now=now),
        modified_at=plausible_date(trusted.modified_at, now=now),
        external_id=one_line(trusted.external_id)[:_MAX_TITLE] or None,
        fallback=trusted.fallback,
    )
    return found if _is_wanted(found, since=source.options.since) else _TOO_OLD


def _unwrapped(link: str) -> str | None:
    """Return the URL inside a wrapper, or None if the link is no wrapper."""
    try:
        return urls.unwrap(link)
    except SourceError:
        return None


def _front_page(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _is_wanted(found: Candidate, *, since: datetime | None) -> bool:
    """Return whether a candidate may have been published at `since` or later, by its dates or else by its URL."""
    if since is None:
        return True
    if not found.published_at and not found.modified_at and (dated := period_in_path(found.url)):
        return dated.overlaps(TimeWindow(start=since))
    return lies_within(TimeWindow(start=since), url=found.url, published=found.published_at, modified=found.modified_at)


def clean_title(title: str | None) -> str | None:
    """Return a title as plain text on one line, at most 500 characters, or None if nothing is left."""
    return one_line(strip_tags((title or "")[:_MAX_WRITTEN_TITLE]))[:_MAX_TITLE].rstrip() or None


def one_line(text: str | None) -> str:
    """Return a text on one line in NFC, without control characters and lone surrogates."""
    return unicodedata.normalize("NFC", " ".join(clean(text or "").replace("\ufeff", " ").split()))


def named_value(value: object) -> str:
    """Return what a value of JSON or of a table is, for messages."""
    kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return {**kinds, list: "an array", dict: "an object"}.get(
        type(value)
    ) or f"a value of the type {type(value).__name__}"
