"""Prometheus metrics: counters and histograms of this process, and gauges read from the store at each scrape.

The registry is private, so that nothing of the process (or of other tests) is exported by accident. Metric names are
part of the outside interface; `docs/operating.md` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from worker.models import Claim, Health, Outcome, Source, SourceStats, State, StoreStats
from worker.models.base import dataclass
from worker.models.records import LOST_REASONS

# Buckets of `stage_seconds`: from a fingerprint (about a millisecond) to the deadline of a fetch (a minute).
_SECONDS: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_OPEN_METRICS: Final = "application/openmetrics-text"
_STAGES: Final = ("fetch", "extract", "fingerprint", "settle")


class Metrics:
    """The metrics of one process; implements `MetricsSink` and `Observer` of `worker.ports`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._outcomes = self._counter("outcomes", "Ends of the work on a candidate.", "state", "reason")
        self._discovered = self._counter("discovered", "Candidates found for the first time.", "source")
        self._polls = self._counter("polls", "Polls of sources by how they went.", "result")
        self._fetch_errors = self._counter("fetch_errors", "Fetches that gave no page, by kind.", "kind")
        self._expiries = self._counter("lease_expiries", "Candidates claimed again after a lease had expired.")
        self._fallbacks = self._counter(
            "extract_fallbacks", "Pages for which a fallback replaced a part of extraction.", "to"
        )
        self._lost = self._counter("leases_lost", "Work that was lost because its lease had expired.")
        self._notifications = self._counter("notifications", "Messages to a person by how they went.", "result")
        self._processes = self._counter("extract_processes_lost", "Extraction processes ended by a page.", "reason")
        stages = Histogram(
            "stage_seconds",
            "Duration of one stage for one page; fetch includes the wait for the host's rate limit.",
            ("stage",),
            namespace="corpus_worker",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._stages = {stage: stages.labels(stage) for stage in _STAGES}

    def took(self, stage: str, *, seconds: float) -> None:
        """Record the duration of one stage."""
        self._stages[stage].observe(seconds)

    def fetch_failed(self, reason: str) -> None:
        """Count a fetch that failed with `reason`."""
        self._fetch_errors.labels(reason).inc()

    def fell_back(self, to: str) -> None:
        """Count a page for which the fallback `to` replaced a part of extraction."""
        self._fallbacks.labels(to).inc()

    def polled(self, source: str, *, result: str) -> None:  # noqa: ARG002 - sources have gauges
        """Count a poll by its result."""
        self._polls.labels(result).inc()

    def leases_expired(self, count: int) -> None:
        """Count candidates that were claimed again after a lease had expired."""
        self._expiries.inc(count)

    def lease_lost(self) -> None:
        """Count work that was lost because its lease had expired."""
        self._lost.inc()

    def notified(self, result: str) -> None:
        """Count a message to a person by its result."""
        self._notifications.labels(result).inc()

    def discovered(self, source: Source, *, new: int) -> None:
        """Count candidates that were added."""
        self._discovered.labels(source.name).inc(new)

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002 - URLs are no labels: too many values
        """Count the outcome of one candidate, and the extraction process if the page ended one."""
        self._outcomes.labels(outcome.state.value, outcome.reason).inc()
        if outcome.state is State.REJECTED and outcome.reason in LOST_REASONS:
            self._processes.labels(outcome.reason).inc()

    def render(self, *, accept: str, health: Health, figures: StoreStats | None) -> tuple[bytes, str]:
        """Return the exposition of all metrics and its content type.

        The format is OpenMetrics if `accept` names it, otherwise Prometheus text; no value of `accept` is an error.
        """
        encode, content_type = choose_encoder(_OPEN_METRICS if _OPEN_METRICS in accept.lower() else "")
        return encode(_Collector(registry=self._registry, health=health, figures=figures)), content_type

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, namespace="corpus_worker", registry=self._registry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collector:
    """A collector of the registry's metrics and of gauges from the health and the store's statistics."""

    registry: CollectorRegistry
    health: Health
    figures: StoreStats | None

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families (prometheus_client's collector protocol)."""
        for metric in self.registry.collect():
            # The time at which a counter was created is of no use here, and would double the number of lines.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield _gauge("healthy", "1 if the daemon makes progress.", int(self.health.ok))
        if "standing_still_s" in self.health.figures:
            text = "Seconds without progress while work was waiting."
            yield _gauge("standing_still_seconds", text, self.health.figures["standing_still_s"])
        yield _gauge("store_answers", "1 if the store answered in time.", int(self.figures is not None))
        if self.figures is not None:
            yield from _store_gauges(self.figures)
            yield from _source_gauges(self.figures)


def _store_gauges(figures: StoreStats) -> Iterator[Metric]:
    """Yield the gauges of the queue, the corpus and the store's size."""
    yield _gauge("queue_pending", "Candidates without an outcome.", figures.pending)
    yield _gauge("queue_due", "Pending candidates that could be claimed now.", figures.due)
    yield _gauge("in_hand", "Candidates that this process is working on.", figures.in_hand)
    yield _gauge("texts", "Texts that `export` would write.", figures.texts)
    if figures.size is not None:
        yield _gauge("store_bytes", "Size of the store.", figures.size)
    states = GaugeMetricFamily("corpus_worker_candidates", "Candidates by state.", labels=("state",))
    for state, count in sorted(figures.counts.items()):
        states.add_metric((state.value,), count)
    yield states


def _source_gauges(figures: StoreStats) -> Iterator[Metric]:
    """Yield one gauge family for each figure of the sources, labelled by source."""
    help_texts = {
        "source_freshness_seconds": "Seconds since the last successful poll.",
        "source_newest_article_age_seconds": "Seconds since the newest text was fetched.",
        "source_failures": "Consecutive failed polls.",
        "source_interval_seconds": "Seconds between two polls.",
        "source_gaps": "Polls that had no entry in common with the previous one.",
        "source_alarms": "Active warnings about drift.",
        "source_paused": "1 for a source that is paused in the configuration; it has no other metrics.",
    }
    families = {
        name: GaugeMetricFamily(f"corpus_worker_{name}", text, labels=("source",)) for name, text in help_texts.items()
    }
    for source in figures.sources:
        for name, value in _source_values(source, figures).items():
            if value is not None:
                families[name].add_metric((source.name,), value)
    yield from families.values()


def _source_values(source: SourceStats, figures: StoreStats) -> dict[str, float | None]:
    """Return the gauges of one source; None where the value is not known yet."""
    state = source.state
    if source.paused:
        return {"source_paused": 1}
    return {
        "source_freshness_seconds": (figures.at - state.succeeded_at).total_seconds() if state.succeeded_at else None,
        "source_newest_article_age_seconds": (
            (figures.at - source.newest_at).total_seconds() if source.newest_at else None
        ),
        "source_failures": state.failures,
        "source_interval_seconds": state.interval.total_seconds() if state.interval else None,
        "source_gaps": state.learned.gaps,
        "source_alarms": len(state.learned.alarms),
        "source_paused": 0,
    }


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"corpus_worker_{name}", help_text, value=value)
