"""Bytes to text: choose the charset, decode, and remove characters that no text may hold.

`decode` is for pages and feeds: by byte order mark, as UTF-8 if the bytes are valid, by the header, by the page's meta
element, else by detection. `decode_plain` and `read_json` are for lists and JSON. All of them return clean text
(`clean`) and never fail because of damaged bytes or unknown charset names.
"""

from worker.charset.characters import (
    BYTE_ORDER_MARKS,
    clean,
    clean_bytes,
    clean_markup,
    decode_plain,
    is_text,
    read_json,
    strip_tags,
    unmarked_codec,
)
from worker.charset.decoding import Decoded, decode, nearly_utf8

__all__ = [
    "BYTE_ORDER_MARKS",
    "Decoded",
    "clean",
    "clean_bytes",
    "clean_markup",
    "decode",
    "decode_plain",
    "is_text",
    "nearly_utf8",
    "read_json",
    "strip_tags",
    "unmarked_codec",
]
