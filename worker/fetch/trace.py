"""What was decided at each step of one fetch, for `--dry-run` and `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.charset import decode
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


def steps_of(page: Page) -> tuple[Step, ...]:
    """Return what can be told of a page after it came: headers that mattered, charset, size, time."""
    headers = "; ".join(f"{name}: {value}" for name, value in page.headers.items())
    steps = [Step(what="headers", detail=headers, url=page.final_url)]
    if page.body:
        decoded = decode(page.body, page.content_type)
        detail = f"{decoded.charset}, chosen by {decoded.chosen_by}"
        steps.append(Step(what="charset", detail=detail, url=page.final_url))
    steps.append(Step(what="size", detail=f"{len(page.body):,} bytes", url=page.final_url))
    steps.append(Step(what="time", detail=f"{page.elapsed.total_seconds():.3f} s on the network", url=page.final_url))
    return tuple(steps)
