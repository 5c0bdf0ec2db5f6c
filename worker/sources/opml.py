"""Reads and writes lists of feeds as OPML 2.0 (opml.org)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

from worker import urls
from worker.errors import SourceError
from worker.models import Source
from worker.sources.declarations import as_utf8
from worker.sources.entries import clean_title
from worker.sources.guards import refuse_hostile_markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One feed of a list: its address, what it is called, and the names of the groups it stands in."""

    url: str
    title: str | None = None
    groups: tuple[str, ...] = ()


def read_opml(body: bytes) -> tuple[Outline, ...]:
    """Return the feeds of a list, each address once; raises SourceError where the file is no OPML."""
    try:
        refuse_hostile_markup(body)
        parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(as_utf8(body, None), parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise SourceError(f"the file cannot be read as OPML ({exc}); export it again") from exc
    if root is None or str(root.tag).lower() != "opml":
        raise SourceError("the file is no OPML; give the list of feeds that another feed reader exported")
    once: dict[str, Outline] = {}
    for outline in _outlines(root):
        once.setdefault(urls.canonicalise(outline.url), outline)
    return tuple(once.values())


def _outlines(root: etree._Element) -> Iterator[Outline]:
    for element in root.iter("outline"):
        address = _attribute(element, "xmlurl")
        try:
            url = urls.resolve(address) if address else ""
        except SourceError:
            continue
        if url.startswith("http"):
            outer = [_name(above) for above in element.iterancestors("outline")]
            yield Outline(url=url, title=_name(element), groups=tuple(name for name in reversed(outer) if name))


def _attribute(element: etree._Element, name: str) -> str:
    """Return an attribute whatever its case: writers disagree about `xmlUrl`."""
    return next((str(value).strip() for key, value in element.attrib.items() if str(key).lower() == name), "")


def _name(element: etree._Element) -> str | None:
    return clean_title(_attribute(element, "title") or _attribute(element, "text"))


def write_opml(sources: Iterable[Source]) -> bytes:
    """Return the feeds among sources as an OPML file."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = "Corpus Worker sources"
    body = etree.SubElement(root, "body")
    for source in sources:
        if source.kind == "feed":
            etree.SubElement(body, "outline", type="rss", text=source.name, title=source.name, xmlUrl=source.url)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True)
