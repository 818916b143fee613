"""The client against a real server, over a network that misbehaves."""

from __future__ import annotations

import httpx
import pytest

from hposvc.client import Client, ProblemError, ServerUnreachableError
from hposvc.jobs.spec import JobSpec
from tests.cli.conftest import Server

SPEC = {"kind": "data_reweighting", "dataset": {"id": "sklearn:wine"}}


class LosesAnswers(httpx.BaseTransport):
    """Delivers every request, and drops the answers to the first ``count`` of them."""

    def __init__(self, count: int) -> None:
        self._inner = httpx.HTTPTransport()
        self._left = count
        self.delivered = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        self.delivered += 1
        if self._left > 0:
            self._left -= 1
            response.close()
            raise httpx.ReadError("the connection broke", request=request)
        return response


def test_a_job_whose_answer_got_lost_is_submitted_once(api: Server) -> None:
    with Client(api.url) as plain:
        before = {job.id for job in plain.jobs()}
        network = LosesAnswers(2)
        with Client(api.url, transport=network) as client:
            job = client.submit(SPEC)
        assert network.delivered == 3
        assert {job.id for job in plain.jobs()} - before == {job.id}


def test_the_caller_s_key_holds_across_clients(api: Server) -> None:
    with Client(api.url) as one, Client(api.url) as other:
        first = one.submit(SPEC, idempotency_key="night-run-1")
        assert other.submit(SPEC, idempotency_key="night-run-1").id == first.id
        with pytest.raises(ProblemError) as conflict:
            other.submit({**SPEC, "name": "another"}, idempotency_key="night-run-1")
    assert conflict.value.status == 409


def test_a_spec_is_the_same_as_model_mapping_and_document(api: Server) -> None:
    document = b"kind: data_reweighting\ndataset:\n  id: sklearn:wine\n"
    with Client(api.url) as client:
        specs = [client.check(spec) for spec in (JobSpec.model_validate(SPEC), SPEC, document)]
        assert specs[0] == specs[1] == specs[2] == JobSpec.model_validate(SPEC)


def test_every_wrong_field_is_in_the_message(api: Server) -> None:
    wrong = {**SPEC, "solver": {"radius": -1.0}, "stop": {"iterations": 0}}
    with Client(api.url) as client, pytest.raises(ProblemError) as refusal:
        client.submit(wrong)
    assert refusal.value.status == 422
    assert {error["field"] for error in refusal.value.errors} == {"solver.radius", "stop.iterations"}
    assert "solver.radius" in str(refusal.value)
    assert "stop.iterations" in str(refusal.value)


def test_pages_of_jobs_are_joined(api: Server) -> None:
    with Client(api.url) as client:
        mine = [client.submit({**SPEC, "tags": ["pages"]}).id for _ in range(5)]
        first = client.jobs_page(limit=2, tag="pages")
        assert [job.id for job in first.items] == mine[:-3:-1]
        assert [job.id for job in client.jobs(tag="pages")] == mine[::-1]


def test_a_job_that_waits_can_be_paused_resumed_cancelled_and_retried(api: Server) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        assert client.pause(job.id).state == "paused"
        assert client.resume(job.id).state == "queued"
        assert client.cancel(job.id).state == "cancelled"
        assert client.retry(job.id).state == "queued"
        assert client.cancel(job.id).state == "cancelled"
        with pytest.raises(ProblemError, match="pause"):
            client.pause(job.id)


def test_a_busy_server_is_asked_again() -> None:
    answers = iter(
        [
            httpx.Response(503, headers={"Retry-After": "0"}),
            httpx.Response(429),
            httpx.Response(200, json={"items": []}),
        ]
    )
    with Client("http://busy", transport=httpx.MockTransport(lambda _: next(answers))) as client:
        assert client.workers() == []


def test_a_refusal_is_not_repeated() -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(
            422, json={"title": "No", "detail": "never"}, headers={"Content-Type": "application/problem+json"}
        )

    with (
        Client("http://strict", transport=httpx.MockTransport(refuse)) as client,
        pytest.raises(ProblemError, match="No: never"),
    ):
        client.submit(SPEC)
    assert len(asked) == 1


def test_an_answer_of_something_else_is_readable() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>nginx</html>"))
    with Client("http://proxy", transport=page) as client, pytest.raises(ProblemError, match=r"HTTP 404.*nginx"):
        client.job("job_x")


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:9"):
        client.workers()


def test_a_job_s_id_cannot_lead_elsewhere() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    with Client("http://x", transport=httpx.MockTransport(answer)) as client, pytest.raises(ProblemError):
        client.job("../workers?x=1")
    assert seen == [b"/v1/jobs/..%2Fworkers%3Fx%3D1"]
