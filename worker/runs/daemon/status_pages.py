"""The web pages of the daemon: what `corpus-worker web` serves, and the health and metrics of the running process.

They are served from before the store is opened until the daemon ends. The web modules are imported only if the
configuration enables the pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.app import App
from worker.config.schema import WebSettings
from worker.config.types import is_loopback
from worker.errors import ListenError
from worker.logs import log
from worker.models import Alarm, Claim, Health, Outcome, Source, StoreStats
from worker.models.base import dataclass
from worker.pipeline.stages import Observer
from worker.ports import Clock, MetricsSink
from worker.runs.daemon.polling import ProgressCounter
from worker.runs.daemon.session import Session
from worker.runs.reading import REFUSED, Browser

if TYPE_CHECKING:
    from worker.web.metrics import Metrics


class StatusPages:
    """The status pages of one daemon.

    A session is attached while its store is open; in between, `health` reports that the daemon starts or ends.
    """

    def __init__(
        self, settings: WebSettings, *, clock: Clock, done: ProgressCounter, config: Path | None = None
    ) -> None:
        self._settings = settings
        self._config = config
        self._clock = clock
        self._done = done
        self._trouble, self._count_at_detach = "", -1
        self._metrics = _metrics() if settings.listen else None
        self._attached: tuple[App, Session] | None = None
        self._browser: Browser | None = None
        self._refused: tuple[Alarm, ...] = ()

    @property
    def meter(self) -> MetricsSink | None:
        """The metrics that the stages report to; None if the pages are disabled."""
        return self._metrics

    @property
    def app(self) -> App | None:
        """The application whose store is open; None while the daemon starts, ends or waits for its store."""
        return self._attached[0] if self._attached else None

    def counting_observer(self, observer: Observer) -> Observer:
        """Return an observer that notifies `observer` and updates the metrics."""
        return CompositeObserver((observer, self._metrics)) if self._metrics else observer

    def attach(self, app: App, session: Session) -> None:
        """Report the state of this session from now on, and show its store."""
        self._attached = app, session
        if self._metrics:
            self._browser = Browser(app.store.reader, clock=self._clock, sources=app.sources, config=self._config)

    def detach(self) -> None:
        """Report that no session is running; remember the trouble of the one that ends."""
        if self._attached is not None:
            self._trouble, self._count_at_detach = self._attached[1].trouble, self._done.count
        self._attached = None
        if self._browser:
            self._browser.close()
        self._browser = None

    def alarms(self) -> tuple[Alarm, ...]:
        """Return an alarm while a configuration is refused."""
        return self._refused

    def set_refused(self, why: str) -> None:
        """Show that the configuration is refused, and the old one stays; an empty `why` ends that."""
        since = self._refused[0].since if self._refused else self._clock.now()
        self._refused = (
            (Alarm(what=REFUSED, since=since, detail=f"{why} (the one before stays in use)"),) if why else ()
        )

    def health(self) -> Health:
        """Return whether the daemon makes progress, without querying the store: this must answer while it hangs."""
        if self._attached is None:
            return Health(ok=False, reason="the store is not open: the daemon is starting or stopping")
        app, session = self._attached
        reason = session.trouble or self._earlier_trouble()
        figures = {
            "in_hand": app.ingester.in_flight,
            "done": sum(app.tally.outcomes.values()),
            "standing_still_s": session.progress.stalled_for.total_seconds(),
            "configurations_refused": len(self._refused),
        }
        return Health(ok=not reason, reason=reason, figures=figures)

    def _earlier_trouble(self) -> str:
        """Return the trouble of the session before, until the current one has made progress."""
        if not self._trouble or self._done.count != self._count_at_detach:
            return ""
        return f"restarted, and no progress since; before: {self._trouble}"

    async def figures(self) -> StoreStats | None:
        """Return the statistics of the store and the configured sources; None if it is not open; raises StoreError."""
        if self._attached is None or self._browser is None:
            return None
        in_hand = self._attached[0].ingester.in_flight
        return replace(await self._browser.figures(), in_hand=in_hand)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve the pages during the block, if they are enabled; where the address is taken, only warn."""
        async with AsyncExitStack() as serving:
            if self._metrics is not None:
                await self._begin_to_serve(self._metrics, serving)
            yield

    async def _begin_to_serve(self, metrics: Metrics, serving: AsyncExitStack) -> None:
        from worker.runs.pages import CorpusPages
        from worker.web.access import served_to_others
        from worker.web.app import StatusSource
        from worker.web.server import serve_pages

        watched = StatusSource(
            health=self.health,
            figures=self.figures,
            metrics=metrics,
            clock=self._clock,
            alarms=self.alarms,
        )
        address, is_public = self._settings.listen, not is_loopback(self._settings.listen)
        served = CorpusPages(watched, corpus=lambda: self._browser)
        app = served.app(self._settings, is_public=is_public)
        try:
            port = await serving.enter_async_context(serve_pages(app, listen=address))
        except ListenError as exc:
            log.warning("web.not_served", error=str(exc), note="the daemon works on without its pages")
        else:
            note = served_to_others(self._settings) if is_public else None
            log.info("web.listening", address=address, port=port, note=note)
            serving.callback(asyncio.create_task(served.stay_prepared(), name="web.prepared").cancel)


def _metrics() -> Metrics:
    from worker.web.metrics import Metrics

    return Metrics()


@dataclass(frozen=True, slots=True)
class CompositeObserver:
    """An observer that notifies several others, in order."""

    observers: tuple[Observer, ...]

    def discovered(self, source: Source, *, new: int) -> None:
        """Notify every observer of new candidates."""
        for each in self.observers:
            each.discovered(source, new=new)

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Notify every observer of an outcome."""
        for each in self.observers:
            each.settled(claim, outcome)
