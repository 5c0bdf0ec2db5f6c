"""Streams the places a sitemap names, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from lxml import etree

from worker.errors import SourceError
from worker.sources.guards import refuse_hostile_markup

_MAX_TEXT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One `<url>` or `<sitemap>` as written: where it is, when it is said to have changed, and its news fields."""

    url: str
    leads_to_sitemap: bool
    lastmod: str | None = None
    published: str | None = None
    title: str | None = None


def places(pieces: Iterable[bytes], *, url: str) -> Iterator[Place]:
    """Yield the places of a sitemap given in pieces; what follows damage is lost, what came before is not.

    Entities that the document declares have no effect. Raises SourceError for hostile markup.
    """
    parser = etree.XMLPullParser(
        ("end",), recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    for piece in pieces:
        try:
            refuse_hostile_markup(piece)
        except SourceError as exc:
            raise SourceError(f"{url}: {exc}") from exc
        try:
            parser.feed(piece)
        except etree.XMLSyntaxError:
            return
        yield from _ended(parser)


def _ended(parser: etree.XMLPullParser) -> Iterator[Place]:
    for _, ended in parser.read_events():
        element = cast("etree._Element", ended)  # noqa: SLF001 - lxml gives its element no other name
        name = _local(element)
        if name in {"url", "sitemap"}:
            place = _place(element, leads_to_sitemap=name == "sitemap")
            _forget(element)
            if place.url:
                yield place


def _place(element: etree._Element, *, leads_to_sitemap: bool) -> Place:
    said = {_local(child): _text(child) for child in element if _local(child) != "news"}
    news = next((child for child in element if _local(child) == "news"), None)
    about = {} if news is None else {_local(child): _text(child) for child in news}
    return Place(
        # Some write the address without `<loc>` around it.
        url=said.get("loc") or _text(element),
        leads_to_sitemap=leads_to_sitemap,
        lastmod=said.get("lastmod") or None,
        published=about.get("publication_date") or None,
        title=about.get("title") or None,
    )


def _forget(element: etree._Element) -> None:
    """Let go of an element and of all that stood before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and (earlier := element.getprevious()) is not None:
        parent.remove(earlier)


def _text(element: etree._Element) -> str:
    return (element.text or "")[:_MAX_TEXT].strip()


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()
