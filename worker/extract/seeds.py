"""Turns a file of the seed corpus into an article."""

from __future__ import annotations

from datetime import datetime

from worker.errors import ExtractError
from worker.extract.language import Languages
from worker.extract.seed_text import clean_seed
from worker.extract.text import count_words, sha256_of
from worker.models import Article, Kind, Seed


def seed_article(seed: Seed, *, fetched_at: datetime, languages: Languages) -> Article:
    """Return the article of a seed file; raises ExtractError (`empty`) where the file holds none."""
    cleaned = clean_seed(seed.raw)
    if not cleaned.text:
        raise ExtractError(f"no article was found in the seed file {seed.name}", reason="empty")
    url = f"seed:{seed.name}"
    return Article(
        url=url,
        canonical_url=url,
        source="seeds",
        host="",
        title=cleaned.title,
        text=cleaned.text,
        language=languages.identify(cleaned.text),
        fetched_at=fetched_at,
        words=count_words(cleaned.text),
        sha256=sha256_of(cleaned.text),
        kind=Kind.SEED,
    )
