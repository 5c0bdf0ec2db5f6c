"""Builds articles and neighbours for the tests of the judge."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from worker.models import Article, Kind, Neighbour

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)
_PARTS = ("b", "ch", "đ", "gi", "h", "kh", "l", "ng", "ph", "tr")
_ENDS = ("a", "án", "ế", "iêu", "o", "ò", "ú", "ương", "âm", "ơi", "uyền", "ai", "anh", "ông", "inh")


def prose(seed: int, *, sentences: int = 15, words: int = 18) -> list[str]:
    """Return sentences of made-up words, always the same for one seed."""
    rng = random.Random(seed)

    def sentence() -> str:
        drawn = [rng.choice(_PARTS) + rng.choice(_ENDS) for _ in range(words)]
        return " ".join(drawn).capitalize() + "."

    return [sentence() for _ in range(sentences)]


def edited(sentences: list[str], *, every: int, seed: int = 99) -> list[str]:
    """Replace one word in `every`."""
    rng = random.Random(seed)
    result = []
    for sentence in sentences:
        drawn = sentence.split()
        for place in range(len(drawn)):
            if rng.random() < 1 / every:
                drawn[place] = f"x{rng.choice(_PARTS)}{rng.choice(_ENDS)}"
        result.append(" ".join(drawn))
    return result


def article(
    text: str | list[str], *, title: str = "", url: str = "https://new.example/1", after: timedelta | None = None
) -> Article:
    """Return an article to judge; `after` is how long after NOW it was published, None for unknown."""
    body = text if isinstance(text, str) else "\n".join(text)
    return Article(
        url=url,
        canonical_url=url,
        source="source",
        host=url.split("/")[2],
        title=title,
        text=body,
        language="vi",
        fetched_at=NOW,
        words=len(body.split()),
        sha256="0" * 64,
        published_at=None if after is None else NOW + after,
    )


def neighbour(
    text: str | list[str],
    *,
    number: int = 1,
    title: str = "",
    url: str = "https://old.example/1",
    cluster: int | None = None,
    head: bool = True,
    marked: str = "",
    dated: bool = False,
) -> Neighbour:
    """Return a stored article, published at NOW or at an unknown time."""
    return Neighbour(
        id=number,
        cluster=number if cluster is None else cluster,
        head=head,
        kind=Kind.ARTICLE,
        url=url,
        canonical_url=url,
        source="source",
        host=url.split("/")[2],
        title=title,
        text=text if isinstance(text, str) else "\n".join(text),
        published_at=NOW if dated else None,
        fetched_at=NOW,
        marked=marked,
    )
