"""Converts values for the database: column types for times and compressed data; pages, verdicts and rights as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import zstandard
from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator

from worker.models import Comparison, Page, Relation, Rights, Text, Validators, Verdict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)  # the resolution of datetime and of PostgreSQL
ID_TYPE = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit primary key. SQLite assigns ids by itself only to a column whose type is spelled INTEGER."""


ZSTD_LEVEL = 3
"""Zstandard's own default, which it recommends as the balance of speed and size; other levels were not measured."""


class UtcTime(TypeDecorator[datetime]):
    """A time as microseconds since 1970 in UTC: exact, ordered, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return microseconds; raises TypeError for a datetime without a time zone."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware datetime in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Duration(TypeDecorator[timedelta]):
    """A length of time as microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return microseconds."""
        return None if value is None else value // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:  # noqa: ARG002
        """Return the span."""
        return None if value is None else timedelta(microseconds=value)


class PackedBytes(TypeDecorator[bytes]):
    """Bytes that are stored compressed (Zstandard, RFC 8878)."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the compressed bytes."""
        return None if value is None else zstandard.compress(value, ZSTD_LEVEL)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the original bytes."""
        return None if value is None else zstandard.decompress(value)


class PackedText(TypeDecorator[str]):
    """Text that is stored compressed, as UTF-8. Lone surrogates are kept: a seed's raw file may contain anything."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the compressed bytes."""
        return None if value is None else zstandard.compress(value.encode("utf-8", "surrogatepass"), ZSTD_LEVEL)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the original text."""
        return None if value is None else zstandard.decompress(value).decode("utf-8", "surrogatepass")


# The body of a page or text has a column of its own, compressed. Everything else about it is stored as JSON.

PAGE_FORM = "page"
TEXT_FORM = "text"


def to_json(value: object) -> str:
    """Return compact JSON with sorted keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def storable(value: str) -> str:
    """Remove characters that cannot be stored: NUL (PostgreSQL rejects it) and lone surrogates (both reject them)."""
    if "\x00" not in value and value.isascii():
        return value
    return value.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def storable_or_none(value: str | None) -> str | None:
    """Apply `storable` to a text that may be None."""
    return None if value is None else storable(value)


def content_to_json(content: Page | Text) -> str:
    """Return a page or text as JSON, without its body and the time of its fetch."""
    if isinstance(content, Text):
        return to_json({"title": content.title} | ({"fields": dict(content.fields)} if content.fields else {}))
    return to_json(
        {
            "url": content.url,
            "final_url": content.final_url,
            "status": content.status,
            "content_type": content.content_type,
            "headers": dict(content.headers),
            "etag": content.validators.etag,
            "last_modified": content.validators.last_modified,
            "permanent_url": content.permanent_url,
            "elapsed_s": content.elapsed.total_seconds(),
        }
    )


def body_of(content: Page | Text) -> bytes:
    """Return the body of a page, or a text encoded as UTF-8."""
    return content.body if isinstance(content, Page) else content.text.encode("utf-8", "surrogatepass")


def form_of(content: Page | Text) -> str:
    """Return PAGE_FORM or TEXT_FORM."""
    return PAGE_FORM if isinstance(content, Page) else TEXT_FORM


def content_sha256(content: Page | Text) -> str:
    """Return the SHA-256 of the body in hexadecimal."""
    return hashlib.sha256(body_of(content)).hexdigest()


def content_from(form: str, described: str, body: bytes, fetched_at: datetime) -> Page | Text:
    """Return the page or text that `form_of`, `content_to_json` and `body_of` were given."""
    facts = json.loads(described)
    if form == TEXT_FORM:
        given = {
            name: tuple(value) if isinstance(value, list) else value for name, value in facts.get("fields", {}).items()
        }
        return Text(text=body.decode("utf-8", "surrogatepass"), title=facts["title"], fields=given)
    return Page(
        url=facts["url"],
        final_url=facts["final_url"],
        status=facts["status"],
        body=body,
        fetched_at=fetched_at,
        content_type=facts["content_type"],
        headers=facts["headers"],
        validators=Validators(etag=facts["etag"], last_modified=facts["last_modified"]),
        permanent_url=facts["permanent_url"],
        elapsed=timedelta(seconds=facts["elapsed_s"]),
    )


def verdict_to_json(verdict: Verdict) -> str:
    """Return a verdict as JSON, with all the comparisons it was based on."""
    return to_json(
        {
            "relation": verdict.relation,
            "head": verdict.head,
            "reason": verdict.reason,
            "best": _comparison_facts(verdict.best) if verdict.best else None,
            "considered": [_comparison_facts(comparison) for comparison in verdict.considered],
        }
    )


def verdict_from_json(value: str) -> Verdict:
    """Return the verdict that `verdict_to_json` was given; keys that older programs did not write have defaults."""
    facts = json.loads(value)
    return Verdict(
        relation=Relation(facts["relation"]),
        head=facts["head"],
        best=_comparison(facts["best"]) if facts["best"] else None,
        considered=tuple(_comparison(each) for each in facts["considered"]),
        reason=facts.get("reason", ""),
    )


def without_notes_on(value: str, articles: Collection[int]) -> str:
    """Return a verdict, as JSON, in which comparisons with these articles have no reasons in words any more."""
    facts = json.loads(value)
    for each in (facts["best"], *facts["considered"]):
        if each and each["article"] in articles:
            each["notes"] = []
    return to_json(facts)


def _comparison_facts(comparison: Comparison) -> dict[str, object]:
    return {
        "article": comparison.article,
        "relation": comparison.relation,
        "rule": comparison.rule,
        "jaccard": comparison.jaccard,
        "containment": comparison.containment,
        "shared_words": comparison.shared_words,
        "notes": list(comparison.notes),
        "probability": comparison.probability,
    }


def _comparison(facts: Mapping[str, Any]) -> Comparison:
    return Comparison(
        article=facts["article"],
        relation=Relation(facts["relation"]),
        rule=facts["rule"],
        jaccard=facts["jaccard"],
        containment=facts["containment"],
        shared_words=facts["shared_words"],
        notes=tuple(facts["notes"]),
        probability=facts.get("probability"),
    )


def rights_to_json(rights: Rights) -> str:
    """Return the rights that a page declares as JSON."""
    return to_json(
        {
            "robots": list(rights.robots),
            "tdm_reservation": rights.tdm_reservation,
            "licence": rights.licence,
            "copyright_holder": rights.copyright_holder,
            **({"content_usage": list(rights.content_usage)} if rights.content_usage else {}),
            **({"content_signal": list(rights.content_signal)} if rights.content_signal else {}),
        }
    )


@lru_cache(maxsize=1024)  # few sites declare anything, and they declare the same for all pages
def rights_from_json(value: str) -> Rights:
    """Return the rights that `rights_to_json` was given."""
    facts = json.loads(value)
    return Rights(
        robots=tuple(facts["robots"]),
        tdm_reservation=facts["tdm_reservation"],
        licence=facts["licence"],
        copyright_holder=facts["copyright_holder"],
        content_usage=tuple(facts.get("content_usage", ())),
        content_signal=tuple(facts.get("content_signal", ())),
    )


def strings_from_json(value: str) -> tuple[str, ...]:
    """Return the strings of a JSON list."""
    return tuple(json.loads(value)) if value != "[]" else ()


def origins_from_json(value: str) -> dict[str, str]:
    """Return the origins of fields by name, as `Article.fields_from` has them."""
    return dict(json.loads(value))
