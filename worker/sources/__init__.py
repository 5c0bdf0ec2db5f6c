"""Parsers of sources: they turn a fetched page or a local file into candidates, and never fetch or store anything.

`PARSERS` maps the `kind` of a configured source to its parser. To add a kind, write a module with a function of type
`worker.ports.Parser` and register it there. `read_inputs` reads local files and folders, `detect` identifies a page.
"""

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


PARSERS: Mapping[str, Parser] = MappingProxyType(
    {
        "feed": parse_feed,
        "sitemap": parse_sitemap,
        "listing": parse_listing,
        "urls": parse_url_list,
    }
)
