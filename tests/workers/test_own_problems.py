"""Own problems on real workers: they go where they are installed, begin and end on one version, and harm nobody."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from hposvc.fleet import problems
from hposvc.jobs import hyperparameters, queries
from hposvc.jobs.service import Jobs
from hposvc.schema.problems import ProblemResource
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from hposvc.tables.defects import DataError
from tests.support.harness import Service, eventually
from tests.support.own_problem import CODE, NAME, install

pytestmark = pytest.mark.slow
PATIENT = {"lease": 60, "hang": 120}


def custom(does: str = "nothing", **changes: Any) -> JobSpec:
    fields = {"kind": "custom", "problem": NAME, "parameters": {"does": does}, "max_attempts": 1}
    return JobSpec.model_validate(fields | changes)


def known(service: Service) -> list[ProblemResource]:
    return problems.known(service.engine)


def until_offered(service: Service) -> ProblemResource:
    found = eventually(lambda: [problem for problem in known(service) if problem.workers], service.logs)
    assert found is not None
    return found[0]


def test_jobs_go_where_the_problem_is_and_stay_on_the_version_with_which_they_began(service: Service) -> None:
    folder = install(service.directory / "installed")
    having, jobs = {"PYTHONPATH": str(folder)}, Jobs(service.engine)
    service.worker(real=True, **PATIENT)  # without the problem
    with pytest.raises(DataError, match="no worker has ever had the problem 'odd_package:odd'"):
        jobs.submit(custom())
    first = service.worker(real=True, environment=having, **PATIENT)
    found = until_offered(service)
    assert (found.version, found.summary, found.fault, found.workers) == ("1.0", "Does what it is told.", None, 1)
    assert found.parameters["properties"]["does"]["description"] == "What it does."

    for parameters, says in (
        ({"does": 3}, "parameters.does: 3 is not of type"),
        ({"dose": ""}, "'dose' was unexpected"),
    ):
        with pytest.raises(DataError, match=says):
            jobs.submit(custom(parameters=parameters))
    job = jobs.submit(custom())
    assert job.spec.parameters == {"does": "nothing", "slow": 0.0}
    assert (job.spec.stop.iterations, job.spec.solver.lower.learning_rate, job.notice) == (7, 0.1, None)
    done = service.until_over(job.id)
    assert done.state is State.SUCCEEDED, (done.error, service.logs())
    assert done.problem_version == "1.0"
    assert done.worker is not None
    assert f"-{first.pid}-" in done.worker
    assert done.result is not None
    assert done.result["sentence"] == "It was odd."
    assert [number["name"] for number in done.result["numbers"]] == ["a"]
    assert done.result["tables"][0]["rows"] == [["a <b>", 1.0], ["b", None]]
    files = {file.name for file in queries.artifacts(service.engine, job.id)}
    assert {"hyperparameters.parquet", "parameters.safetensors", "own-note.txt"} <= files
    assert queries.iterations(service.engine, job.id).iteration == list(range(1, 8))
    lam = hyperparameters.history(service.engine, job.id)
    assert (lam.scale, [group.name for group in lam.groups]) == ("linear", ["a"])

    slow = jobs.submit(custom(parameters={"slow": 0.05}, stop={"iterations": 1000}))
    service.until_iteration(slow.id, 2)
    jobs.pause(slow.id)
    service.until_state(slow.id, State.PAUSED)
    first.send_signal(signal.SIGTERM)
    first.wait()
    waiting = jobs.submit(custom())
    assert waiting.notice is not None
    assert "no live worker has the problem odd_package:odd" in waiting.notice
    assert (known(service)[0].workers, service.get(waiting.id).state) == (0, State.QUEUED)

    install(folder, "2.0")
    service.worker(real=True, environment=having, **PATIENT)
    assert service.until_over(waiting.id).problem_version == "2.0"
    jobs.resume(slow.id)
    refused = service.until_over(slow.id)
    assert refused.state is State.FAILED
    assert refused.error is not None
    assert refused.error.reason == "other_version"
    assert "began with odd_package:odd 1.0, and this worker has 2.0" in refused.error.message
    jobs.retry(slow.id, from_start=True)
    again = service.until(slow.id, lambda job: job.state is State.RUNNING and job.progress.iteration > 0, "goes on")
    assert again.problem_version == "2.0"


BAD = {
    "raises": (
        "problem_failed",
        "odd_package:odd raised ValueError: these parameters do not go together, at __init__.py",
    ),
    "exits": ("problem_failed", "SystemExit"),
    "imports a driver": ("problem_failed", "must not import sqlalchemy"),
    "is not finite": ("problem_failed", "upper_loss: it is nan at the start"),
    "crashes": ("runner_crashed", "SIGSEGV"),
    "leaks": ("out_of_memory", "GiB of memory"),
}


def test_whatever_a_problem_does_costs_one_attempt_and_never_the_worker(service: Service) -> None:
    having, jobs = {"PYTHONPATH": str(install(service.directory / "installed"))}, Jobs(service.engine)
    worker = service.worker(real=True, environment=having, memory_limit=3 * 2**30, **PATIENT)
    until_offered(service)
    submitted = {does: jobs.submit(custom(does)).id for does in BAD}
    for does, job_id in submitted.items():
        job = service.until_over(job_id)
        assert (job.state, job.attempt) == (State.FAILED, 1), does
        assert job.error is not None
        assert job.error.reason == BAD[does][0], (does, job.error)
        assert BAD[does][1] in job.error.message, (does, job.error)
        assert job.error.remedy
    done = service.until_over(jobs.submit(custom("prints")).id)
    assert done.state is State.SUCCEEDED, done.error
    assert worker.poll() is None

    worker.send_signal(signal.SIGTERM)
    worker.wait()
    worker = service.worker(real=True, environment=having, silence=5, **PATIENT)
    hanging = service.until_over(jobs.submit(custom("hangs")).id)
    assert hanging.error is not None
    assert hanging.error.reason == "problem_hung", hanging.error
    assert "odd_package:odd did nothing for 5 s" in hanging.error.message
    assert worker.poll() is None


@pytest.mark.parametrize(
    ("code", "says"),
    [("raise RuntimeError('no licence')", "no licence"), ("class Odd: pass", "is not a subclass of")],
)
def test_a_package_that_cannot_be_imported_is_reported_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    from workers.problems import described

    folder = install(tmp_path, code=code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (found,) = described()
    assert (found.name, found.version, found.parameters) == (NAME, "1.0", {})
    assert found.fault is not None
    assert says in found.fault


def test_a_package_that_hangs_when_it_is_imported_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.problems import described

    folder = install(tmp_path, code=f"import time\ntime.sleep(600)\n{CODE}")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (found,) = described(seconds=2)
    assert found.fault == "importing it took more than 2 s"
