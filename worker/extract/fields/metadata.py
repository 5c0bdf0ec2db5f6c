"""Reads an article's title, canonical address and rights signals.

Rights signals are always recorded; the configuration says which of them reject a page. They come from the robots meta
element and `X-Robots-Tag`, the TDM Reservation Protocol (W3C community report), `rel=license`, and schema.org's
`license` and `copyrightHolder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from worker.charset import strip_tags
from worker.charset.characters import clean_line, fold
from worker.errors import SourceError
from worker.extract.document import Document
from worker.models import Rights
from worker.ports import Hints
from worker.urls import page_key, resolve, same_site, trusted_canonical

# The title, without the name of the site.


# Chinese, Japanese and Korean have no blanks beside a dash, and bars of their own.
_SEPARATOR = re.compile(r"\s[|–—·•»:-]\s|\s?[|｜ㅣ]\s?|\s::\s|\s?[-–—_]{1,2}\s?(?=[\u3040-\u9fff\uac00-\ud7a3])")
_MAX_RAW_TITLE_CHARS = 1_000
_MAX_TITLE_CHARS = 400
# A page's only heading is taken for the title from this length on, even if nothing confirms it. Chosen, not measured.
_MIN_LONE_HEADING_CHARS = 25
# The share of character pairs that two titles have in common if they are the same, or one reworded. Chosen looking at
# labelled pages, not measured one by one.
_SAME_TITLE_SHARE = 0.65
_REWORDED_TITLE_SHARE = 0.45
# The share of a declared title's character pairs that a heading must contain to be that title.
_MIN_SHARED_PAIRS = 0.3
# A short piece after a title's last bar is the name of the site, if the piece before it is longer.
_LAST_BAR = re.compile(r"\s?[|｜ㅣ»]\s?(?=[^|｜ㅣ»]{1,40}\Z)")
_MIN_CHARS_BEFORE_BAR = 20
# Bounds the work on a hostile page. Chosen, not measured.
_MAX_HEADINGS = 20
# The last words of a site's name, with at least this share of its length, are its name as well: `Quân khu 2` of `Báo
# Quân khu 2`, `Guardian` of `The Guardian`. Chosen, not measured.
_MIN_NAME_SHARE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """A title and its origin: `json-ld`, `meta`, `h1`, `title`, `feed`."""

    text: str = ""
    origin: str = ""

    def __bool__(self) -> bool:
        """Return whether there is a title."""
        return bool(self.text)


def find_title(document: Document, *, feed_title: str | None = None) -> Title:
    """Return the page's title, that of the feed if the page has none, an empty one if there is neither.

    A page gives its title in up to five places. A heading counts only if it resembles one of the others: pages also
    have headings that are not their article's (`Mobile`, the name of the newspaper).
    """
    said = _declared_titles(document)
    heading = _article_heading(document, said)
    order = [said.json_ld, heading, said.open_graph, said.other_meta, said.title_tag, _first_heading(document)]
    best = (
        _wording_for_readers(said, heading)
        or next(filter(None, order), None)
        or Title(text=_clean(feed_title or "", frozenset()), origin="feed")
    )
    if heading and _is_followed_by_name(best.text, heading.text):
        # The rest of the title is the name of the site, which the page does not declare.
        return heading
    return best if best.text else Title(text="", origin="")


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeclaredTitles:
    """The titles that a page's head declares, without the site's name."""

    json_ld: Title
    open_graph: Title
    other_meta: Title
    title_tag: Title


def _declared_titles(document: Document) -> _DeclaredTitles:
    names = _site_names(document)
    return _DeclaredTitles(
        json_ld=Title(text=_clean(document.json_ld.headline, names), origin="json-ld"),
        open_graph=Title(text=_clean(document.meta_value("og:title"), names), origin="meta"),
        other_meta=Title(text=_clean(document.meta_value("twitter:title", "dc.title", "title"), names), origin="meta"),
        title_tag=Title(text=_before_bar(_clean(document.title_tag, names)), origin="title"),
    )


def _clean(raw: str, names: frozenset[str]) -> str:
    """Return a title without markup and the site's name; an empty string for a text too long for a title."""
    text = clean_line(strip_tags(raw[:_MAX_RAW_TITLE_CHARS]))
    return without_site_name(text, names) if len(text) <= _MAX_TITLE_CHARS else ""


def _before_bar(title: str) -> str:
    bar = _LAST_BAR.search(title)
    return (
        title[: bar.start()] if bar and bar.start() >= _MIN_CHARS_BEFORE_BAR and bar.start() > len(title) / 2 else title
    )


def _wording_for_readers(said: _DeclaredTitles, heading: Title) -> Title | None:
    """Return the wording for readers if JSON-LD and the `title` element have another one, for search engines.

    The wording for readers is in Open Graph and the heading, or in Open Graph alone if no other meta element agrees
    with JSON-LD.
    """
    for_engines, open_graph = fold(said.json_ld.text), said.open_graph.text
    if not (for_engines and open_graph) or for_engines == fold(open_graph) or for_engines != fold(said.title_tag.text):
        return None
    if heading and _has_wording(open_graph, heading.text):
        return heading if fold(heading.text) != for_engines else None
    reworded = _similarity(_char_pairs(open_graph), _char_pairs(said.json_ld.text)) >= _REWORDED_TITLE_SHARE
    is_alone = for_engines == fold(heading.text) and for_engines != fold(said.other_meta.text)
    return said.open_graph if is_alone and reworded else None


def _has_wording(title: str, wording: str) -> bool:
    """Return whether a title has this wording, possibly followed by the name of a site."""
    return fold(title) == fold(wording) or _is_followed_by_name(title, wording)


def _is_followed_by_name(title: str, wording: str) -> bool:
    return title.startswith(wording) and _SEPARATOR.match(title, len(wording)) is not None


def _article_heading(document: Document, said: _DeclaredTitles) -> Title:
    """Return the heading most similar to the declared titles, else a single heading that is long enough."""
    headings, origin = list(_headings(document)), "h1"
    if not headings and (declared := clean_line(document.meta_value("headline")[:_MAX_RAW_TITLE_CHARS])):
        headings, origin = [declared], "meta"
    others = [
        _char_pairs(title.text) for title in (said.json_ld, said.open_graph, said.title_tag, said.other_meta) if title
    ]
    best, most = "", 0
    for heading in headings:
        pairs = _char_pairs(heading)
        shared = max((len(pairs & other) for other in others if _is_title_in(pairs, other)), default=0)
        if shared > most:
            best, most = heading, shared
    if not best:
        # A site with its own name in `h1` has its articles' titles in `h2`.
        said_elsewhere = {fold(title.text) for title in (said.open_graph, said.title_tag) if title}
        best = next((heading for heading in _headings(document, "h2") if fold(heading) in said_elsewhere), "")
    if not best and origin == "h1" and len(headings) == 1 and len(headings[0]) >= _MIN_LONE_HEADING_CHARS:
        best = headings[0]
    return Title(text=best, origin=origin)


def _is_title_in(heading: frozenset[str], other: frozenset[str]) -> bool:
    """Return whether a heading is a declared title: similar, and not only the part with the site's name."""
    return _similarity(heading, other) >= _SAME_TITLE_SHARE and len(heading & other) >= _MIN_SHARED_PAIRS * len(other)


def _first_heading(document: Document) -> Title:
    return Title(text=next(_headings(document), ""), origin="h1")


def _similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of the shorter title's character pairs that the longer one has; works for every script."""
    return len(one & other) / max(1, min(len(one), len(other)))


def _char_pairs(title: str) -> frozenset[str]:
    text = fold(title)
    return frozenset(text[place : place + 2] for place in range(len(text) - 1))


def _headings(document: Document, rank: str = "h1") -> Iterator[str]:
    for heading in islice(document.tree.iter(rank), _MAX_HEADINGS):
        text = clean_line("".join(heading.itertext())[:_MAX_RAW_TITLE_CHARS])
        if text:
            yield text


def _site_names(document: Document) -> frozenset[str]:
    said = [
        document.meta_value("og:site_name"),
        document.meta_value("application-name"),
        document.meta_value("twitter:site"),
    ]
    said.extend(document.json_ld.site_names)
    host = document.url.partition("://")[2].partition("/")[0].partition(":")[0].removeprefix("www.")
    names = {fold(name.lstrip("@")) for name in said if name}
    return frozenset(name for name in {*names, fold(host), fold(host.partition(".")[0])} if name)


def without_site_name(title: str, names: frozenset[str]) -> str:
    """Return a title without the site's name at either end; `names` are folded."""
    while cut := _cut_once(title, names):
        title = cut
    return title


def _cut_once(title: str, names: frozenset[str]) -> str:
    separators = list(_SEPARATOR.finditer(title))
    if not separators:
        return ""
    first, last = separators[0], separators[-1]
    if _is_name(title[last.end() :], names):
        return title[: last.start()].strip()
    if _is_name(title[: first.start()], names):
        return title[first.end() :].strip()
    return ""


def _is_name(part: str, names: frozenset[str]) -> bool:
    bare = fold(part)
    return bool(bare) and (
        bare in names
        or bare.replace(" ", "") in {name.replace(" ", "") for name in names}
        or any(name.endswith(f" {bare}") and len(bare) >= _MIN_NAME_SHARE * len(name) for name in names)
    )


# The canonical address: always on the site that served the page (docs/security.md).


# Bound a note on the article. Chosen, not measured.
_MAX_DECLARED_URLS = 3
_MAX_SHOWN_URL_CHARS = 300


def canonical_url_of(document: Document, hints: Hints) -> str:
    """Return the key of a page: its canonical address if that is on its own site, else the candidate's.

    A page that was redirected to another site gets the address that served it. A saved page keeps the key of its file.
    """
    if hints.canonical_url.startswith("file:"):
        return hints.canonical_url
    declared = next(iter(document.links.get("canonical", ())), None)
    if trusted := trusted_canonical(declared, page_url=document.url):
        return trusted
    return hints.canonical_url if same_site(hints.canonical_url, document.url) else page_key(document.url)


def notes_on_other_sites(document: Document) -> tuple[str, ...]:
    """Return notes on addresses of other sites that the page declares as its own; they have no other effect."""
    said = chain(
        (("rel=canonical", url) for url in document.links.get("canonical", ())[:_MAX_DECLARED_URLS]),
        (("og:url", url) for url in document.meta.get("og:url", ())[:_MAX_DECLARED_URLS]),
        (("JSON-LD", url) for url in (document.json_ld.url,) if url),
    )
    found: dict[str, list[str]] = {}
    for name, written in said:
        if url := _url_on_other_site(written, document.url):
            found.setdefault(url, []).append(name)
    return tuple(
        f"the page calls {url[:_MAX_SHOWN_URL_CHARS]} its address ({', '.join(dict.fromkeys(names))}), "
        "which is of another site"
        for url, names in found.items()
    )


def _url_on_other_site(written: str, page_url: str) -> str:
    try:
        url = resolve(written, base=page_url)
    except SourceError:
        return ""
    return "" if same_site(url, page_url) else url


# Rights signals.

_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
_ROBOTS_META = ("robots", "googlebot", "googlebot-news", "bingbot", "corpus-worker")


def find_rights(document: Document) -> Rights:
    """Return the page's rights signals, as written."""
    json_ld = document.json_ld
    return Rights(
        robots=tuple(sorted(_robots(document))),
        tdm_reservation=_reservation(document),
        licence=clean_line(json_ld.licence or next(iter(document.links.get("license", ())), "")),
        copyright_holder=clean_line(json_ld.copyright_holder),
    )


def _reservation(document: Document) -> str:
    """Return the page's own TDM reservation, else its site's from `/.well-known/tdmrep.json`."""
    headers = document.headers
    own = headers.get("tdm-reservation", "") or document.meta_value("tdm-reservation")
    return own or headers.get("well-known-tdm-reservation", "")


def _robots(document: Document) -> set[str]:
    said: list[str] = [document.headers.get("x-robots-tag", "")]
    for name in _ROBOTS_META:
        said.extend(document.meta.get(name, ()))
    return set(_directives(said))


def _directives(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        for part in value.lower().split(","):
            # `googlebot: noindex` addresses one crawler; `max-snippet:-1` has a number and forbids nothing.
            name = part.rpartition(":")[2].strip() if part.count(":") == 1 and "no" in part else part.strip()
            if _DIRECTIVE.fullmatch(name) and name not in {"index", "follow", "all"}:
                yield name


def refused_signal(rights: Rights, refuse: Iterable[str]) -> str:
    """Return the first of the page's signals that the rules refuse, an empty string if there is none."""
    present = set(rights.robots)
    if rights.tdm_reservation == "1":
        present |= {"tdm", "tdm-reservation"}
    if "none" in present:
        present |= {"noindex", "nofollow"}
    return next((signal for signal in refuse if signal.lower() in present), "")
