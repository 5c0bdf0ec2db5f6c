"""What was decided at each step of one fetch, for `--dry-run` and `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import FetchError
from worker.models import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decision: what about (`robots`, `turn`, `address`, `status`…), what was decided, and for which URL."""

    what: str
    detail: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A fetch with everything that was decided on the way; either `page` or `error` is set."""

    steps: tuple[Step, ...]
    page: Page | None = None
    error: FetchError | None = None


Observer = Callable[[Step], None]
"""Called with every step as it is decided."""


def unobserved(_step: Step) -> None:
    """Watch nothing."""
