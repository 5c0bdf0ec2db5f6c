"""Decides which readings are no article, each with a stable reason and the figure that decided."""

from __future__ import annotations

from worker.errors import ExtractError


def require_words(words: int, *, least: int) -> None:
    """Reject what is too short; raises ExtractError (`short`)."""
    if words < least:
        raise ExtractError(f"too short: {words} words, at least {least} are asked for", reason="short")


def require_language(language: str, *, wanted: tuple[str, ...]) -> None:
    """Reject other languages than the wanted ones, none of which means all; raises ExtractError (`language`)."""
    if wanted and language not in wanted:
        raise ExtractError(f"other language: {language}, wanted is {', '.join(wanted)}", reason="language")
