"""What kind of body is asked for and taken, and which headers of an answer are kept."""

from __future__ import annotations

from collections.abc import Mapping

from worker.errors import FetchError

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
