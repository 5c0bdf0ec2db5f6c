"""The kinds of sources and what reads each: a new kind is one module and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from worker.ports import Parser
from worker.sources.feeds import parse_feed
from worker.sources.listings import parse_listing
from worker.sources.sitemaps import parse_sitemap
from worker.sources.url_list import parse_url_list

PARSERS: Mapping[str, Parser] = MappingProxyType(
    {
        "feed": parse_feed,
        "sitemap": parse_sitemap,
        "listing": parse_listing,
        "urls": parse_url_list,
    }
)
