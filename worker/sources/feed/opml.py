"""Read and write lists of feeds as OPML 2.0 (opml.org), for `sources import` and `sources export`."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from worker import urls
from worker.errors import SourceError
from worker.models import Source
from worker.models.base import dataclass
from worker.sources.entries import clean_title
from worker.sources.markup import UTF8_DECLARATION, escape_document, refuse_hostile_markup, to_utf8


@dataclass(frozen=True, slots=True, kw_only=True)
class OpmlFeed:
    """One feed of a list: its URL, its title, and the names of the groups around it from the outermost inwards."""

    url: str
    title: str | None = None
    groups: tuple[str, ...] = ()


def read_opml(body: bytes) -> tuple[tuple[OpmlFeed, ...], tuple[str, ...]]:
    """Return the feeds of a list, each URL once, and one sentence for each feed without a usable URL.

    Raises SourceError if the file is no OPML.
    """
    try:
        markup = (
            UTF8_DECLARATION
            + escape_document(to_utf8(body, None).decode().removeprefix(UTF8_DECLARATION.decode())).encode()
        )
        refuse_hostile_markup(markup)
        parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(markup, parser)
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise SourceError(f"the file cannot be read as OPML ({exc}); export it again") from exc
    if root is None or str(root.tag).rpartition("}")[2].lower() != "opml":
        raise SourceError("the file is no OPML; give the list of feeds that another feed reader exported")
    once: dict[str, OpmlFeed] = {}
    refused: list[str] = []
    for element in root.iter("{*}outline"):
        address = _attribute(element, "xmlurl")
        if not address:
            continue
        try:
            once.setdefault(urls.canonicalise(address), _outline(element, urls.resolve(address)))
        except SourceError as exc:
            refused.append(f"line {element.sourceline}: {exc}")
    return tuple(once.values()), tuple(refused)


def _outline(element: etree._Element, url: str) -> OpmlFeed:
    if not url.startswith("http"):
        raise SourceError(f"{url!r} is no web address; give a complete http(s) address")
    outer = [_name(above) for above in element.iterancestors("{*}outline")]
    return OpmlFeed(url=url, title=_name(element), groups=tuple(name for name in reversed(outer) if name))


def _attribute(element: etree._Element, name: str) -> str:
    """Return an attribute by its name in any case: programs disagree about `xmlUrl`."""
    return next((str(value).strip() for key, value in element.attrib.items() if str(key).lower() == name), "")


def _name(element: etree._Element) -> str | None:
    return clean_title(_attribute(element, "title") or _attribute(element, "text"))


def write_opml(sources: Iterable[Source]) -> bytes:
    """Return an OPML document with the sources that are feeds."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = "Corpus Worker sources"
    body = etree.SubElement(root, "body")
    for source in sources:
        if source.kind == "feed":
            etree.SubElement(body, "outline", type="rss", text=source.name, title=source.name, xmlUrl=source.url)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True)
