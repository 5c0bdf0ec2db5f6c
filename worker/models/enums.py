"""What rows and decisions are called."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What an article row is: one that was there before the worker, or one the worker found."""

    SEED = "seed"
    ARTICLE = "article"


class Authority(StrEnum):
    """Who named an address: the site it belongs to, the operator by hand, or anybody else."""

    PUBLISHER = "publisher"
    OPERATOR = "operator"
    STRANGER = "stranger"

    @property
    def is_own(self) -> bool:
        """Whether what was said along with the address may be believed."""
        return self is not Authority.STRANGER


class State(StrEnum):
    """Where a candidate stands: pending, or its latest outcome."""

    PENDING = "pending"
    STORED = "stored"
    DUPLICATE = "duplicate"
    REVISED = "revised"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    FAILED = "failed"


class Relation(StrEnum):
    """What an article is to the article it was judged against."""

    UNIQUE = "unique"
    COPY = "copy"
    CONTAINED = "contained"
    CONTAINS = "contains"
    REVISION = "revision"
    FOLLOWUP = "followup"
    TEMPLATE = "template"
    OVERLAP = "overlap"
