"""What a worker counts: written to the database with each heartbeat, and served over HTTP if the settings say so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hposvc.fleet.workers import WorkerReport

ITERATIONS = "iterations"
ATTEMPTS = "attempts."  # and the outcome
LEASES_LOST = "leases_lost"
UNDELIVERED = "undelivered"


class Counters:
    """Counts by name, from any thread. They only grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def add(self, name: str, number: int = 1) -> None:
        """Count ``number`` more of ``name``."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + number

    def counts(self) -> dict[str, int]:
        """A copy."""
        with self._lock:
            return dict(self._counts)


class WorkerMetrics(Collector):
    """The worker's own metrics, for Prometheus."""

    def __init__(self, counters: Counters, report: Callable[[], WorkerReport]) -> None:
        self._counters = counters
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are now."""
        counts, report = self._counters.counts(), self._report()
        state = GaugeMetricFamily("hposvc_worker_state", "1 for the state that this worker is in.", labels=["state"])
        for name in ("compiling", "ready", "busy", "draining"):
            state.add_metric([name], float(report.state == name))
        yield state
        yield CounterMetricFamily(
            "hposvc_worker_iterations", "Iterations that this worker has recorded.", value=counts.get(ITERATIONS, 0)
        )
        attempts = CounterMetricFamily(
            "hposvc_worker_attempts", "Attempts at jobs that ended on this worker.", labels=["outcome"]
        )
        for name, value in counts.items():
            if name.startswith(ATTEMPTS):
                attempts.add_metric([name.removeprefix(ATTEMPTS)], value)
        yield attempts
        yield CounterMetricFamily(
            "hposvc_worker_leases_lost",
            "Jobs that this worker has taken from others whose lease had run out.",
            value=counts.get(LEASES_LOST, 0),
        )


def serve(
    host: str, port: int, counters: Counters, report: Callable[[], WorkerReport]
) -> tuple[int, Callable[[], None]]:
    """Serve /metrics; returns the port, and a function that ends it. Raises OSError when it cannot listen."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(WorkerMetrics(counters, report))
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop
