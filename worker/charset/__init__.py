"""Bytes to text: by byte order mark, header, meta, then detection, UTF-8 first; hostile names are harmless.

What comes out is clean: `clean` has the characters that no text holds.
"""

from worker.charset.cleaning import MARKS, as_written, clean, clean_bytes, clean_markup, is_text, read_json
from worker.charset.decoding import Decoded, decode, nearly_utf8
from worker.charset.short_markup import without_markup

__all__ = [
    "MARKS",
    "Decoded",
    "as_written",
    "clean",
    "clean_bytes",
    "clean_markup",
    "decode",
    "is_text",
    "nearly_utf8",
    "read_json",
    "without_markup",
]
