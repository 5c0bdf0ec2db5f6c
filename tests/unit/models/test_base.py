"""The decorator of the project's own dataclasses: that of the standard library, except when the methods are made."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from typing import Any, Generic, TypeVar

import pytest

from worker.models import base

T = TypeVar("T")
Decorator = Callable[[type], type]


def plain(decorate: Decorator) -> type:
    class Body:
        """A docstring."""

        a: int
        b: str = "b"
        c: dict[str, int] = field(default_factory=dict, compare=False)
        d: str = field(default="d", repr=False)

        @property
        def both(self) -> str:
            return f"{self.a}{self.b}"

    return decorate(Body)


def computed(decorate: Decorator) -> type:
    class Body:
        """A field that is computed from another."""

        a: int
        twice: int = field(init=False, hash=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "twice", 2 * self.a)

    return decorate(Body)


def with_its_own(decorate: Decorator) -> type:
    class Body:  # noqa: PLW1641 - a hash is made for it
        """Some methods of its own."""

        a: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

    return decorate(Body)


def undescribed(decorate: Decorator) -> type:
    class Body:
        a: int

    return decorate(Body)


def generic(decorate: Decorator) -> type:
    class Body(Generic[T]):
        """Any kind of value."""

        a: T

    return decorate(Body)


DO: tuple[Callable[[Any], object], ...] = (
    lambda kind: repr(kind(a=1)).split(".")[-1],
    lambda kind: kind(1),
    lambda kind: kind(),
    lambda kind: kind(a=1, z=2),
    lambda kind: (kind(a=1) == kind(a=1), kind(a=1) == kind(a=2), kind(a=1) == 1, kind(a=1) != kind(a=1)),
    lambda kind: len({kind(a=1), kind(a=1), kind(a=2)}),
    lambda kind: setattr(kind(a=1), "a", 2),
    lambda kind: setattr(kind(a=1), "unknown", 2),
    lambda kind: delattr(kind(a=1), "a"),
    lambda kind: dataclasses.replace(kind(a=1), a=3).a,
    lambda kind: dataclasses.asdict(kind(a=1)),
    lambda kind: copy.copy(kind(a=1)).a,
    lambda kind: kind.__new__(kind).__setstate__([4, "x", {}, "y"]),
    lambda kind: [(each.name, each.init, each.kw_only) for each in dataclasses.fields(kind)],
    lambda kind: (kind.__match_args__, kind.__doc__ and kind.__doc__[:12], hasattr(kind(a=1), "__dict__")),
    lambda kind: kind(a=1) < kind(a=2),
)


def outcome(action: Callable[[Any], object], kind: type) -> tuple[object, str]:
    try:
        done = action(kind)
    except (TypeError, AttributeError) as error:
        return type(error), str(error)
    return type(done).__name__, "" if dataclasses.is_dataclass(done) else str(done)


@pytest.mark.parametrize("body", [plain, computed, with_its_own, undescribed, generic], ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "options",
    [
        {"frozen": True, "slots": True, "kw_only": True},
        {"frozen": True, "slots": True},
        {"frozen": True},
        {"slots": True},
        {"frozen": True, "slots": True, "order": True},
        {"frozen": True, "eq": False},
    ],
    ids=str,
)
def test_a_class_behaves_as_the_standard_library_makes_it(
    body: Callable[[Decorator], type], options: dict[str, Any]
) -> None:
    for action in DO:  # each as the first use of a class
        ours, theirs = body(base.dataclass(**options)), body(dataclasses.dataclass(**options))

        assert outcome(action, ours) == outcome(action, theirs)


def test_methods_are_made_when_they_are_first_needed() -> None:
    kind = plain(base.dataclass(frozen=True, slots=True, kw_only=True))
    made_at_once = vars(kind)["__init__"], vars(kind)["__eq__"]

    assert kind(a=1).both == "1b"
    assert vars(kind)["__init__"] is not made_at_once[0]
    assert vars(kind)["__eq__"] is made_at_once[1]


def test_a_value_that_another_process_sends_first_is_read() -> None:
    sent = pickle.dumps(base.Page(url="u", final_url="u", status=304, body=b"", fetched_at=None))  # type: ignore[arg-type]

    assert pickle.loads(sent).not_modified
