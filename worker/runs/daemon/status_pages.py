"""What those who watch the daemon see of it, from before its store is open until its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from worker.app import App
from worker.config.schema import WebSettings
from worker.models import Claim, Health, Outcome, Source, StoreStats
from worker.pipeline.stages import Observer
from worker.ports import Clock, MetricsSink
from worker.runs.daemon.session import ProgressCounter, Session

if TYPE_CHECKING:
    from worker.web.metrics import Metrics


log = structlog.get_logger()


class StatusPages:
    """The status pages of one daemon; nothing of them is loaded where the configuration wants none."""

    def __init__(self, settings: WebSettings, *, clock: Clock, done: ProgressCounter) -> None:
        self._settings = settings
        self._clock = clock
        self._done = done
        self._trouble, self._count_at_detach = "", -1
        self._metrics = _metrics() if settings.listen else None
        self._attached: tuple[App, Session] | None = None

    @property
    def meter(self) -> MetricsSink | None:
        """Who counts and times what the stages do."""
        return self._metrics

    def counting_observer(self, observer: Observer) -> Observer:
        """Return an observer that counts as well."""
        return CompositeObserver((observer, self._metrics)) if self._metrics else observer

    def attach(self, app: App, work: Session) -> None:
        """Tell of this span of work from now on."""
        self._attached = app, work

    def detach(self) -> None:
        """Tell that nothing is being done: the store is about to be closed."""
        if self._attached is not None:
            self._trouble, self._count_at_detach = self._attached[1].trouble, self._done.count
        self._attached = None

    def health(self) -> Health:
        """Return whether the daemon gets on; the store is not asked."""
        if self._attached is None:
            return Health(ok=False, reason="the store is not open: the daemon starts or ends")
        app, work = self._attached
        reason = work.trouble or self._earlier_trouble()
        figures = {
            "in_hand": app.ingester.in_hand,
            "done": sum(app.tally.outcomes.values()),
            "standing_still_s": work.progress.stalled_for.total_seconds(),
        }
        return Health(ok=not reason, reason=reason, figures=figures)

    def _earlier_trouble(self) -> str:
        """Return what was wrong before the store was opened anew, until something was done since."""
        if not self._trouble or self._done.count != self._count_at_detach:
            return ""
        return f"started anew, and nothing done since; before: {self._trouble}"

    async def figures(self) -> StoreStats | None:
        """Return what the store says, of the configured sources; None where it is not open; raises StoreError."""
        if self._attached is None:
            return None
        app, _ = self._attached
        told = await app.offload(app.store.reader.figures, now=app.clock.now())
        configured = {source.name for source in app.sources}
        sources = tuple(source for source in told.mark_paused(app.sources).sources if source.name in configured)
        return replace(told, in_hand=app.ingester.in_hand, sources=sources)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve the pages for as long as the block lasts, if they are wanted; raises ListenError."""
        if self._metrics is None:
            yield
            return
        from worker.web.app import StatusSource, build_web_app
        from worker.web.server import serve_pages

        watched = StatusSource(health=self.health, figures=self.figures, metrics=self._metrics, clock=self._clock)
        async with serve_pages(
            build_web_app(watched, names=self._settings.hosts), listen=self._settings.listen
        ) as port:
            log.info("web.listening", address=self._settings.listen, port=port)
            yield


def _metrics() -> Metrics:
    from worker.web.metrics import Metrics

    return Metrics()


@dataclass(frozen=True, slots=True)
class CompositeObserver:
    """Tells several observers what happens."""

    observers: tuple[Observer, ...]

    def discovered(self, source: Source, *, new: int) -> None:
        """Note that candidates were added."""
        for each in self.observers:
            each.discovered(source, new=new)

    def settled(self, claim: Claim, outcome: Outcome) -> None:
        """Note that the work on one candidate ended."""
        for each in self.observers:
            each.settled(claim, outcome)
