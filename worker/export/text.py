"""One text file an article, laid out like the seed corpus: first line the title, then the text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from worker.errors import UsageError
from worker.export.whole import folder
from worker.models import StoredArticle


def write_text(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write one file for each article into a new or empty folder, which appears whole or not at all; return how many.

    Raises UsageError where the folder is missing from the command line, holds something, or cannot be written.
    """
    if target is None:
        raise UsageError("text goes into a folder; name a new or empty one with --output DIR")
    with folder(target) as made:
        return sum(_write_one(stored, made) for stored in articles)


def file_name(stored: StoredArticle) -> str:
    """Return the file's name: the article's id and the first 16 hexadecimal digits of its text's SHA-256."""
    return f"{stored.id:03d}_{stored.article.sha256[:16]}.txt"


def _write_one(stored: StoredArticle, place: Path) -> int:
    body = f"{stored.article.title}\n{stored.article.text}\n"
    (place / file_name(stored)).write_text(body, encoding="utf-8", newline="\n")
    return 1
