"""Texts that look Vietnamese and are unlike each other, for tests that need many articles and no meaning."""

from __future__ import annotations

import random

from tests.newsroom import Reply, html

SYLLABLES = (
    "an",
    "bình",
    "cao",
    "dũng",
    "giang",
    "hà",
    "khê",
    "lâm",
    "minh",
    "nam",
    "phú",
    "quang",
    "sơn",
    "tâm",
    "xuân",
)


def story(topic: str, sentences: int = 14) -> str:
    """Return a Vietnamese-looking text about something, unlike that of any other topic."""
    chance = random.Random(topic)
    lines = (" ".join(chance.choices(SYLLABLES, k=18)) for _ in range(sentences))
    return "".join(f"<p>{topic.capitalize()} {line}.</p>" for line in lines)


def as_text(topic: str) -> str:
    return story(topic).replace("<p>", "").replace("</p>", "\n")


def page(title: str, body: str) -> Reply:
    return html(f"<html lang=vi><head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>")
