"""Turns what people write as a URL into its parts: repairs first, then splitting and percent-encoding (RFC 3986)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape
from urllib.parse import SplitResult, quote, quote_from_bytes, unquote_to_bytes, urljoin, urlsplit

from worker.errors import SourceError

MAX_LENGTH = 8192
"""Longer URLs are refused; servers refuse them too."""
MAX_FINISHED_LENGTH = 2500
"""A finished URL that is longer names no article, and no index of a PostgreSQL store could hold it (2,704 bytes)."""

_JUNK = re.compile(r"[\x00-\x20\x7f\u200b\u200e\u200f\u2060\ufeff]+")
_CLEAN = re.compile(r"https?://[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._~/%=?+,-]{0,2000}")
_LINE_BREAKS = re.compile(r"[\t\r\n]+")
_DOUBLED_SCHEME = re.compile(r"https?:/*(?=https?:/)", re.IGNORECASE)
_LOOSE_SCHEME = re.compile(r"(https?):/*", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*")
_PATH_SAFE = "-._~!$&'()*+,;=:@"
_QUERY_SAFE = "-._~!$'()*,;:@/[]"


def split_url(url: str, *, base: str | None = None) -> SplitResult:
    """Repair and resolve a URL, and split it; raises SourceError for what is no http, https or file URL."""
    if base is None or _CLEAN.fullmatch(url):
        return _whole(url)
    repaired = _repair(url, relative=True)
    try:
        return _checked(url, urlsplit(urljoin(base, repaired)))
    except ValueError as exc:
        raise _refused(url, str(exc).lower()) from exc


# One URL is looked at several times in a row: its address, its key, its site.
@lru_cache(maxsize=512)
def _whole(url: str) -> SplitResult:
    repaired = url if _CLEAN.fullmatch(url) else _repair(url, relative=False)
    try:
        return _checked(url, urlsplit(repaired))
    except ValueError as exc:
        raise _refused(url, str(exc).lower()) from exc


def _checked(url: str, parts: SplitResult) -> SplitResult:
    if parts.scheme == "file":
        return parts._replace(netloc="")
    if parts.scheme not in {"http", "https"}:
        raise _refused(url, "it is not an http, https or file address")
    if not parts.netloc:
        raise _refused(url, "it names no host")
    return parts


def _repair(url: str, *, relative: bool) -> str:
    """Undo what feeds and editors do to URLs: blanks around, line breaks inside, escaped ampersands, backslashes."""
    text = _LINE_BREAKS.sub("", url)
    start = _JUNK.match(text)
    text = text[start.end() if start else 0 :].rstrip("\x00 \u200b\ufeff")
    if not text or len(text) > MAX_LENGTH:
        raise _refused(url, "it is empty" if not text else f"it is longer than {MAX_LENGTH} characters")
    if "&" in text and "amp;" in text:
        text = unescape(text.replace("&amp;", "&"))
    text = _slashes(text)
    text = _DOUBLED_SCHEME.sub("", text)
    if not relative and text.startswith("//"):
        return "https:" + text
    return _LOOSE_SCHEME.sub(r"\1://", text, count=1) if _LOOSE_SCHEME.match(text) else text


def _slashes(text: str) -> str:
    """Read a backslash as a slash ahead of the query, as browsers do (WHATWG URL)."""
    if "\\" not in text:
        return text
    end = min((at for at in (text.find("?"), text.find("#")) if at >= 0), default=len(text))
    return text[:end].replace("\\", "/") + text[end:]


def _refused(url: str, why: str) -> SourceError:
    shown = url if len(url) <= 200 else url[:200] + "…"
    return SourceError(f"not a usable URL: {shown!r}: {why}; give a complete http(s) address or a file: URL")


def check_length(url: str) -> str:
    """Return a finished URL unless it is too long; raises SourceError."""
    if len(url) > MAX_FINISHED_LENGTH:
        raise _refused(url, f"it has {len(url):,} characters, more than {MAX_FINISHED_LENGTH:,}")
    return url


def encode_path(path: str) -> str:
    """Write a path in one way: UTF-8 in NFC, escapes upper-case and only where needed."""
    if _PLAIN.fullmatch(path):
        return path
    return "/".join(_recode(segment, _PATH_SAFE) for segment in path.split("/"))


def encode_query(text: str, *, value: bool = False) -> str:
    """Write the name or the value of a parameter in one way; a plus sign is a blank."""
    if _PLAIN.fullmatch(text):
        return text
    return _recode(text.replace("+", "%20"), _QUERY_SAFE + "=" if value else _QUERY_SAFE)


def encode_fragment(fragment: str) -> str:
    """Write a fragment in one way."""
    return _recode(fragment, _PATH_SAFE + "/?")


def _recode(text: str, safe: str) -> str:
    # Lone surrogates stand for undecodable bytes of file names.
    raw = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
    try:
        return quote(unicodedata.normalize("NFC", raw.decode("utf-8")), safe=safe)
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe=safe)
