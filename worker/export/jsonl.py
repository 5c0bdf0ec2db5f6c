"""One JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from worker.export.fields import exported, plain
from worker.export.whole import opened
from worker.models import StoredArticle


def write_jsonl(articles: Iterable[StoredArticle], target: Path | None) -> int:
    """Write articles to a file, or to standard output where `target` is None; return how many.

    The file appears whole or not at all. Raises UsageError where it cannot be written.
    """
    count = 0
    with _lines(target) as stream:
        for stored in articles:
            stream.write(json.dumps(plain(exported(stored)), ensure_ascii=False) + "\n")
            count += 1
    return count


@contextmanager
def _lines(target: Path | None) -> Iterator[TextIO]:
    if target is None:
        yield sys.stdout
        return
    with opened(target) as file:
        stream = TextIOWrapper(file, encoding="utf-8", newline="\n")
        yield stream
        stream.detach()  # which flushes it; the file is closed by its own door
