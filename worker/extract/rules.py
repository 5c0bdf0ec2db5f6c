"""What the configuration says about extraction, as plain values: the worker processes never load the configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractRules:
    """How pages are read and which articles are kept.

    `processes` 0 means one for each core; `memory` is in bytes and bounds what one page may add to its process;
    a process is renewed after `renew_after` pages. Empty `languages` keeps every language. `refuse` names rights
    signals that keep an article out (`noindex`, `noai`, `tdm-reservation`…).
    """

    processes: int = 0
    timeout: timedelta = timedelta(seconds=20)
    memory: int = 1 << 30
    renew_after: int = 2000
    min_words: int = 60
    languages: tuple[str, ...] = ("vi",)
    timezone: str = "Asia/Ho_Chi_Minh"
    refuse: tuple[str, ...] = ()

    def process_count(self) -> int:
        """Return how many worker processes to run."""
        return self.processes or len(os.sched_getaffinity(0))


def extract_rules(settings: Settings) -> ExtractRules:
    """Return the rules for extraction under the settings."""
    own = settings.extract
    return ExtractRules(
        processes=own.processes,
        timeout=own.timeout,
        min_words=own.min_words,
        languages=own.languages,
        refuse=settings.rights.refuse,
    )
