"""One JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from worker.errors import UsageError
from worker.models import StoredArticle


def write_jsonl(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write articles to a file, or to standard output where `target` is None; return how many.

    The file appears whole or not at all. Raises UsageError where it cannot be written.
    """
    count = 0
    with _opened(target) as stream:
        for stored in articles:
            stream.write(json.dumps(as_record(stored), ensure_ascii=False) + "\n")
            count += 1
    return count


def as_record(stored: StoredArticle) -> dict[str, object]:
    """Return the fields of an exported article, in the order they are written."""
    article = stored.article
    return {
        "id": stored.id,
        "url": article.url,
        "canonical_url": article.canonical_url,
        "source": article.source,
        "host": article.host,
        "title": article.title,
        "authors": list(article.authors),
        "published_at": _iso(article.published_at),
        "published_at_from": article.published_at_from,
        "modified_at": _iso(article.modified_at),
        "fetched_at": _iso(article.fetched_at),
        "language": article.language,
        "text": article.text,
        "words": article.words,
        "sha256": article.sha256,
        "cluster": stored.cluster,
        "revision": stored.revision,
        "kind": article.kind.value,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


@contextmanager
def _opened(target: Path | None) -> Iterator[TextIO]:
    if target is None:
        yield sys.stdout
        return
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        partial.replace(target)
    except OSError as exc:
        raise UsageError(f"{target}: cannot be written: {exc.strerror}; name another --output") from exc
    finally:
        partial.unlink(missing_ok=True)
