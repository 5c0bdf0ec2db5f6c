"""Permanent redirects (RFC 9110, sections 15.4.2 and 15.4.9): the next fetch starts where the last one was sent."""

from __future__ import annotations

from worker.models import Page, Request
from worker.ports import HostBook, Offload


class Moves:
    """Where URLs have moved for good, remembered with the hosts."""

    def __init__(self, *, hosts: HostBook, offload: Offload) -> None:
        self._hosts = hosts
        self._offload = offload

    async def start_of(self, request: Request) -> str:
        """Return the URL to begin with."""
        return await self._offload(self._hosts.moved, request.url) or request.url

    async def arrived(self, page: Page, *, start: str) -> None:
        """Remember where a page that came has moved."""
        if page.permanent_url and page.permanent_url != start:
            await self._offload(self._hosts.keep_moved, page.url, page.permanent_url)

    async def lost(self, request: Request, *, start: str) -> None:
        """Forget a move that led to nothing: the next try begins where the first did."""
        if start != request.url:
            await self._offload(self._hosts.keep_moved, request.url, None)
