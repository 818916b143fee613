"""One trace, from the request over the worker to the runner, as a real collector on loopback receives it."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from hposvc.client import Client
from hposvc.db import migrate
from hposvc.operate.embedded import announced
from hposvc.settings import Settings
from tests.support.environment import without_settings
from tests.support.harness import Service, eventually
from tests.support.serving import PATIENCE, SPEC

HPOSVC = Path(sys.executable).with_name("hposvc")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(http.server.ThreadingHTTPServer):
    """Receives OTLP over HTTP; ``spans``: (service, name, trace, span, parent), in hexadecimal."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str, str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            service = next(item.value.string_value for item in group.resource.attributes if item.key == "service.name")
            for scope in group.scope_spans:
                for span in scope.spans:
                    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                    self.server.spans.append((service, span.name, *ids))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.shutdown()
    collector.server_close()


@pytest.fixture
def service(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Service]:
    import shutil

    shutil.copy(migrated_sqlite, tmp_path / "hposvc.sqlite3")
    service = Service(f"sqlite:///{tmp_path / 'hposvc.sqlite3'}", tmp_path)
    yield service
    service.close()


def test_a_job_is_one_trace_from_the_request_to_the_runner(service: Service, collector: Collector) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    variables = without_settings(HPOSVC_DATA_DIR=str(service.directory), HPOSVC_PORT="0", **endpoint)
    api = subprocess.Popen([HPOSVC, "api"], env=variables, stderr=subprocess.DEVNULL)
    try:
        url = eventually(lambda: announced(Settings(data_dir=service.directory)).get("url"), "the API is there")
        with Client(url) as client:
            eventually(client.is_ready, "it is ready")
        worker = service.worker(environment=endpoint)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        job = httpx.post(f"{url}/v1/jobs", json=SPEC, headers=headers, trust_env=False, timeout=PATIENCE).json()
        service.until_over(job["id"])
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        api.terminate()
        assert api.wait(60) == 0
    ours = [entry for entry in collector.spans if entry[2] == TRACE]
    parents = {span: parent for _, _, _, span, parent in ours}
    names = {span: f"{origin} {name}" for origin, name, _, span, _ in ours}

    def line(name: str) -> list[str]:
        """The span of this name and those above it, up to what the request came with."""
        span, found = next(span for span, known in names.items() if known == name), []
        while span in parents:
            found.append(names[span])
            span = parents[span]
        assert span == PARENT
        return found

    for name in ("job.load", "job.solve", "job.refit"):
        above = line(f"hposvc-runner {name}")
        assert above[1:3] == ["hposvc-runner job.run", "hposvc-worker job.attempt"]
        assert above[-1] == "hposvc-api POST /v1/jobs"


def test_without_an_endpoint_nothing_is_recorded_and_the_context_is_passed_on() -> None:
    from hposvc import tracing

    stop = tracing.start("api")
    given = f"00-{TRACE}-{PARENT}-01"
    with tracing.span("job", parent=given) as span:
        assert not span.is_recording()
        assert tracing.traceparent() == given
        assert tracing.ids() == {"trace_id": TRACE, "span_id": PARENT}
    assert tracing.traceparent() is None
    with tracing.span("job", parent="garbage"):
        assert tracing.traceparent() is None
    stop()


def test_an_endpoint_without_the_extra_is_refused_with_the_command_that_installs_it(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['opentelemetry.sdk'] = None\nfrom hposvc.cli import main; main()"
    migrate.upgrade(Settings(data_dir=tmp_path).database_url)
    variables = without_settings(HPOSVC_DATA_DIR=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    run = subprocess.run(
        [sys.executable, "-c", hidden, "api", "--port", "0"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2
    assert "pip install 'hposvc[otel]'" in run.stderr


def test_a_collector_that_is_away_costs_a_job_nothing(service: Service) -> None:
    worker = service.worker(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    from tests.support.harness import tiny_spec

    job_id = service.jobs.submit(tiny_spec()).id
    service.assert_succeeded_exactly(job_id)
    worker.terminate()
    assert worker.wait(60) == 0
