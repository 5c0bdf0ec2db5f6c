"""Conditional requests: which validators to send and which to keep (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.fetch.statuses import parse_http_date
from worker.models import Validators

MAX_VALIDATOR = 1_000
UNCONDITIONAL_EVERY = 24

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def condition_headers(validators: Validators) -> dict[str, str]:
    """Return the headers of a conditional GET, sent back to the letter as they came; only what is well formed."""
    headers = {}
    if validators.etag is not None and is_etag(validators.etag):
        headers["If-None-Match"] = validators.etag
    modified = validators.last_modified
    if modified is not None and len(modified) <= MAX_VALIDATOR and parse_http_date(modified) is not None:
        headers["If-Modified-Since"] = modified
    return headers


def is_etag(text: str) -> bool:
    """Tell whether a text is an entity tag that may be sent."""
    return len(text) <= MAX_VALIDATOR and text.isascii() and _ETAG.fullmatch(text) is not None


def validators_in(headers: Mapping[str, str]) -> Validators:
    """Return the validators of a response, only those that can be sent back."""
    etag, modified = headers.get("etag", "").strip(), headers.get("last-modified", "").strip()
    return Validators(
        etag=etag if is_etag(etag) else None,
        last_modified=modified if modified.isascii() and parse_http_date(modified) is not None else None,
    )


def validators_after(kept: Validators, headers: Mapping[str, str]) -> Validators:
    """Return the validators after a 304: the new ones where it brought any (RFC 9111, 3.2), else the old."""
    new = validators_in(headers)
    return Validators(etag=new.etag or kept.etag, last_modified=new.last_modified or kept.last_modified)
