"""Finds an article's title, without the name of the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from worker.charset import without_markup
from worker.extract.document import Document
from worker.extract.text import clean_line, fold

_SEPARATOR = re.compile(r"\s+[|–—·•»:-]\s+|\s*\|\s*|\s+::\s+")
_SHORTEST = 15
_LONGEST = 1_000
_MOST_HEADINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """A title and where it came from: `json-ld`, `meta`, `h1`, `title`, `feed`."""

    text: str = ""
    origin: str = ""


def find_title(document: Document, *, feed_title: str | None = None) -> Title:
    """Return the best title there is; an empty one where the page has none.

    What the page says in structured form comes first; a heading on the page decides where a site's name ends.
    """
    candidates = list(_candidates(document, feed_title))
    if not candidates:
        return Title(text="", origin="")
    best = candidates[0]
    for heading in _headings(document):
        if len(heading) >= _SHORTEST and _SEPARATOR.match(best.text.removeprefix(heading)) and best.text != heading:
            return Title(text=heading, origin="h1")
    return best


def _candidates(document: Document, feed_title: str | None) -> Iterator[Title]:
    names = _site_names(document)
    headings = list(_headings(document))
    sources = [
        ("json-ld", document.structured.headline),
        ("meta", document.said("og:title")),
        ("meta", document.said("twitter:title", "dc.title", "title")),
        ("h1", headings[0] if headings else ""),
        ("title", document.title_tag),
        ("feed", feed_title or ""),
    ]
    for origin, raw in sources:
        text = without_site_name(clean_line(without_markup(raw[:_LONGEST])), names)
        if text:
            yield Title(text=text, origin=origin)


def _headings(document: Document) -> Iterator[str]:
    for heading in islice(document.tree.iter("h1"), _MOST_HEADINGS):
        text = clean_line("".join(heading.itertext())[:_LONGEST])
        if text:
            yield text


def _site_names(document: Document) -> frozenset[str]:
    said = [document.said("og:site_name"), document.said("application-name"), document.said("twitter:site")]
    host = document.url.partition("://")[2].partition("/")[0].partition(":")[0].removeprefix("www.")
    names = {fold(name.lstrip("@")) for name in said if name}
    return frozenset(name for name in {*names, fold(host), fold(host.partition(".")[0])} if name)


def without_site_name(title: str, names: frozenset[str]) -> str:
    """Cut the site's name off either end of a title: where it is known, whatever separates it."""
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
    return bool(bare) and (bare in names or bare.replace(" ", "") in {name.replace(" ", "") for name in names})
