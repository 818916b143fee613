"""The client against a real server, over a network that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hposvc.client import Client, ProblemError, ServerUnreachableError
from hposvc.schema.spec import JobSpec
from tests.support.commands import ServerProcess
from tests.support.serving import PATIENCE

SPEC = {"kind": "data_reweighting", "dataset": {"id": "sklearn:wine"}}


class LosesAnswers(httpx.BaseTransport):
    """Delivers every request, and drops the responses to the first ``count`` of them."""

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


def over(network: httpx.BaseTransport, url: str, **options: Any) -> Client:
    """A client whose requests go through ``network``."""
    client = Client(url, **options)
    headers = client._http.client.headers
    client._http.client.close()
    client._http.client = httpx.Client(
        base_url=url, headers=headers, transport=network, trust_env=False, timeout=PATIENCE
    )
    return client


def test_a_job_whose_answer_got_lost_is_submitted_once(api: ServerProcess) -> None:
    with Client(api.url) as plain:
        before = {job.id for job in plain.jobs()}
        network = LosesAnswers(2)
        with over(network, api.url) as client:
            job = client.submit(SPEC)
        assert network.delivered == 3
        assert {job.id for job in plain.jobs()} - before == {job.id}


def test_the_caller_s_key_holds_across_clients(api: ServerProcess) -> None:
    with Client(api.url) as one, Client(api.url) as other:
        first = one.submit(SPEC, idempotency_key="night-run-1")
        assert other.submit(SPEC, idempotency_key="night-run-1").id == first.id
        with pytest.raises(ProblemError) as conflict:
            other.submit({**SPEC, "name": "another"}, idempotency_key="night-run-1")
    assert conflict.value.status == 409


def test_a_spec_is_the_same_as_model_mapping_and_document(api: ServerProcess) -> None:
    document = b"kind: data_reweighting\ndataset:\n  id: sklearn:wine\n"
    with Client(api.url) as client:
        specs = [client.check(spec).spec for spec in (JobSpec.model_validate(SPEC), SPEC, document)]
        assert specs[0] == specs[1] == specs[2]
    given = JobSpec.model_validate(SPEC)
    said = {"label": "target", "task": "classification"}  # what the data set itself says
    assert specs[0] == given.model_copy(update={"dataset": given.dataset.model_copy(update=said)})


def test_every_wrong_field_is_in_the_message(api: ServerProcess) -> None:
    wrong = {**SPEC, "solver": {"radius": -1.0}, "stop": {"iterations": 0}}
    with Client(api.url) as client, pytest.raises(ProblemError) as refusal:
        client.submit(wrong)
    assert refusal.value.status == 422
    assert {error["field"] for error in refusal.value.errors} == {"solver.radius", "stop.iterations"}
    assert "solver.radius" in str(refusal.value)
    assert "stop.iterations" in str(refusal.value)


def test_pages_of_jobs_are_joined(api: ServerProcess) -> None:
    with Client(api.url) as client:
        mine = [client.submit({**SPEC, "tags": ["pages"]}).id for _ in range(5)]
        first = client.jobs_page(limit=2, tag="pages")
        assert [job.id for job in first.items] == mine[:-3:-1]
        assert [job.id for job in client.jobs(tag="pages")] == mine[::-1]


def test_notes_about_a_job_are_kept(api: ServerProcess) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        assert client.notes.read(job.id) == ""
        client.notes.write(job.id, "# Second try")
        assert client.notes.read(job.id) == "# Second try"


def test_a_job_that_waits_can_be_paused_resumed_cancelled_and_retried(api: ServerProcess) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        assert client.pause(job.id).state == "paused"
        assert client.resume(job.id).state == "queued"
        assert not client.job(job.id).finish_early
        assert client.finish(job.id).finish_early
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
    with over(httpx.MockTransport(lambda _: next(answers)), "http://busy") as client:
        assert client.workers() == []


def test_a_refusal_is_not_repeated() -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(
            422, json={"title": "No", "detail": "never"}, headers={"Content-Type": "application/problem+json"}
        )

    with (
        over(httpx.MockTransport(refuse), "http://strict") as client,
        pytest.raises(ProblemError, match="No: never"),
    ):
        client.submit(SPEC)
    assert len(asked) == 1


def test_an_answer_of_something_else_is_readable() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>nginx</html>"))
    with over(page, "http://proxy") as client, pytest.raises(ProblemError, match=r"HTTP 404.*nginx"):
        client.job("job_x")


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:9"):
        client.workers()


def test_a_job_s_id_cannot_lead_elsewhere() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    with over(httpx.MockTransport(answer), "http://x") as client, pytest.raises(ProblemError):
        client.job("../workers?x=1")
    assert seen == [b"/v1/jobs/..%2Fworkers%3Fx%3D1"]


def test_a_job_is_changed_and_deleted_with_everything(api: ServerProcess) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        changed = client.update(job.id, name="second", tags=["a"], version=job.version)
        assert (changed.name, changed.tags) == ("second", ["a"])
        with pytest.raises(ProblemError) as stale:
            client.update(job.id, name="third", version=job.version)
        assert stale.value.status == 412
        with pytest.raises(ProblemError, match="cancel it first"):
            client.delete(job.id)
        client.cancel(job.id)
        client.delete(job.id)
        with pytest.raises(ProblemError, match="no job"):
            client.job(job.id)


def test_a_deletion_whose_answer_got_lost_is_no_error(api: ServerProcess) -> None:
    with Client(api.url) as plain:
        job = plain.submit(SPEC)
        plain.cancel(job.id)
        network = LosesAnswers(1)
        with over(network, api.url) as client:
            client.delete(job.id)
        assert network.delivered == 2


def test_a_key_is_not_made_twice_when_the_answer_got_lost() -> None:
    asked = []

    def break_off(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ReadError("the connection broke", request=request)

    with over(httpx.MockTransport(break_off), "http://x") as client:
        with pytest.raises(ServerUnreachableError):
            client.create_key("mine")
        assert len(asked) == 1


def test_the_key_is_shown_in_the_header_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer hposvc_x"
        assert "hposvc_x" not in str(request.url)
        return httpx.Response(200, json={"items": []})

    with over(httpx.MockTransport(answer), "http://x", key="hposvc_x") as client:
        assert client.workers() == []


def test_waiting_asks_the_server_to_answer_when_something_changed(api: ServerProcess) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        timer = threading.Timer(0.5, client.cancel, [job.id])
        timer.start()
        assert client.wait(job.id, interval=0).state == "cancelled"
        timer.join()


class BreaksStreams(httpx.BaseTransport):
    """Cuts every event stream after its first ``size`` bytes, twice."""

    def __init__(self, size: int) -> None:
        self._inner = httpx.HTTPTransport()
        self._size = size
        self.streams: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if request.headers.get("Accept") == "text/event-stream":
            self.streams.append(request.headers.get("Last-Event-ID"))
            if len(self.streams) < 3:
                return httpx.Response(200, headers=response.headers, stream=Cut(response, self._size))
        return response


class Cut(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response, size: int) -> None:
        self._response, self._size = response, size

    def __iter__(self) -> Iterator[bytes]:
        left = self._size
        assert isinstance(self._response.stream, httpx.SyncByteStream)
        for chunk in self._response.stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                raise httpx.ReadError("the connection broke")


def test_a_stream_that_breaks_leaves_nothing_out(api: ServerProcess) -> None:
    with Client(api.url) as plain:
        job = plain.submit(SPEC)
        for action in (plain.pause, plain.resume, plain.pause, plain.resume, plain.cancel):
            action(job.id)
        network = BreaksStreams(400)
        with over(network, api.url) as client:
            events = list(client.stream(job.id))
        states = [event.data["data"]["state"] for event in events if event.type == "state"]
        assert states == ["queued", "paused", "queued", "paused", "queued", "cancelled"]
        assert [event.data["seq"] for event in events if event.type == "state"] == [1, 2, 3, 4, 5, 6]
        assert events[-1].type == "end"
        assert network.streams[0] is None
        assert all(network.streams[1:])
        assert list(plain.stream(job.id, last=events[-1].id)) == []


def test_iterations_in_other_formats(api: ServerProcess) -> None:
    with Client(api.url) as client:
        job = client.submit(SPEC)
        assert b"".join(client.iterations_as(job.id, "csv")).startswith(b"iteration,upper_loss,")
        assert b"".join(client.iterations_as(job.id, "ndjson")) == b""
        with pytest.raises(ProblemError, match="no job"):
            list(client.iterations_as("job_x", "csv"))
