"""What the other values are made with: the decorator `dataclass`, the enumerations, and a page as it is fetched.

`dataclass` is that of the standard library, but it makes the methods of a frozen class with slots when they are first
needed. Making them was a fifth of the time of a short command, which needs few of the classes that it imports
(docs/design.md, "Start").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

__all__ = ["Authority", "Kind", "Page", "Relation", "Request", "State", "Text", "Validators", "dataclass"]

C = TypeVar("C")

_LATE_METHODS: Final[Mapping[tuple[str, ...], Mapping[str, bool]]] = {
    ("__init__", "__setattr__", "__delattr__"): {"repr": False, "eq": False, "slots": False},
    ("__repr__", "__eq__", "__hash__"): {},
    ("__getstate__", "__setstate__"): {},
}
"""The methods that are made late, and what the options of a class are changed to for making them alone."""
_LATE_OPTIONS: Final = frozenset({"frozen", "slots"})


def _dataclass(**options: bool) -> Callable[[type[C]], type[C]]:
    """Return a decorator that does what `dataclasses.dataclass` does with these options.

    A class that is not frozen or has no slots, one with other options, with one of the methods itself, or without a
    docstring is made at once. No dataclass may derive from one whose methods are made late.
    """

    def decorate(kind: type[C]) -> type[C]:
        defined = vars(kind).keys() & {name for names in _LATE_METHODS for name in names}
        if not _LATE_OPTIONS <= options.keys() <= _LATE_OPTIONS | {"kw_only"} or defined or not kind.__doc__:
            return dataclasses.dataclass(**options)(kind)
        body = {name: value for name, value in vars(kind).items() if name not in {"__dict__", "__weakref__"}}
        body["__qualname__"] = kind.__qualname__
        made = dataclasses.dataclass(**{**options, "frozen": False}, init=False, repr=False, eq=False)(kind)
        for names, changed in _LATE_METHODS.items():
            complete = _completion(made, body, names, {**options, **changed})
            for name in names:
                setattr(made, name, _late(made, name, complete))
        return made

    return decorate


def _completion(
    made: type, body: Mapping[str, Any], names: tuple[str, ...], options: Mapping[str, bool]
) -> Callable[[], None]:
    """Return a function that gives a class these methods; they are taken from a complete class of the same body."""

    def complete() -> None:
        whole: type = dataclasses.dataclass(**options)(type(made)(made.__name__, made.__bases__, dict(body)))
        for name in names:
            setattr(made, name, vars(whole)[name])

    return complete


def _late(made: type, name: str, complete: Callable[[], None]) -> Callable[..., Any]:
    """Return a method that completes its class, which replaces this method, and calls what it was replaced by."""

    def method(self: object, *args: object, **kwargs: object) -> object:
        complete()
        return getattr(made, name)(self, *args, **kwargs)

    return method


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass


# The enumerations of the corpus; their values are stored in the database and exported.


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
    recurring phrases, such as a weather report. `seed-copy` is a seed that is a copy of another seed: both are kept.
    """

    UNIQUE = "unique"
    COPY = "copy"
    CONTAINED = "contained"
    CONTAINS = "contains"
    REVISION = "revision"
    SEED_COPY = "seed-copy"
    FOLLOWUP = "followup"
    TEMPLATE = "template"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """The validators of a response, sent back in a conditional GET (RFC 9110, section 13)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One GET request, for a `source`. `accept` is the expected kind of body: `page`, `feed` or `any`."""

    url: str
    validators: Validators = Validators()
    accept: str = "page"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The response for one URL: the decompressed body, or an empty one for status 304.

    `url` is the requested URL, `final_url` the one after redirects. `headers` holds the response headers that later
    stages use, with names in lower case. `permanent_url` is the target of the permanent redirects at the start of the
    redirect chain, if there were any; `moved_before` is true if it was known before this fetch.
    """

    url: str
    final_url: str
    status: int
    body: bytes
    fetched_at: datetime
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    validators: Validators = Validators()
    permanent_url: str | None = None
    moved_before: bool = False
    elapsed: timedelta = timedelta(0)

    @property
    def not_modified(self) -> bool:
        """Whether the server answered 304 Not Modified."""
        return self.status == 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that needs no extraction, from an input file or a feed; `fields` are those of an article, by name."""

    text: str
    title: str | None = None
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 note`, `2,000 notes`, `3 entries`, `2 copies`, `2 addresses`."""
    if number == 1:
        return f"1 {noun}"
    stem, ending = (noun[:-1], "ies") if noun.endswith(("ry", "py")) else (noun, "es" if noun.endswith("s") else "s")
    return f"{number:,} {stem}{ending}"


def format_utc(when: datetime) -> str:
    """Return a time as all messages, tables and web pages show it: in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
