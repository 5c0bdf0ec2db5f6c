"""Conditional requests: which validators to send and to keep, and what may be answered (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.errors import FetchError
from worker.fetch.statuses import parse_http_date
from worker.models import Validators

MAX_VALIDATOR = 1_000
UNCONDITIONAL_EVERY = 24

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_KINDS = {
    "page": "text/html,application/xhtml+xml;q=0.9,application/xml;q=0.5,text/plain;q=0.5,*/*;q=0.1",
    "feed": "application/atom+xml,application/rss+xml,application/feed+json,application/xml;q=0.9,text/xml;q=0.9,"
    "application/json;q=0.8,text/html;q=0.5,*/*;q=0.1",
    "any": "*/*",
}
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/xml", "text/xml", "text/plain"})
_FEED_TYPES = _PAGE_TYPES | {
    "application/json",
    "application/feed+json",
    "application/rdf+xml",
    "application/gzip",
    "application/x-gzip",
    "application/octet-stream",
    "binary/octet-stream",
}
_KEPT_HEADERS = (
    "age",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "retry-after",
    "server",
    "tdm-policy",
    "tdm-reservation",
    "x-robots-tag",
)


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


def accept_header(accept: str) -> str:
    """Return the Accept header for a kind of body: `page`, `feed` or `any`."""
    return _KINDS.get(accept, _KINDS["any"])


def check_content_type(content_type: str | None, accept: str) -> None:
    """Raise FetchError (`content-type`) for a body of another kind; one that names no type is looked at."""
    essence = (content_type or "").partition(";")[0].strip().lower()
    if not essence or accept not in {"page", "feed"}:
        return
    if essence in (_PAGE_TYPES if accept == "page" else _FEED_TYPES):
        return
    if accept == "feed" and (essence.endswith(("+xml", "+json")) or essence.startswith("text/")):
        return
    raise FetchError(f"the body is {essence[:80]}, not a {accept}", reason="content-type", retry=False)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that matter later, names in lower case, values without control characters."""
    kept = {name: headers.get(name) for name in _KEPT_HEADERS}
    return {
        name: "".join(character for character in value[:2_000] if character.isprintable())
        for name, value in kept.items()
        if value is not None
    }
