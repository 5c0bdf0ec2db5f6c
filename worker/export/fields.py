"""The fields of an article, named and ordered once for every output."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from worker.models import Article, StoredArticle

EXPORTED: Final = (
    "id", "url", "canonical_url", "source", "host", "title", "authors", "published_at", "published_at_from",
    "modified_at", "fetched_at", "language", "text", "words", "sha256", "cluster", "revision", "kind",
)  # fmt: skip
"""What `export` writes of an article."""
PREVIEWED: Final = (
    "url", "canonical_url", "host", "title", "authors", "published_at", "published_at_from", "modified_at", "language",
    "words", "rights", "sha256", "text",
)  # fmt: skip
"""What is told of an article that is in no store."""


def exported_fields(stored: StoredArticle) -> dict[str, object]:
    """Return the values of `EXPORTED`, times as times."""
    standing = {"id": stored.id, "cluster": stored.cluster, "revision": stored.revision}
    values = _values(stored.article) | standing
    return {name: values[name] for name in EXPORTED}


def previewed_fields(article: Article) -> dict[str, object]:
    """Return the values of `PREVIEWED`, times as times."""
    values = _values(article)
    return {name: values[name] for name in PREVIEWED}


def to_json_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return values as JSON can hold them: times in ISO 8601 with their offset."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _values(article: Article) -> dict[str, object]:
    rights = article.rights
    return {
        "url": article.url,
        "canonical_url": article.canonical_url,
        "source": article.source,
        "host": article.host,
        "title": article.title,
        "authors": list(article.authors),
        "published_at": article.published_at,
        "published_at_from": article.published_at_from,
        "modified_at": article.modified_at,
        "fetched_at": article.fetched_at,
        "language": article.language,
        "text": article.text,
        "words": article.words,
        "sha256": article.sha256,
        "kind": article.kind.value,
        "rights": {
            "robots": list(rights.robots),
            "tdm_reservation": rights.tdm_reservation,
            "licence": rights.licence,
            "copyright_holder": rights.copyright_holder,
        },
    }
