"""Factories for pages, sources and RSS feeds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from worker.models import Page, Source, SourceOptions

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def page(body: bytes | str, *, url: str = "https://bao.vn/rss/tin.rss", content_type: str | None = None) -> Page:
    raw = body.encode() if isinstance(body, str) else body
    return Page(url=url, final_url=url, status=200, body=raw, fetched_at=NOW, content_type=content_type)


def source(*, kind: str = "feed", timezone: str | None = None, **options: Any) -> Source:
    return Source(
        name="bao", kind=kind, url="https://bao.vn/rss/tin.rss", timezone=timezone, options=SourceOptions(**options)
    )


def rss(*items: str, channel: str = "<title>Báo</title><link>https://bao.vn/</link>") -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel>{channel}{inside}</channel></rss>'
