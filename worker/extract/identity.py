"""Which key an article is kept under: that of the site that served it, whatever the page says of itself."""

from __future__ import annotations

from itertools import chain

from worker.errors import SourceError
from worker.extract.document import Document
from worker.ports import Hints
from worker.urls import key_of_page, resolve, same_site, trusted_canonical

_MOST_NAMED = 3
_LONGEST = 300


def key_of(document: Document, hints: Hints) -> str:
    """Return the key of a page: its canonical address within its own site, else the one it was looked for under.

    A page that another site served than the one it was looked for on is known by the address that served it. A saved
    page is known by its file.
    """
    if hints.canonical_url.startswith("file:"):
        return hints.canonical_url
    declared = next(iter(document.links.get("canonical", ())), None)
    if trusted := trusted_canonical(declared, page_url=document.url):
        return trusted
    return hints.canonical_url if same_site(hints.canonical_url, document.url) else key_of_page(document.url)


def addresses_elsewhere(document: Document) -> tuple[str, ...]:
    """Return notes on what of other sites the page calls its own address: it is recorded, and nothing comes of it."""
    said = chain(
        (("rel=canonical", url) for url in document.links.get("canonical", ())[:_MOST_NAMED]),
        (("og:url", url) for url in document.meta.get("og:url", ())[:_MOST_NAMED]),
        (("JSON-LD", url) for url in (document.structured.url,) if url),
    )
    found: dict[str, list[str]] = {}
    for name, written in said:
        if url := _elsewhere(written, document.url):
            found.setdefault(url, []).append(name)
    return tuple(
        f"the page calls {url[:_LONGEST]} its address ({', '.join(dict.fromkeys(names))}), which is of another site"
        for url, names in found.items()
    )


def _elsewhere(written: str, page_url: str) -> str:
    try:
        url = resolve(written, base=page_url)
    except SourceError:
        return ""
    return "" if same_site(url, page_url) else url
