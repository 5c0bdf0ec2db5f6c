"""Reads sources: bytes in, candidates out. Nothing in here fetches, sleeps or stores."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from worker.ports import Parser
from worker.sources.detection import detect
from worker.sources.feed.parser import parse_feed
from worker.sources.files.inputs import read_inputs
from worker.sources.files.url_list import parse_url_list
from worker.sources.web.listing import parse_listing
from worker.sources.web.sitemap import parse_sitemap

__all__ = ["PARSERS", "detect", "read_inputs"]


# The kinds of sources and what reads each: a new kind is one module and one line here.


PARSERS: Mapping[str, Parser] = MappingProxyType(
    {
        "feed": parse_feed,
        "sitemap": parse_sitemap,
        "listing": parse_listing,
        "urls": parse_url_list,
    }
)
