"""Bytes to text: by byte order mark, header, meta, then detection, UTF-8 first; hostile names are harmless."""

from worker.charset.decode import Decoded, decode

__all__ = ["Decoded", "decode"]
