"""Export of the corpus. A format is a function that writes articles to a path, and one line in `FORMATS`."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from worker.export.formats import write_jsonl, write_parquet, write_text
from worker.models import StoredArticle

Writer = Callable[[Iterable[StoredArticle], Path | None], int]
"""Writes articles to a path, or to standard output for None; returns how many."""

FORMATS: Final[Mapping[str, Writer]] = MappingProxyType(
    {"jsonl": write_jsonl, "text": write_text, "parquet": write_parquet}
)

__all__ = ["FORMATS", "Writer"]
