"""What a runner knows of the world: enough to compute and to trace, and no address or key of the store or database."""

from __future__ import annotations

import pytest

from hposvc.schema.states import State
from tests.support.harness import Service, tiny_spec
from workers.environment import of_runner

SECRET = {
    "HPOSVC_DATABASE_URL": "postgresql+psycopg://a:hunter2@h/d",
    "HPOSVC_STORE_URL": "s3://bucket",
    "HPOSVC_KEY": "hunter2",
    "AWS_ACCESS_KEY_ID": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_SHARED_CREDENTIALS_FILE": "/run/secrets/hunter2",
    "AZURE_STORAGE_CONNECTION_STRING": "hunter2",
    "GOOGLE_APPLICATION_CREDENTIALS": "/hunter2",
    "PGPASSWORD": "hunter2",
    "https_proxy": "http://a:hunter2@proxy",
    "HTTP_PROXY": "http://a:hunter2@proxy",
    "SOMETHING_ELSE": "hunter2",
    "my_password": "hunter2",
    "TERM": "xterm",
}
NEEDED = {
    "cc_path": "g++-12",
    "python_config_path": "/usr/bin/python3-config",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "0",
    "LD_LIBRARY_PATH": "/nowhere",
    "LC_ALL": "C.UTF-8",
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_runner_gets_what_it_needs_and_no_secret(service: Service) -> None:
    """The runner itself lists the names of its variables."""
    # the worker of the tests takes its addresses by argument; these are as in a real one's environment
    service.worker(environment=SECRET | NEEDED)
    job = service.assert_succeeded_exactly(service.jobs.submit(tiny_spec("environment=7")).id)
    assert job.state is State.SUCCEEDED
    (note,) = service.notes(job.id)
    names = set(note.split())
    assert not names & SECRET.keys()
    assert {*NEEDED, "PATH", "HOME", "HPOSVC_RUNNER_FD", "HPOSVC_RUNNER_PARENT"} <= names


def test_who_traces_lets_the_runner_reach_the_collector() -> None:
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=x"}
    assert of_runner(SECRET) == {}
    assert of_runner(SECRET | tracing) == tracing | {name: SECRET[name] for name in ("https_proxy", "HTTP_PROXY")}
