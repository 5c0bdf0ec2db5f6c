"""Tells listing, section and home pages from articles: they must never be stored as articles."""

from __future__ import annotations

from urllib.parse import urlsplit

from worker.errors import ExtractError
from worker.extract.body import Block
from worker.extract.document import Document

_LISTING_TYPES = frozenset({"collectionpage", "itemlist", "searchresultspage", "website"})
_LONG = 25


def refuse_listing(document: Document, blocks: list[Block]) -> None:
    """Reject a page that lists articles rather than being one; raises ExtractError (`listing`)."""
    if document.structured.is_article or document.said("og:type").lower() in {"article", "blog", "news"}:
        return
    if urlsplit(document.url).path.rstrip("/") == "" and urlsplit(document.url).scheme != "file":
        raise ExtractError("a home page, not an article: its address has no path", reason="listing")
    long = sum(len(block.text.split()) for block in blocks if len(block.text.split()) >= _LONG)
    total = sum(len(block.text.split()) for block in blocks) or 1
    says_listing = bool(document.structured.types & _LISTING_TYPES) or document.said("og:type").lower() == "website"
    links = sum(1 for _ in document.tree.iter("a"))
    if says_listing and not document.said("article:published_time") and links > 80:
        share = long / total
        raise ExtractError(
            f"a listing page, not an article: it calls itself one, has {links} links and "
            f"{share:.0%} of its text in paragraphs",
            reason="listing",
        )
