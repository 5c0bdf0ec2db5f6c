"""Pages as data: parameters read by their types, records written as JSON, and the JSON Schema of both.

A record is a frozen dataclass. Its JSON has every field: an enumeration as its value, a time in ISO 8601, a duration in
seconds, a tuple as an array. A cursor is the place in a list after which its next part begins. An `AtomFeed` is
written as XML.
"""

from __future__ import annotations

import base64
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from xml.etree.ElementTree import Element, SubElement, tostring

from worker.errors import UsageError
from worker.logs import escape as visible
from worker.models.base import dataclass

JsonObject = dict[str, Any]

# Parameters.

_MAX_NUMBER: Final = (1 << 63) - 1  # ids have 64 bits in both databases
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_TRUTHS: Final = {"1": True, "true": True, "on": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Within:
    """The bounds of a number, in the type of a parameter: `Annotated[int, Within(1, 100)]`."""

    least: int = -_MAX_NUMBER
    most: int = _MAX_NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A keyword of a function that is given by a request: in its path, its query or its form."""

    name: str
    kind: Any
    is_required: bool
    default: Any = None
    description: str = ""
    bounds: Within = Within()

    @property
    def is_list(self) -> bool:
        """Whether the parameter may be repeated."""
        return get_origin(self.kind) is tuple

    def value(self, given: Sequence[str]) -> object:
        """Return the value of the texts that were given; raises UsageError if they have none.

        An empty text is one that was not given, as browsers send every field of a form.
        """
        if self.is_list:
            return tuple(self._read(get_args(self.kind)[0], text) for text in given if text)
        if given and given[-1]:
            return self._read(self.kind, given[-1])
        if self.is_required:
            raise UsageError(f"{self.name}: is missing")
        return self.default

    def _read(self, kind: Any, text: str) -> object:
        try:
            value = _read_text(kind, text)
        except (ValueError, KeyError):
            raise UsageError(f'{self.name}: must be {_wanted(kind)} (found "{text[:100]}")') from None
        if isinstance(value, int) and not self.bounds.least <= value <= self.bounds.most:
            raise UsageError(f"{self.name}: must be from {self.bounds.least} to {self.bounds.most} (found {value})")
        return value


def parameters_of(function: Callable[..., object]) -> tuple[Parameter, ...]:
    """Return the keywords of a function with their types; a text in an `Annotated` type describes its parameter."""
    hints = get_type_hints(function, include_extras=True)
    return tuple(_parameter(each, hints[name]) for name, each in inspect.signature(function).parameters.items())


def _parameter(found: inspect.Parameter, hint: Any) -> Parameter:
    notes: tuple[object, ...] = getattr(hint, "__metadata__", ())
    kind = get_args(hint)[0] if notes else hint
    return Parameter(
        name=found.name,
        kind=kind,
        is_required=found.default is found.empty and get_origin(kind) is not tuple,
        default=None if found.default is found.empty else found.default,
        description=next((note for note in notes if isinstance(note, str)), ""),
        bounds=next((note for note in notes if isinstance(note, Within)), Within()),
    )


def _read_text(kind: Any, text: str) -> object:
    """Return the value of a text; raises ValueError or KeyError if it has none of this type."""
    if _is_union(kind):
        return _read_text(next(each for each in get_args(kind) if each is not NoneType), text)
    if get_origin(kind) is Literal:
        return {str(each): each for each in get_args(kind)}[text]
    if kind is bool:
        return _TRUTHS[text.lower()]
    if kind is int and not _NUMBER.fullmatch(text):
        raise ValueError(text)
    if kind in (date, datetime):
        return kind.fromisoformat(text)
    return kind(text)


def _wanted(kind: Any) -> str:
    """Return in words what a text has to be."""
    if _is_union(kind):
        return _wanted(next(each for each in get_args(kind) if each is not NoneType))
    if get_origin(kind) is Literal:
        return " or ".join(str(each) for each in get_args(kind))
    if issubclass(kind, Enum):
        return " or ".join(str(each.value) for each in kind)
    return {int: "a whole number", bool: "true or false", date: "a date such as 2026-11-30"}.get(kind, "well formed")


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


# Cursors.

CursorValue = int | float | str | None


def make_cursor(*values: CursorValue) -> str:
    """Return the cursor of a place in a list: the values by which the list is sorted, of the last row that is shown."""
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def cursor_values(cursor: str, *kinds: type | UnionType) -> tuple[Any, ...] | None:
    """Return the values of a cursor, None for an empty one; raises UsageError for one that this list has not made."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(kinds):
        raise UsageError("cursor: is none of this list; begin again without it")
    for value, kind in zip(values, kinds, strict=True):
        is_wrong_number = isinstance(value, int | float) and not -_MAX_NUMBER <= value <= _MAX_NUMBER
        if not isinstance(value, kind) or isinstance(value, bool) or is_wrong_number:
            raise UsageError("cursor: is none of this list; begin again without it")
    return tuple(values)


# Records as JSON.


def to_json(value: object) -> Any:
    """Return what `json.dumps` writes for a value of a record; raises TypeError for one that has no JSON."""
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, re.Pattern):
        return value.pattern
    return _nested_json(value)


def _nested_json(value: object) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): to_json(each) for key, each in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(to_json(each) for each in value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [to_json(each) for each in value]
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON")


def _key(key: object) -> str:
    plain = to_json(key)
    if not isinstance(plain, str | int | float):
        raise TypeError(f"{type(key).__name__} is no key in JSON")
    return str(plain)


# JSON Schema (2020-12, as OpenAPI 3.1 uses it).

_PLAIN: Final[Mapping[object, JsonObject]] = {
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    timedelta: {"type": "number", "description": "seconds"},
    re.Pattern: {"type": "string", "format": "regex"},
    object: {},
}


class Schemas:
    """The JSON Schemas of types; those of dataclasses and enumerations are collected in `components` by name."""

    def __init__(self) -> None:
        self.components: dict[str, JsonObject] = {}

    def of(self, kind: Any) -> JsonObject:
        """Return the schema of a type; raises TypeError for one that `to_json` cannot write."""
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(args[0])
        if _is_union(kind):
            return {"anyOf": [self.of(each) for each in args]}
        if origin is Literal:
            return {"enum": list(args)}
        plain = origin or kind
        if plain in _PLAIN:
            return dict(_PLAIN[plain])
        if not args:
            return self._named(plain)
        if issubclass(plain, Mapping):
            return {"type": "object", "additionalProperties": self.of(args[1])}
        if not issubclass(plain, Sequence | AbstractSet):
            raise TypeError(f"{plain.__name__} has no JSON")
        if issubclass(plain, tuple) and args[-1] is not Ellipsis:
            items = [self.of(each) for each in args]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        return {"type": "array", "items": self.of(args[0])}

    def _named(self, kind: type) -> JsonObject:
        """Return a reference to the schema of a dataclass or an enumeration."""
        name = kind.__name__
        if name not in self.components:
            self.components[name] = {}  # a type may contain itself
            self.components[name] = self._described(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _described(self, kind: type) -> JsonObject:
        description = {"description": inspect.cleandoc(kind.__doc__ or "")}
        if issubclass(kind, Enum):
            return {"enum": [each.value for each in kind], **description}
        if not is_dataclass(kind):
            raise TypeError(f"{kind.__name__} has no JSON")
        hints = get_type_hints(kind, include_extras=True)
        properties = {field.name: self.of(hints[field.name]) for field in fields(kind)}
        return {"type": "object", **description, "properties": properties, "required": list(properties)}


# Feeds (Atom, RFC 4287).

ATOM: Final = "application/atom+xml"
_NAMESPACE: Final = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """An entry of a feed: `path` is its page here, `via` the page it was taken from. All texts may be from outside."""

    id: str
    title: str
    path: str
    updated: datetime
    published: datetime | None = None
    via: str = ""
    author: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomFeed:
    """A feed, the newest entry first; ids are `tag:` URIs (RFC 4151) that stay the same wherever it is served."""

    id: str
    title: str
    entries: tuple[FeedEntry, ...]


def to_atom(feed: AtomFeed, *, base: str, path: str) -> bytes:
    """Return a feed as Atom; `base` is the address of this server, `path` that of the feed."""
    root = Element("feed", xmlns=_NAMESPACE)
    newest = max((entry.updated for entry in feed.entries), default=datetime.fromtimestamp(0, UTC))
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    _add(root, "updated", newest.isoformat())
    _add(SubElement(root, "author"), "name", "Corpus Worker")
    SubElement(root, "link", rel="self", type=ATOM, href=base + path)
    SubElement(root, "link", rel="alternate", type="text/html", href=f"{base}/")
    for entry in feed.entries:
        _add_entry(SubElement(root, "entry"), entry, base)
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _add_entry(element: Element, entry: FeedEntry, base: str) -> None:
    _add(element, "id", entry.id)
    _add(element, "title", entry.title)
    _add(element, "updated", entry.updated.isoformat())
    if entry.published:
        _add(element, "published", entry.published.isoformat())
    SubElement(element, "link", rel="alternate", type="text/html", href=base + entry.path)
    if entry.via:
        SubElement(element, "link", rel="via", href=visible(entry.via))
    if entry.author:
        _add(SubElement(element, "author"), "name", entry.author)
    if entry.summary:
        _add(element, "summary", entry.summary)


def _add(parent: Element, name: str, text: str) -> None:
    """Add an element with a text: markup in it is escaped, control characters are made visible."""
    SubElement(parent, name).text = visible(" ".join(text.split()))
