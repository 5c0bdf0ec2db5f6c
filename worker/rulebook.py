"""The settings as each stage takes them: plain rules, so that no stage knows the configuration."""

from __future__ import annotations

from dataclasses import fields

from worker.dedupe import Rules
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


def former_keys(settings: Settings) -> tuple[str, ...]:
    """Return what to write in the place of keys that are understood still, but say less than what followed them."""
    rules = settings.dedupe
    if not rules.former:
        return ()
    keys = " and ".join(f"dedupe.{key}" for key in rules.former)
    if "merge_at" in rules.model_fields_set:
        return (f"{keys}: no longer used, dedupe.merge_at is; take it out of the configuration",)
    return (f"{keys}: a fitted model decides now; write `merge_at = {rules.probability:g}` in the place of it",)
