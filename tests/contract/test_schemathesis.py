"""Requests that schemathesis makes up from the OpenAPI document, valid and not, one by one and in sequences.

Every check is on: no answer of 500, none that the document does not describe, nothing that is invalid accepted, nothing
valid refused, no answer without a key that needs one, nothing there any more after it was deleted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import live
from hposvc.access import keys
from hposvc.db.tables import DEFAULT_TENANT
from tests.support.environment import without_settings
from tests.support.serving import RESULT, Server, running, submit, succeeded

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# Of each call, in each phase. More of them: HPOSVC_TEST_EXAMPLES=200 pytest tests/contract
EXAMPLES = os.environ.get("HPOSVC_TEST_EXAMPLES", "5")

# Some calls may refuse what fits the document: no schema can say that a job or the plan of an experiment fits its data,
# that a change is meant for the present version, that a host is on the internet, that a page token was made by this
# service, that a file holds rows enough, that eight ids stand between commas, or that only `relabel` names a label.
CONFIG = """\
continue-on-failure = true

[[operations]]
include-operation-id = [
    "submit", "add_webhook", "list_jobs", "list_datasets", "upload", "compare_jobs", "get_hyperparameters",
    "list_decisions", "get_decisions", "decide", "decide_row", "make_version", "submit_experiment", "list_experiments",
    "list_trials"
]
checks.positive_data_acceptance.expected-statuses = [200, 201, 202, 404, 409, 412, 415, 422, 429]

# schemathesis 4.32 sends Last-Event-ID: 0, which the header's pattern and its shortest length forbid
[[operations]]
include-operation-id = ["get_events"]
checks.positive_data_acceptance.expected-statuses = [200, 204, 404, 422]

[[operations]]
include-operation-id = ["update_job", "put_notes", "delete_job", "delete_experiment"]
checks.positive_data_acceptance.expected-statuses = [200, 204, 404, 409, 412]
"""


@pytest.fixture
def server(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.1)  # a stream of a job that nobody works at
    monkeypatch.setattr(live, "KEEP_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr("api.dependencies.LONGEST_WAIT", 0)
    monkeypatch.setattr("api.app.Sender.deliver_next", lambda _: False)  # nothing leaves for hosts that were made up
    with Server(database_url, tmp_path, quota_requests_per_second=100_000, quota_queued_jobs=100_000) as server:
        yield server


@pytest.mark.slow
def test_made_up_requests_find_no_answer_that_is_not_described(server: Server, tmp_path: Path) -> None:
    token = keys.Keys(server.engine).create(tenant=DEFAULT_TENANT, name="schemathesis", scope="admin")[1]
    submit(server.engine, name="waiting")
    running(server.engine, 30)
    succeeded(server.engine, RESULT)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    options = ["--checks=all", "--seed=1", "--generation-deterministic", "--no-color", "--warnings=off"]
    done = subprocess.run(
        [
            *(SCHEMATHESIS, f"--config-file={config}", "run", f"{server.url}/openapi.json"),
            *(f"--header=Authorization: Bearer {token}", f"--max-examples={EXAMPLES}", *options),
        ],
        env=without_settings(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
