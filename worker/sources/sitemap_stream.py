"""Streams the places a sitemap names, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from lxml import etree

from worker.errors import SourceError
from worker.sources.guards import refuse_hostile_markup
from worker.sources.mending import mended

_MAX_TEXT = 8192
_NOT_DAMAGE = "NS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One `<url>` or `<sitemap>` as written: where it is, when it is said to have changed, and its news fields."""

    url: str
    leads_to_sitemap: bool
    lastmod: str | None = None
    published: str | None = None
    title: str | None = None


@dataclass(slots=True)
class Damage:
    """What of a sitemap could not be read, although it was mended."""

    broken: str = ""
    without_address: int = 0

    def notes(self) -> tuple[str, ...]:
        """Return a sentence for people about each kind of damage there is."""
        broken = f"the sitemap is not well-formed; what could be read was read ({self.broken})"
        count = f"{self.without_address:,} left out: an entry of the sitemap without an address"
        return (*((broken,) if self.broken else ()), *((count,) if self.without_address else ()))


def places(pieces: Iterable[bytes], *, url: str, damage: Damage, content_type: str | None = None) -> Iterator[Place]:
    """Yield the places of a sitemap given in pieces; what cannot be mended is noted in `damage`.

    Entities that the document declares have no effect. Raises SourceError for hostile markup.
    """
    parser = etree.XMLPullParser(
        ("end",), recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    for piece in mended(pieces, content_type=content_type):
        try:
            refuse_hostile_markup(piece)
        except SourceError as exc:
            raise SourceError(f"{url}: {exc}") from exc
        try:
            parser.feed(piece)
        except etree.XMLSyntaxError as exc:
            damage.broken = _in_words(exc.lineno, str(exc.msg))
            return
        yield from _ended(parser, damage)
    with suppress(etree.XMLSyntaxError):
        parser.close()
    damage.broken = _first_error(parser)


def _first_error(parser: etree.XMLPullParser) -> str:
    for error in parser.feed_error_log:
        if error.level >= etree.ErrorLevels.ERROR and not error.type_name.startswith(_NOT_DAMAGE):
            return _in_words(error.line, error.message)
    return ""


def _in_words(line: int | None, message: str) -> str:
    return f"line {line}: {' '.join(message.split())[:200]}"


def _ended(parser: etree.XMLPullParser, damage: Damage) -> Iterator[Place]:
    for _, ended in parser.read_events():
        element = cast("etree._Element", ended)  # noqa: SLF001 - lxml gives its element no other name
        name = _local(element)
        if name in {"url", "sitemap"}:
            place = _place(element, leads_to_sitemap=name == "sitemap")
            _forget(element)
            if place.url:
                yield place
            else:
                damage.without_address += 1


def _place(element: etree._Element, *, leads_to_sitemap: bool) -> Place:
    said = {_local(child): _text(child) for child in element if _local(child) not in {"news", "loc"}}
    # Some write the address without `<loc>` around it; a cut one would be another address.
    address = next((child.text for child in element if _local(child) == "loc"), element.text)
    news = next((child for child in element if _local(child) == "news"), None)
    about = {} if news is None else {_local(child): _text(child) for child in news}
    return Place(
        url=(address or "").strip(),
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
