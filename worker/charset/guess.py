"""Guess the charset of bytes that name none, are no UTF-8 and read as no Vietnamese."""

from __future__ import annotations

import re

SAMPLE_BYTES = 64_000
FEWEST_BYTES = 64
FOREIGN_SHARE = 0.3  # of the letters; Latin scripts stay well below, all others well above

# Scripts other than Latin can be told from each other; the Latin code pages cannot (of 191 western pages, 123 were
# taken for cp1250), so all of those stay what browsers take them for.
_LATIN = "cp1252"
_CODECS = [
    *(_LATIN, "cp1251", "cp1253", "cp1255", "cp1256", "cp874", "koi8_r"),
    *("gb18030", "big5", "euc_jp", "cp932", "cp949"),
]


def likely_codec(body: bytes) -> str | None:
    """Return the most likely codec of another script than Latin; None where there is too little to tell by."""
    # Splitting takes one pass over anything; a pattern for tags takes hours over a page of opening brackets.
    text = b" ".join(part.rpartition(b">")[2] for part in body[:SAMPLE_BYTES].split(b"<"))
    foreign = [line for line in text.splitlines() if not line.isascii()]
    sample = b"\n".join(foreign)[:SAMPLE_BYTES]
    if len(sample) < FEWEST_BYTES or _share_beyond_ascii(sample) < FOREIGN_SHARE:
        return None
    # Heavy, and needed by one page in thousands.
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_CODECS, enable_fallback=False).best()
    return None if best is None or best.encoding == _LATIN else best.encoding


def _share_beyond_ascii(sample: bytes) -> float:
    beyond = len(sample) - len(sample.decode("ascii", "ignore"))
    letters = len(re.findall(rb"[A-Za-z]", sample))
    return beyond / max(1, beyond + letters)
