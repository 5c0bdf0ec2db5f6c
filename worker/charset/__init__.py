"""Bytes to text: by byte order mark, header, meta, then detection, UTF-8 first; hostile names are harmless.

What comes out is clean: `clean` has the characters that no text holds.
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
]
