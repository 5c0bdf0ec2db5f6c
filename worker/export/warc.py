"""The export format `warc`: kept pages as WARC/1.1 records (ISO 28500:2017), each in a gzip member of its own.

A page is a response and the request for it, both made from what the store knows: of the request the address, of the
response the status, the fields that were kept, and the body as it was after decoding. Pages of local files are records
of type `resource`. The same pages give the same bytes: the ids of records are made from their contents.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from worker.models import Page

_IDS: Final = uuid.UUID("6f2a3c0e-6a0d-5d55-9a5e-6d1f3b1c9d10")
"""The name space of record ids (RFC 4122, section 4.3)."""
_SPECIFICATION: Final = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"
_LEVEL: Final = 6  # zlib's own default: more gains one or two percent on HTML and takes twice as long
_CHANGED_BY_DECODING: Final = frozenset(
    {"content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade"}
)
"""Response fields that do not describe the body as it is kept, or that belong to the connection."""
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token (RFC 9110, section 5.6.2)
_NOT_IN_VALUE: Final = re.compile(r"[\x00-\x1f\x7f]+")
_NO_PLAIN_ADDRESS: Final = re.compile(r"[\x00-\x20\x7f]")


def write_warc(pages: Iterable[Page], file: BinaryIO) -> int:
    """Write pages as WARC records; return how many."""
    count, about = 0, ""
    for page in pages:
        if not count:
            about = _write_info(file, page.fetched_at)
        _write_page(file, page, about)
        count += 1
    return count


def _write_info(file: BinaryIO, at: datetime) -> str:
    """Write the record that describes the file, and return its id."""
    fields = {
        "software": f"corpus-worker/{version('corpus-worker')}",
        "format": "WARC File Format 1.1",
        "conformsTo": _SPECIFICATION,
        "description": "pages kept by corpus-worker; requests and HTTP headers are written from what was kept of them",
    }
    return _write(file, "warcinfo", at, {"Content-Type": "application/warc-fields"}, _fields(fields))


def _write_page(file: BinaryIO, page: Page, about: str) -> None:
    address = page.final_url
    common = {"WARC-Target-URI": _NO_PLAIN_ADDRESS.sub("", address), "WARC-Warcinfo-ID": about}
    payload = {"WARC-Payload-Digest": _digest(page.body)}
    if urlsplit(address).scheme not in {"http", "https"}:
        kind = {"Content-Type": _clean(page.content_type or "text/html")}
        _write(file, "resource", page.fetched_at, {**common, **payload, **kind}, page.body)
        return
    kind = {"Content-Type": "application/http;msgtype=response"}
    head = _response_head(page)
    made = _write(file, "response", page.fetched_at, {**common, **payload, **kind}, head + page.body)
    kind = {"Content-Type": "application/http;msgtype=request", "WARC-Concurrent-To": made}
    _write(file, "request", page.fetched_at, {**common, **kind}, _request(address))


def _response_head(page: Page) -> bytes:
    """Return the status line and the fields of a response whose body is not encoded."""
    fields = {name.lower(): value for name, value in page.headers.items()}
    known = {
        "content-type": page.content_type,
        "etag": page.validators.etag,
        "last-modified": page.validators.last_modified,
    }
    fields = {**{name: value for name, value in known.items() if value}, **fields}
    kept = {
        name: value
        for name, value in fields.items()
        if name not in _CHANGED_BY_DECODING and _FIELD_NAME.fullmatch(name)
    }
    phrase = HTTPStatus(page.status).phrase if page.status in set(HTTPStatus) else ""
    status = f"HTTP/1.1 {page.status} {phrase}\r\n".encode()
    return status + _fields({**kept, "content-length": str(len(page.body))}) + b"\r\n"


def _request(address: str) -> bytes:
    parts = urlsplit(address)
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return f"GET {_NO_PLAIN_ADDRESS.sub('', path)} HTTP/1.1\r\n".encode() + _fields({"Host": parts.netloc}) + b"\r\n"


def _write(file: BinaryIO, kind: str, at: datetime, fields: Mapping[str, str], block: bytes) -> str:
    """Write one record as a gzip member, and return its id."""
    digest = _digest(block)
    name = f"{kind} {fields.get('WARC-Target-URI', '')} {at.isoformat()} {digest}"
    number = f"<urn:uuid:{uuid.uuid5(_IDS, name)}>"
    head = {
        "WARC-Type": kind,
        "WARC-Record-ID": number,
        "WARC-Date": f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
        **fields,
        "WARC-Block-Digest": digest,
        "Content-Length": str(len(block)),
    }
    record = (b"WARC/1.1\r\n", _fields(head), b"\r\n", block, b"\r\n\r\n")
    file.write(gzip.compress(b"".join(record), _LEVEL, mtime=0))
    return number


def _fields(values: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {_clean(value)}\r\n" for name, value in values.items()).encode("utf-8", "replace")


def _clean(value: str) -> str:
    return _NOT_IN_VALUE.sub(" ", value).strip()


def _digest(content: bytes) -> str:
    return f"sha256:{base64.b32encode(hashlib.sha256(content).digest()).decode('ascii')}"
