"""Column types that mean the same on SQLite and PostgreSQL: times, spans of time, packed bytes, packed text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import zstandard
from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
KEY = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit primary key; SQLite numbers rows by itself only where the type is spelled INTEGER."""


class UtcTime(TypeDecorator[datetime]):
    """An instant as microseconds since 1970 in UTC: exact, ordered, and the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return microseconds; a naive datetime is a bug and raises TypeError."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return an aware datetime in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Span(TypeDecorator[timedelta]):
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
    """Bytes kept compressed (Zstandard, RFC 8878)."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the compressed bytes."""
        return None if value is None else zstandard.compress(value, 3)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the original bytes."""
        return None if value is None else zstandard.decompress(value)


class PackedText(TypeDecorator[str]):
    """Text kept compressed, as UTF-8; lone surrogates survive, because a seed's raw file may hold anything."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Return the compressed bytes."""
        return None if value is None else zstandard.compress(value.encode("utf-8", "surrogatepass"), 3)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the original text."""
        return None if value is None else zstandard.decompress(value).decode("utf-8", "surrogatepass")
