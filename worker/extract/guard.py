"""Keeps a fault of ours to the step it happened in: the page is read without that step, and the fault is noted."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worker.errors import WorkerError

T = TypeVar("T")

_LONGEST = 300


class Guard:
    """Runs the steps of one reading, and collects the faults in them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def run(self, step: str, work: Callable[[], T], *, otherwise: T) -> T:
        """Return what a step gives, or something else where it fails.

        A gate that rejects the page is no fault, and a lack of memory is for the process to deal with.
        """
        try:
            return work()
        except (WorkerError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library makes of an odd page
            self.faults.append(f"{step} failed: {described(error)}")
            return otherwise


def described(error: Exception) -> str:
    """Return what happened and where, for a developer."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in place)
    return f"{type(error).__name__}: {error}"[:_LONGEST] + where
