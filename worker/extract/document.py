"""One page, decoded once and parsed once: what every later step reads from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import lxml.html
from lxml.etree import ElementDefaultClassLookup, ParserError, XMLSyntaxError
from lxml.html import HtmlElement

from worker.charset import clean_markup, decode
from worker.errors import ExtractError
from worker.extract.structured import Structured, read_structured
from worker.extract.text import clean_line
from worker.extract.trim import cut_scripts, trim
from worker.models import Page

_JSON_LD = re.compile(r"ld\+json|json\+ld", re.IGNORECASE)
# Five times as many as on the largest of a thousand real pages; steps that are quadratic somewhere take minutes.
_MOST_TAGS = 100_000
_MOST_METAS = 1_000


@dataclass(frozen=True, kw_only=True)
class Document:
    """A page's tree with what its head says.

    `meta` is by lower-case name, first value first; `links` by rel; `size` is in characters; `body` is as it came.
    """

    url: str
    tree: HtmlElement
    structured: Structured
    headers: Mapping[str, str]
    meta: Mapping[str, tuple[str, ...]]
    links: Mapping[str, tuple[str, ...]]
    title_tag: str
    charset: str
    size: int
    body: bytes

    def said(self, *names: str) -> str:
        """Return the first meta value among the names, in their order."""
        return next((self.meta[name][0] for name in names if name in self.meta), "")

    @property
    def claims_article(self) -> bool:
        """Whether the page calls itself an article, in a way that templates of listing pages do not copy."""
        return self.structured.is_article or "article:published_time" in self.meta

    @property
    def language(self) -> str:
        """What the page says its language is."""
        return self.tree.get("lang") or self.said("og:locale", "content-language") or self.structured.language


def open_document(page: Page) -> Document:
    """Decode and parse a page; raises ExtractError where there is nothing to parse."""
    decoded = decode(cut_scripts(page.body), page.content_type)
    markup = trim(clean_markup(decoded.text))
    tree = _parse(markup)
    return Document(
        url=page.final_url,
        tree=tree,
        structured=read_structured(_json_ld(tree)),
        headers=page.headers,
        meta=_metas(tree),
        links=_links(tree),
        title_tag=clean_line((tree.findtext(".//title") or "")[:_MOST_METAS]),
        charset=f"{decoded.charset}, by {decoded.chosen_by}",
        size=len(markup),
        body=page.body,
    )


def _parse(markup: str) -> HtmlElement:
    if "<" not in markup:
        raise ExtractError("the page is not HTML: it holds no tag", reason="not-html")
    if len(markup) > _MOST_TAGS and (tags := markup.count("<")) > _MOST_TAGS:
        raise ExtractError(f"no news page: it has {tags} tags, at most {_MOST_TAGS} are read", reason="size")
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    # One element class for all: lxml.html's own look-up by tag name is Python code, run for every element touched.
    parser.set_element_class_lookup(ElementDefaultClassLookup(element=HtmlElement))
    try:
        tree = lxml.html.document_fromstring(markup.encode(), parser=parser)
    except (ParserError, XMLSyntaxError) as error:
        raise ExtractError(f"the page cannot be parsed: {error}", reason="not-html") from error
    return tree


def _json_ld(tree: HtmlElement) -> list[str]:
    scripts = [script.text or "" for script in tree.iter("script") if _JSON_LD.search(script.get("type") or "")]
    # Some systems write what was meant for a script into a meta element.
    metas = (meta for meta in islice(tree.iter("meta"), _MOST_METAS) if _JSON_LD.search(meta.get("name") or ""))
    return [*scripts, *(meta.get("content") or "" for meta in metas)]


def _metas(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    # Microdata gives a value without words as `link`, too.
    for element in islice(tree.iter("meta", "link"), _MOST_METAS):
        content = clean_line(element.get("content") or "")
        for attribute in ("name", "property", "itemprop", "http-equiv"):
            name = (element.get(attribute) or "").strip().lower()
            if name and content:
                found.setdefault(name, []).append(content)
    return {name: tuple(values) for name, values in found.items()}


def _links(tree: HtmlElement) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for element in islice(tree.iter("link"), _MOST_METAS):
        for rel in (element.get("rel") or "").lower().split():
            found.setdefault(rel, []).append((element.get("href") or "").strip())
    return {rel: tuple(filter(None, targets)) for rel, targets in found.items()}
