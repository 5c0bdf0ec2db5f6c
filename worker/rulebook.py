"""The settings as each stage takes them: plain rules, so that no stage knows the configuration."""

from __future__ import annotations

from dataclasses import fields

from worker.dedupe import Deduper, Rules
from worker.dedupe.model import shipped
from worker.dedupe.teaching import from_text
from worker.extract import ExtractRules
from worker.fetch import FetchRules
from worker.settings import Settings

_ASK = "ask_reservations"


def fetch_rules(settings: Settings) -> FetchRules:
    """Return the fetch stage's part of the settings."""
    own = {each.name: getattr(settings.fetch, each.name) for each in fields(FetchRules) if each.name != _ASK}
    return FetchRules(**own, ask_reservations=True)


def extract_rules(settings: Settings) -> ExtractRules:
    """Return the extract stage's part of the settings."""
    rules = settings.extract
    return ExtractRules(
        processes=rules.processes,
        timeout=rules.timeout,
        min_words=rules.min_words,
        languages=rules.languages,
        refuse=settings.rights.refuse,
    )


def dedupe_rules(settings: Settings) -> Rules:
    """Return the dedupe stage's part of the settings."""
    rules = settings.dedupe
    return Rules(merge_at=rules.probability, keep=rules.keep)


def deduper(settings: Settings, weights: str | None = None) -> Deduper:
    """Return the dedupe stage under the settings, with the weights that a store was taught."""
    return Deduper(dedupe_rules(settings), from_text(shipped(), weights))
