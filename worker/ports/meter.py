"""Who counts and times what the stages do; by default nobody."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Is told what happened, to count it. Cheap, and may be called from any thread."""

    def took(self, stage: str, *, seconds: float) -> None:
        """Note how long one piece of work took: `fetch`, `extract`, `fingerprint` or `settle`."""
        ...

    def fetch_failed(self, reason: str) -> None:
        """Note a fetch that gave no page, by its short stable reason."""
        ...

    def fell_back(self, to: str) -> None:
        """Note what stood in for a part of our reading of a page: `library`, `json-ld`, `fault` (a step failed)."""
        ...

    def polled(self, source: str, *, result: str) -> None:
        """Note the end of a poll: `ok`, `not-modified` or `failed`."""
        ...

    def leases_expired(self, count: int) -> None:
        """Note candidates that were claimed after somebody else's lease on them had run out."""
        ...

    def lease_lost(self) -> None:
        """Note work of ours that came to nothing because its lease had run out."""
        ...


class Unmetered:
    """Counts nothing."""

    def took(self, stage: str, *, seconds: float) -> None:
        """Count nothing."""

    def fetch_failed(self, reason: str) -> None:
        """Count nothing."""

    def fell_back(self, to: str) -> None:
        """Count nothing."""

    def polled(self, source: str, *, result: str) -> None:
        """Count nothing."""

    def leases_expired(self, count: int) -> None:
        """Count nothing."""

    def lease_lost(self) -> None:
        """Count nothing."""
