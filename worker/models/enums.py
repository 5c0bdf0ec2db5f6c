"""The enumerations of the corpus; their values are stored in the database and exported."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Where an article comes from: the seed corpus, or the web."""

    SEED = "seed"
    ARTICLE = "article"


class Authority(StrEnum):
    """Who supplied a URL: the publisher's own site, the operator (command line, input file), or a third party.

    It decides how far the metadata that came with the URL are trusted: an aggregator may claim any date or title.
    """

    PUBLISHER = "publisher"
    OPERATOR = "operator"
    STRANGER = "stranger"

    @property
    def is_own(self) -> bool:
        """Whether the metadata that came with the URL are trusted."""
        return self is not Authority.STRANGER


class State(StrEnum):
    """The state of a candidate: pending, or its latest outcome.

    `unchanged` is a page whose text was stored before; `revised` a new text of a page that was stored before;
    `rejected` a page without an article; `blocked` a page that must not be fetched.
    """

    PENDING = "pending"
    STORED = "stored"
    DUPLICATE = "duplicate"
    REVISED = "revised"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    BLOCKED = "blocked"
    FAILED = "failed"


class Relation(StrEnum):
    """The relation of an article to the stored article it was compared with (docs/dedupe.md).

    `contained` and `contains` mean that one text is part of the other; `template` is an article that shares only
    recurring phrases, such as a weather report.
    """

    UNIQUE = "unique"
    COPY = "copy"
    CONTAINED = "contained"
    CONTAINS = "contains"
    REVISION = "revision"
    FOLLOWUP = "followup"
    TEMPLATE = "template"
    OVERLAP = "overlap"
