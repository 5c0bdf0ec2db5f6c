"""A site: a host name and what it gives for each path."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from html import escape
from typing import Protocol
from urllib.parse import urlsplit

from tests.newsroom.certificates import Certificate
from tests.newsroom.replies import Page, Reply, plain

NOT_FOUND = Reply(status=404, body="<html><body><h1>404</h1><p>Không tìm thấy trang.</p></body></html>".encode())


class Reach(Enum):
    """Whether a site can be reached."""

    OPEN = "it answers"
    REFUSED = "connections are refused"
    SILENT = "connections are taken, and nothing ever comes"


class Served(Protocol):
    """What the newsroom can serve."""

    @property
    def host(self) -> str:
        """The host name."""

    @property
    def reach(self) -> Reach:
        """Whether it can be reached at first."""

    @property
    def certificate(self) -> Certificate:
        """What certificate it shows."""

    def page(self, path: str) -> Page:
        """Return what the path, with its query, gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Given pages under a host name, by path with the query if there is one."""

    host: str
    pages: Mapping[str, Page] = field(default_factory=dict)
    otherwise: Page = NOT_FOUND
    reach: Reach = Reach.OPEN
    certificate: Certificate = Certificate.GOOD

    def page(self, path: str) -> Page:
        return self.pages.get(path) or self.pages.get(path.partition("?")[0]) or self.otherwise


def rss(entries: Iterable[tuple[str, str]], *, title: str = "Tin mới") -> Reply:
    """Return an RSS 2.0 feed of (URL, title) pairs."""
    items = "".join(
        f"<item><title>{escape(name)}</title><link>{escape(url)}</link><guid>{escape(url)}</guid></item>\n"
        for url, name in entries
    )
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel><title>{escape(title)}</title>\n'
    return Reply(body=f"{text}{items}</channel></rss>\n".encode(), content_type="application/rss+xml; charset=utf-8")


def sites_of(pages: Mapping[str, Page], *, feed_path: str = "/newsroom-feed.xml") -> list[Site]:
    """Spread pages, given by URL, over one site a host, each with an RSS feed of its pages at `feed_path`.

    The scheme of a URL does not matter: a site answers to both. Each robots.txt allows everything.
    """
    by_host: dict[str, dict[str, Page]] = defaultdict(dict)
    links: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for url, page in pages.items():
        parts = urlsplit(url)
        host = parts.hostname or ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        by_host[host][path] = page
        links[host].append((url, path))
    extra = {"/robots.txt": plain("User-agent: *\nDisallow:\n")}
    return [
        Site(host=host, pages={**extra, **found, feed_path: rss(links[host], title=host)})
        for host, found in by_host.items()
    ]
