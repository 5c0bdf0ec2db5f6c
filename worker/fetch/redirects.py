"""Tells where a page leads that holds nothing but the way to another: followed as a redirect is, by the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx
from lxml import etree, html

from worker.fetch.http.ssrf import resolve_location
from worker.fetch.request import HttpResponse
from worker.models import Page, Request
from worker.ports import HostRegistry, RunInThread
from worker.urls import refresh_target

_LARGEST: Final = 64 * 1024
# Characters of text, blanks left out: what is longer is read, whatever it leads to.
_LONGEST_NOTICE: Final = 800
_UNSEEN: Final = ("script", "style", "noscript", "template", "title", "svg")


def refresh_redirect(url: httpx.URL, reply: HttpResponse) -> httpx.URL | None:
    """Return the address that a page sends its reader on to within seconds, None where it is a page to be read.

    Only a page without an article of its own leads on: one whose visible text is no more than a notice. Raises
    FetchError where the address cannot be fetched.
    """
    header = reply.headers.get("refresh", "")
    folded = reply.body.lower() if len(reply.body) <= _LARGEST else b""
    if not (header or b"refresh" in folded) or b"articlebody" in folded:
        return None
    tree = _tree(reply.body[:_LARGEST])
    targets = filter(None, map(refresh_target, (header, *(_metas(tree) if tree is not None else ()))))
    target = next(targets, None)
    if target is None or (tree is not None and _visible(tree) > _LONGEST_NOTICE) or len(reply.body) > _LARGEST:
        return None
    led = resolve_location(url, target)
    return None if led.copy_with(fragment=None) == url.copy_with(fragment=None) else led


def _tree(body: bytes) -> html.HtmlElement | None:
    # What is looked for is written in ASCII, in every charset that pages are sent in; the rest is only counted.
    try:
        return html.document_fromstring(body.decode("utf-8", "replace").replace("\0", " ")) if body.strip() else None
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None


def _metas(tree: html.HtmlElement) -> Iterator[str]:
    for meta in tree.iter("meta"):
        if (meta.get("http-equiv") or "").strip().lower() == "refresh":
            yield meta.get("content") or ""


def _visible(tree: html.HtmlElement) -> int:
    for element in list(tree.iter(*_UNSEEN)):
        element.drop_tree()
    return sum(len("".join(text.split())) for text in tree.itertext() if isinstance(text, str))


# Permanent redirects (RFC 9110, sections 15.4.2 and 15.4.9): the next fetch starts where the last one was sent.


class PermanentRedirects:
    """Where URLs have moved for good, remembered with the hosts."""

    def __init__(self, *, hosts: HostRegistry, offload: RunInThread) -> None:
        self._hosts = hosts
        self._offload = offload

    async def start_of(self, request: Request) -> str:
        """Return the URL to begin with."""
        return await self._offload(self._hosts.moved, request.url) or request.url

    async def arrived(self, page: Page, *, start: str) -> None:
        """Remember where a page that came has moved."""
        if page.permanent_url and page.permanent_url != start:
            await self._offload(self._hosts.keep_moved, page.url, page.permanent_url)

    async def lost(self, request: Request, *, start: str) -> None:
        """Forget a move that led to nothing: the next try begins where the first did."""
        if start != request.url:
            await self._offload(self._hosts.keep_moved, request.url, None)
