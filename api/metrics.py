"""The metrics of an API process, and those that it reads from the database for those who watch the service.

Names and units are Prometheus's: seconds, bytes, totals. No label names a job, a user or a worker, so the number of
series does not grow with use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from hposvc import __version__
from hposvc.fleet.counts import Counts

log = structlog.get_logger(__name__)

FRESH_SECONDS = 5.0  # several scrapers, and impatient ones, cost the database one look in that time
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("succeeded", "failed", "cancelled", "paused", "released", "lost", "fenced", "unknown")


class ApiMetrics:
    """What one API process counts and reads. ``take`` counts what is in the database."""

    def __init__(self, take: Callable[[], Counts]) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        Info("hposvc_build", "The version that runs.", registry=self._registry).info({"version": __version__})
        self.requests = Counter(
            "hposvc_http_requests",
            "Requests that are done.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.durations = Histogram(
            "hposvc_http_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.in_progress = Gauge(
            "hposvc_http_requests_in_progress", "Requests that are under way.", registry=self._registry
        )
        self.submitted = Counter(
            "hposvc_jobs_submitted", "Jobs that this process has accepted.", registry=self._registry
        )
        self._registry.register(CountsCollector(take))

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)


class CountsCollector(Collector):
    """The numbers of the database. When it does not respond, ``hposvc_database_up`` says so, and the others are left
    out: an old number looks like a good one.
    """

    def __init__(self, take: Callable[[], Counts]) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._counts: Counts | None = None
        self._taken_at = -float("inf")

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All of them, at most FRESH_SECONDS old."""
        counts = self._fresh()
        yield GaugeMetricFamily("hposvc_database_up", "1 when the database responded.", value=float(counts is not None))
        if counts is not None:
            yield from _families(counts)

    def _fresh(self) -> Counts | None:
        with self._lock:
            if time.monotonic() - self._taken_at > FRESH_SECONDS:
                try:
                    self._counts = self._take()
                except SQLAlchemyError as error:
                    log.warning("no metrics from the database", error=str(error))
                    self._counts = None
                self._taken_at = time.monotonic()
            return self._counts


def _families(counts: Counts) -> Iterator[Metric]:
    yield _gauge("hposvc_jobs", "Jobs by state.", "state", counts.jobs)
    waiting = counts.waiting
    yield _gauge(
        "hposvc_queue_depth", "Queued jobs by what they need of a worker.", "needs",
        {"any": 0} | {needs: value.jobs for needs, value in waiting.items()},
    )  # fmt: skip
    yield _gauge(
        "hposvc_queue_oldest_seconds", "How long the oldest queued job has waited.", "needs",
        {"any": 0.0} | {needs: value.oldest_seconds for needs, value in waiting.items()},
    )  # fmt: skip
    yield _gauge(
        "hposvc_jobs_held", "Jobs that a worker has in hand, by what they need of one.", "needs",
        {"any": 0} | counts.held,
    )  # fmt: skip
    unmet = sum(value.jobs for needs, value in waiting.items() if needs not in counts.offers)
    yield GaugeMetricFamily("hposvc_queue_unmet", "Queued jobs that no live worker can take.", value=unmet)
    yield _gauge("hposvc_workers", "Workers by state; silent ones were not heard of lately.", "state", counts.workers)
    yield _gauge("hposvc_workers_offering", "Live workers by the needs that they meet.", "needs", counts.offers)
    yield GaugeMetricFamily(
        "hposvc_leases_overdue", "Jobs whose worker let its lease run out, not yet taken from it.", value=counts.overdue
    )
    yield GaugeMetricFamily("hposvc_database_size_bytes", "Size of the database.", value=counts.database_bytes)
    totals = counts.totals
    yield CounterMetricFamily(
        "hposvc_iterations", "Iterations recorded by all workers.", value=totals.get("iterations", 0)
    )
    yield CounterMetricFamily(
        "hposvc_leases_lost", "Jobs taken from workers whose lease had run out.", value=totals.get("leases_lost", 0)
    )
    attempts = CounterMetricFamily("hposvc_attempts", "Attempts at jobs that ended, by outcome.", labels=["outcome"])
    for outcome in OUTCOMES:
        attempts.add_metric([outcome], totals.get(f"attempts.{outcome}", 0))
    yield attempts


def _gauge(name: str, documentation: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
