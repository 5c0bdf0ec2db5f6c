"""Counts and times what happens, and tells it in the words of Prometheus, with a registry of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from worker.models import Claim, Health, Outcome, Source, SourceStats, State, StoreStats

_SECONDS: Final = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_OPEN_METRICS: Final = "application/openmetrics-text"
_STAGES: Final = ("fetch", "extract", "fingerprint", "settle")
_PROCESS_LOST: Final = frozenset({"timeout", "crash", "memory"})


class Metrics:
    """The counters of one process; fits `Meter` and `Observer`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._outcomes = self._counter("outcomes", "Ends of the work on a candidate.", "state", "reason")
        self._discovered = self._counter("discovered", "Candidates found for the first time.", "source")
        self._polls = self._counter("polls", "Polls of sources by how they went.", "result")
        self._fetch_errors = self._counter("fetch_errors", "Fetches that gave no page, by kind.", "kind")
        self._expiries = self._counter("lease_expiries", "Candidates taken over after a lease had run out.")
        self._fallbacks = self._counter("extract_fallbacks", "Pages of which a part was not read our own way.", "to")
        self._lost = self._counter("leases_lost", "Work that came to nothing because its lease had run out.")
        self._processes = self._counter("extract_processes_lost", "Extraction processes a page has ended.", "reason")
        stages = Histogram(
            "stage_seconds",
            "Time of one piece of work; fetch counts the wait for the host's turn.",
            ("stage",),
            namespace="corpus_worker",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._stages = {stage: stages.labels(stage) for stage in _STAGES}

    def took(self, stage: str, *, seconds: float) -> None:
        """Note how long one piece of work took."""
        self._stages[stage].observe(seconds)

    def fetch_failed(self, reason: str) -> None:
        """Note a fetch that gave no page."""
        self._fetch_errors.labels(reason).inc()

    def fell_back(self, to: str) -> None:
        """Note what stood in for a part of our reading of a page."""
        self._fallbacks.labels(to).inc()

    def polled(self, source: str, *, result: str) -> None:  # noqa: ARG002 - the sources have figures of their own
        """Note the end of a poll."""
        self._polls.labels(result).inc()

    def leases_expired(self, count: int) -> None:
        """Note candidates taken over after a lease had run out."""
        self._expiries.inc(count)

    def lease_lost(self) -> None:
        """Note work that came to nothing."""
        self._lost.inc()

    def discovered(self, source: Source, *, new: int) -> None:
        """Note that candidates were added."""
        self._discovered.labels(source.name).inc(new)

    def settled(self, claim: Claim, outcome: Outcome) -> None:  # noqa: ARG002 - an address is no label
        """Note that the work on one candidate ended."""
        self._outcomes.labels(outcome.state.value, outcome.reason).inc()
        if outcome.state is State.REJECTED and outcome.reason in _PROCESS_LOST:
            self._processes.labels(outcome.reason).inc()

    def render(self, *, accept: str, health: Health, figures: StoreStats | None) -> tuple[bytes, str]:
        """Return everything counted and what the store says, and the content type: OpenMetrics where it is asked for.

        Nothing else of `accept` is looked at: whatever a client writes there, it gets an answer.
        """
        encode, content_type = choose_encoder(_OPEN_METRICS if _OPEN_METRICS in accept.lower() else "")
        return encode(_Collector(registry=self._registry, health=health, figures=figures)), content_type

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(name, told, labels, namespace="corpus_worker", registry=self._registry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collector:
    """What is counted here, and gauges made of what the store says at the moment."""

    registry: CollectorRegistry
    health: Health
    figures: StoreStats | None

    def collect(self) -> Iterator[Metric]:
        for metric in self.registry.collect():
            # When a counter was made says nothing here, and would double the number of lines.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield _gauge("healthy", "1 where work gets on.", int(self.health.ok))
        if "standing_still_s" in self.health.figures:
            told = "Seconds for which work has waited and none was done."
            yield _gauge("standing_still_seconds", told, self.health.figures["standing_still_s"])
        yield _gauge("store_answers", "1 where the store answered in time.", int(self.figures is not None))
        if self.figures is not None:
            yield from _store_gauges(self.figures)
            yield from _source_gauges(self.figures)


def _store_gauges(figures: StoreStats) -> Iterator[Metric]:
    yield _gauge("queue_pending", "Candidates without an outcome.", figures.pending)
    yield _gauge("queue_due", "Pending candidates that could be claimed now.", figures.due)
    yield _gauge("in_hand", "Candidates this process is working on.", figures.in_hand)
    yield _gauge("texts", "Texts that export would write.", figures.texts)
    if figures.size is not None:
        yield _gauge("store_bytes", "Size of the store.", figures.size)
    states = GaugeMetricFamily("corpus_worker_candidates", "Candidates by state.", labels=("state",))
    for state, count in sorted(figures.counts.items()):
        states.add_metric((state.value,), count)
    yield states


def _source_gauges(figures: StoreStats) -> Iterator[Metric]:
    told = {
        "source_freshness_seconds": "Seconds since the last poll that worked.",
        "source_newest_article_age_seconds": "Seconds since the newest text was fetched.",
        "source_failures": "Polls that failed in a row.",
        "source_interval_seconds": "Seconds between two polls.",
        "source_gaps": "Polls that shared no entry with the one before.",
        "source_alarms": "Warnings about drift that hold now.",
        "source_paused": "1 where the configuration keeps the source from being polled: it has no other figures then.",
    }
    families = {
        name: GaugeMetricFamily(f"corpus_worker_{name}", sense, labels=("source",)) for name, sense in told.items()
    }
    for source in figures.sources:
        for name, value in _source_values(source, figures).items():
            if value is not None:
                families[name].add_metric((source.name,), value)
    yield from families.values()


def _source_values(source: SourceStats, figures: StoreStats) -> dict[str, float | None]:
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


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"corpus_worker_{name}", told, value=value)
