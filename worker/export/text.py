"""One text file an article, laid out like the seed corpus: first line the title, then the text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from worker.errors import UsageError
from worker.models import StoredArticle


def write_text(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write one file for each article into a new or empty folder; return how many.

    Raises UsageError where the folder is missing from the command line, holds something, or cannot be written.
    """
    if target is None:
        raise UsageError("text goes into a folder; name a new or empty one with --output DIR")
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise UsageError(f"{target}: is not empty; name a new or empty folder, nothing was written")
        return sum(_write_one(stored, target) for stored in articles)
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror}; name another --output") from exc


def file_name(stored: StoredArticle) -> str:
    """Return the file's name: the article's id and the first 16 hexadecimal digits of its text's SHA-256."""
    return f"{stored.id:03d}_{stored.article.sha256[:16]}.txt"


def _write_one(stored: StoredArticle, folder: Path) -> int:
    body = f"{stored.article.title}\n{stored.article.text}\n"
    (folder / file_name(stored)).write_text(body, encoding="utf-8", newline="\n")
    return 1
