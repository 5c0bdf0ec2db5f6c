"""One page, decoded once and parsed once: what every later step reads from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import lxml.etree
import lxml.html
from lxml.html import HtmlElement

from worker.errors import ExtractError
from worker.extract.structured import Structured, read_structured
from worker.extract.text import clean_line
from worker.extract.trim import trim
from worker.models import Page

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([a-zA-Z0-9_-]{2,40})", re.IGNORECASE)
_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?([a-zA-Z0-9_-]{2,40})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page's tree with what its head says: `meta` by lower-case name, first value first; `links` by rel."""

    url: str
    tree: HtmlElement
    structured: Structured
    headers: Mapping[str, str]
    meta: Mapping[str, tuple[str, ...]]
    links: Mapping[str, tuple[str, ...]]
    title_tag: str
    notes: tuple[str, ...] = field(default=())

    def said(self, *names: str) -> str:
        """Return the first meta value among the names, in their order."""
        return next((self.meta[name][0] for name in names if name in self.meta), "")

    @cached_property
    def language(self) -> str:
        """What the page says its language is."""
        return self.tree.get("lang") or self.said("og:locale", "content-language") or self.structured.language


def open_document(page: Page) -> Document:
    """Decode and parse a page; raises ExtractError where there is nothing to parse."""
    trimmed = trim(_decode(page))
    tree = _parse(trimmed.markup)
    return Document(
        url=page.final_url,
        tree=tree,
        structured=read_structured(trimmed.json_ld),
        headers=page.headers,
        meta=_metas(tree),
        links=_links(tree),
        title_tag=clean_line(tree.findtext(".//title") or ""),
    )


def _decode(page: Page) -> str:
    declared = _HEADER_CHARSET.search(page.content_type or "")
    inside = _META_CHARSET.search(page.body[:4096])
    names = ["utf-8", declared.group(1) if declared else "", inside.group(1).decode("ascii") if inside else ""]
    for name in filter(None, names):
        try:
            return page.body.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return page.body.decode("utf-8", errors="replace")


def _parse(markup: str) -> HtmlElement:
    if "<" not in markup:
        raise ExtractError("the page is not HTML: it holds no tag", reason="not-html")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    try:
        tree = lxml.html.document_fromstring(markup.encode("utf-8", "replace"), parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError) as error:
        raise ExtractError(f"the page cannot be parsed: {error}", reason="not-html") from error
    return tree


def _metas(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for element in tree.iter("meta"):
        content = clean_line(element.get("content") or "")
        for attribute in ("name", "property", "itemprop", "http-equiv"):
            name = (element.get(attribute) or "").strip().lower()
            if name and content:
                found.setdefault(name, []).append(content)
    return {name: tuple(values) for name, values in found.items()}


def _links(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for element in tree.iter("link"):
        for rel in (element.get("rel") or "").lower().split():
            found.setdefault(rel, []).append((element.get("href") or "").strip())
    return {rel: tuple(filter(None, targets)) for rel, targets in found.items()}
