"""Reads a list of URLs: text, one a line, `#` begins a comment."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from worker.errors import SourceError
from worker.models import Discovery, Page, Source
from worker.sources.entries import Entry, discovery, scope_of
from worker.sources.packing import inflated
from worker.sources.shapes import Shape, shape_of

_MAX_BYTES = 100 * 1024 * 1024
_WHOLE = ("http://", "https://")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def parse_url_list(page: Page, source: Source, *, now: datetime) -> Discovery:
    """Return the URLs of a list; they may lead to any site. Raises SourceError where the page is no list."""
    body = inflated(page.body, limit=_MAX_BYTES)
    shape = shape_of(body)
    if shape not in {Shape.URLS, Shape.TEXT, Shape.EMPTY}:
        raise SourceError(f"{page.url}: this is {shape.value}, not a list of URLs; write one URL a line as plain text")
    lines = (_COMMENT.sub("", line).strip() for line in body.decode("utf-8-sig", "replace").splitlines())
    words = [line.split()[0] for line in lines if line]
    entries = [Entry(link=word if word.lower().startswith(_WHOLE) else "") for word in words]
    scope = replace(scope_of(source, page.url, page.final_url), follow_others=True, listed="://" not in source.url)
    notes = () if entries else ("the list has no URLs",)
    return discovery(entries, page=page, source=source, scope=scope, now=now, notes=notes)
