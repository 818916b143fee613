"""A spec solved in this process, to compare what the service has of it."""

from __future__ import annotations

from hposvc.bilevel import runtime
from hposvc.jobs import queries
from hposvc.run.run import Outcome, Run
from hposvc.schema.numbers import to_json
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from tests.support import threads
from tests.support.harness import Service

METRICS = ("upper_loss", "hypergradient_norm", "lower_loss", "upper_score", "selection_loss", "fd_relative_error")


def in_process(spec: JobSpec) -> tuple[dict[str, list[float | None]], Outcome]:
    """With all threads where products have the same bits with any number of them, else with one as the worker has."""
    runtime.start(None)
    with threads.using(None if threads.products_keep_bits() else 1):
        run = Run(spec)
        rows = [iteration for batch in run.iterations() for iteration in batch]
        return {name: [getattr(row, name) for row in rows] for name in ("iteration", *METRICS)}, run.finish()


def assert_equal_to_in_process(service: Service, job_id: str) -> None:
    """Number for number, and the same λ in the same file."""
    job = service.until_over(job_id)
    assert job.state is State.SUCCEEDED, (job.error, service.logs())
    expected, outcome = in_process(job.spec)
    columns = queries.iterations(service.engine, job_id)
    assert {name: getattr(columns, name) for name in expected} == expected
    files = {file.name: file for file in queries.artifacts(service.engine, job_id)}
    path = files["hyperparameters.parquet"].url.removeprefix("file://")
    with open(path, "rb") as stream:  # noqa: PTH123
        assert stream.read() == outcome.artifacts["hyperparameters.parquet"]
    assert job.result is not None
    timeless = {name: value for name, value in to_json(outcome.result).items() if name != "seconds"}
    assert {name: job.result[name] for name in timeless} == timeless
