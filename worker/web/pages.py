"""The three pages: `/` for people, `/healthz` for supervisors, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from worker.errors import StoreError
from worker.models import Figures, Health
from worker.ports import Clock
from worker.web.metrics import Metrics
from worker.web.names import KnownNames
from worker.web.status import POLICY, status_page

log = structlog.get_logger()

FIGURES_LAST: Final = timedelta(seconds=10)
"""How old figures of the store may be: however many clients ask, the store is asked this often at most."""
SHARE: Final = 50
"""How many times as long as its answer took the store is left alone: a large one has other things to do as well."""
STORE_PATIENCE: Final = timedelta(seconds=5)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the pages are made of.

    `health` is asked for at every probe and must not wait for anything; `figures` may ask the store and raise
    StoreError, and gives None where no store is open yet.
    """

    health: Callable[[], Health]
    figures: Callable[[], Awaitable[Figures | None]]
    metrics: Metrics
    clock: Clock


def pages(watched: Watched, *, names: Collection[str] = ()) -> Starlette:
    """Return the application; `names` are host names it may be asked for under, besides addresses and localhost."""
    answers = _Answers(watched)
    return Starlette(
        routes=[
            Route("/", answers.status, methods=["GET"]),
            Route("/healthz", answers.healthz, methods=["GET"]),
            Route("/metrics", answers.metrics, methods=["GET"]),
        ],
        middleware=[Middleware(KnownNames, names=names)],
    )


class _Answers:
    """Answers requests, with figures that are asked for now and then."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._asking = asyncio.Lock()
        self._figures: Figures | None = None
        self._ask_again_at = float("-inf")

    async def status(self, request: Request) -> Response:  # noqa: ARG002 - the page is the same for all
        """Return the page for people."""
        page = status_page(self._watched.health(), await self._recent(), now=self._watched.clock.now())
        return HTMLResponse(page, headers=_HEADERS)

    async def healthz(self, request: Request) -> Response:  # noqa: ARG002
        """Return 200 where work gets on, 503 with the reason where it does not; the store is not asked."""
        health = self._watched.health()
        return JSONResponse(asdict(health), status_code=200 if health.ok else 503, headers=_HEADERS)

    async def metrics(self, request: Request) -> Response:
        """Return the counters of this process and the figures of the store."""
        body, content_type = await asyncio.to_thread(
            self._watched.metrics.told,
            accept=request.headers.get("accept", ""),
            health=self._watched.health(),
            figures=await self._recent(),
        )
        return Response(body, headers={**_HEADERS, "Content-Type": content_type})

    async def _recent(self) -> Figures | None:
        """Return figures that are not old; None where there is no store, or it does not answer in time."""
        async with self._asking:
            started = self._watched.clock.monotonic()
            if started >= self._ask_again_at:
                self._figures = await self._ask()
                now = self._watched.clock.monotonic()
                self._ask_again_at = now + max(FIGURES_LAST.total_seconds(), SHARE * (now - started))
            return self._figures

    async def _ask(self) -> Figures | None:
        try:
            async with asyncio.timeout(STORE_PATIENCE.total_seconds()):
                return await self._watched.figures()
        except (StoreError, TimeoutError) as exc:
            log.warning("web.store_silent", error=str(exc) or "no answer in time")
            return None
