"""Runs the program on a machine where something is odd, as files in the working folder say.

`clock`: by how many seconds the wall clock is off. `hang`: while it is there, claiming never returns. `block`: while it
is there, the event loop stands still. Who has come to one of these says so in `hang.reached` and `block.reached`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import apscheduler.schedulers.base
import apscheduler.triggers.interval

import worker.clock
from worker.cli.main import main
from worker.runs.daemon.polling import SourcePoller
from worker.storage.ledger import StoredLedger


def offset() -> timedelta:
    try:
        return timedelta(seconds=float(Path("clock").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return timedelta(0)


class OddTime(datetime):
    """A wall clock that is off."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + offset()


def while_there(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def waiting(*args: Any, **kwargs: Any) -> Any:
        while Path(name).exists():
            Path(f"{name}.reached").touch()
            time.sleep(0.02)
        return call(*args, **kwargs)

    return waiting


if __name__ == "__main__":
    for module in (worker.clock, apscheduler.schedulers.base, apscheduler.triggers.interval):
        setattr(module, "datetime", OddTime)  # noqa: B010
    for owner, method, name in ((StoredLedger, "claim", "hang"), (SourcePoller, "_due", "block")):
        setattr(owner, method, while_there(name, getattr(owner, method)))
    main()
