"""Reads a page's canonical address and its rights signals. Signals are always recorded; refusing them is configured.

Sources: robots meta and `X-Robots-Tag`, the TDM Reservation Protocol (W3C community report), `rel=license`,
schema.org `license` and `copyrightHolder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from worker.errors import SourceError
from worker.extract.document import Document
from worker.extract.text import clean_line
from worker.models import Rights
from worker.ports import Hints
from worker.urls import page_key, resolve, same_site, trusted_canonical

# Which key an article is kept under: that of the site that served it, whatever the page says of itself.


_MAX_DECLARED_URLS = 3
_SHOWN_URL = 300


def canonical_url_of(document: Document, hints: Hints) -> str:
    """Return the key of a page: its canonical address within its own site, else the one it was looked for under.

    A page that another site served than the one it was looked for on is known by the address that served it. A saved
    page is known by its file.
    """
    if hints.canonical_url.startswith("file:"):
        return hints.canonical_url
    declared = next(iter(document.links.get("canonical", ())), None)
    if trusted := trusted_canonical(declared, page_url=document.url):
        return trusted
    return hints.canonical_url if same_site(hints.canonical_url, document.url) else page_key(document.url)


def notes_on_other_sites(document: Document) -> tuple[str, ...]:
    """Return notes on what of other sites the page calls its own address: it is recorded, and nothing comes of it."""
    said = chain(
        (("rel=canonical", url) for url in document.links.get("canonical", ())[:_MAX_DECLARED_URLS]),
        (("og:url", url) for url in document.meta.get("og:url", ())[:_MAX_DECLARED_URLS]),
        (("JSON-LD", url) for url in (document.structured.url,) if url),
    )
    found: dict[str, list[str]] = {}
    for name, written in said:
        if url := _url_on_other_site(written, document.url):
            found.setdefault(url, []).append(name)
    return tuple(
        f"the page calls {url[:_SHOWN_URL]} its address ({', '.join(dict.fromkeys(names))}), which is of another site"
        for url, names in found.items()
    )


def _url_on_other_site(written: str, page_url: str) -> str:
    try:
        url = resolve(written, base=page_url)
    except SourceError:
        return ""
    return "" if same_site(url, page_url) else url


_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
_ROBOTS_META = ("robots", "googlebot", "googlebot-news", "bingbot", "corpus-worker")


def find_rights(document: Document) -> Rights:
    """Return the page's signals, in its own words."""
    structured = document.structured
    return Rights(
        robots=tuple(sorted(_robots(document))),
        tdm_reservation=_reservation(document),
        licence=clean_line(structured.licence or next(iter(document.links.get("license", ())), "")),
        copyright_holder=clean_line(structured.copyright_holder),
    )


def _reservation(document: Document) -> str:
    """Return what the page says of itself, else what its site says of it in `/.well-known/tdmrep.json`."""
    headers = document.headers
    own = headers.get("tdm-reservation", "") or document.said("tdm-reservation")
    return own or headers.get("well-known-tdm-reservation", "")


def _robots(document: Document) -> set[str]:
    said: list[str] = [document.headers.get("x-robots-tag", "")]
    for name in _ROBOTS_META:
        said.extend(document.meta.get(name, ()))
    return set(_directives(said))


def _directives(values: Iterable[str]) -> Iterable[str]:
    for value in values:
        for part in value.lower().split(","):
            # `googlebot: noindex` names whom it is for; `max-snippet:-1` carries a figure and forbids nothing.
            name = part.rpartition(":")[2].strip() if part.count(":") == 1 and "no" in part else part.strip()
            if _DIRECTIVE.fullmatch(name) and name not in {"index", "follow", "all"}:
                yield name


def refused_signal(rights: Rights, refuse: Iterable[str]) -> str:
    """Return the first signal of the page that the rules refuse, an empty string if there is none."""
    present = set(rights.robots)
    if rights.tdm_reservation == "1":
        present |= {"tdm", "tdm-reservation"}
    if "none" in present:
        present |= {"noindex", "nofollow"}
    return next((signal for signal in refuse if signal.lower() in present), "")
