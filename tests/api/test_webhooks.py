"""Webhooks against a real receiver: signed, told once it is true, told again until it is heard, and never inwards."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.app import SENDERS
from hposvc.access import tenants
from hposvc.db.clock import now
from hposvc.db.engine import write
from hposvc.db.tables import webhook_deliveries, webhooks
from hposvc.jobs import attempt as attempts
from hposvc.jobs.service import Jobs
from hposvc.schema.job import JobError
from hposvc.schema.spec import JobSpec
from hposvc.webhooks import sender, service
from hposvc.webhooks.addresses import ForbiddenAddress, check_url, is_public, resolve
from tests.support.commands import until
from tests.support.problems import problem
from tests.support.receiver import Receiver
from tests.support.serving import PATIENCE, RESULT, SPEC, Server, running, submit, succeeded


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def add(engine: sa.Engine, url: str, tenant: str = "default") -> service.NewWebhook:
    return service.Webhooks(engine).add(tenant, url, secret=None, private=True)


def tell(engine: sa.Engine, *, private: bool = True) -> int:
    """Send what is due; how many messages were."""
    count = 0
    while sender.Sender(engine, private=private).deliver_next():
        count += 1
    return count


def due(engine: sa.Engine) -> None:
    """Let the time until the next attempt pass."""
    with write(engine) as connection:
        connection.execute(
            webhook_deliveries.update().where(webhook_deliveries.c.due_at.is_not(None)).values(due_at=now() - 1)
        )


def only(engine: sa.Engine, webhook_id: str) -> service.DeliveryResource:
    (delivery,) = service.deliveries(engine, "default", webhook_id)
    return delivery


def test_every_way_in_which_a_job_ends_is_told(engine: sa.Engine, receiver: Receiver) -> None:
    add(engine, receiver.url)
    succeeded(engine, RESULT, name="good")
    _, attempt = running(engine, 3, name="bad")
    attempt.fail(JobError(reason="diverged", message="m", remedy="r"))
    Jobs(engine).cancel(submit(engine, name="waiting").id)
    job, attempt = running(engine, 3, name="stopped")
    Jobs(engine).cancel(job.id)
    attempt.stopped()
    submit(engine, name="still there")
    assert tell(engine) == 4
    bodies = [json.loads(body) for _, _, body in receiver.received]
    assert {(body["type"], body["data"]["name"]) for body in bodies} == {
        ("job.succeeded", "good"),
        ("job.failed", "bad"),
        ("job.cancelled", "waiting"),
        ("job.cancelled", "stopped"),
    }
    good = next(body for body in bodies if body["type"] == "job.succeeded")
    assert good["data"]["sentence"] == RESULT["sentence"]
    assert good["timestamp"].endswith("+00:00")
    assert next(body for body in bodies if body["type"] == "job.failed")["data"]["error"]["reason"] == "diverged"


def test_a_message_is_signed_as_the_standard_has_it(engine: sa.Engine, receiver: Receiver) -> None:
    made = add(engine, receiver.url)
    succeeded(engine, RESULT)
    assert tell(engine) == 1
    ((path, headers, body),) = receiver.received
    assert path == "/hook"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "application/json"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(made.secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    # The example of the specification's own text.
    assert (
        sender.signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_what_is_not_heard_is_told_again_under_the_same_id(engine: sa.Engine, receiver: Receiver) -> None:
    made = add(engine, receiver.url)
    succeeded(engine, RESULT)
    receiver.answers = [500, 503, 200]
    for tried, status in ((1, 500), (2, 503)):
        assert tell(engine) == 1  # and not once more before its time
        state = only(engine, made.id)
        assert (state.state, state.attempts, state.status) == ("pending", tried, status)
        due(engine)
    assert tell(engine) == 1
    state = only(engine, made.id)
    assert (state.state, state.attempts, state.status, state.error) == ("delivered", 3, 200, None)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1
    assert len({body for _, _, body in receiver.received}) == 1
    due(engine)
    assert tell(engine) == 0


def test_it_is_given_up_after_two_days_or_when_the_receiver_is_gone(engine: sa.Engine, receiver: Receiver) -> None:
    made = add(engine, receiver.url)
    succeeded(engine, RESULT)
    receiver.answers = [500] * 100
    for _ in range(len(sender.BACK_OFF) + 1):
        assert only(engine, made.id).state == "pending"
        assert tell(engine) == 1
        due(engine)
    assert only(engine, made.id).state == "failed"
    assert tell(engine) == 0
    service.Webhooks(engine).remove("default", made.id)
    gone = add(engine, receiver.url)
    succeeded(engine, RESULT)
    receiver.answers = [410]
    assert tell(engine) == 1
    assert only(engine, gone.id).state == "failed"


def test_a_receiver_that_is_down_is_not_asked_for_every_message(engine: sa.Engine, receiver: Receiver) -> None:
    add(engine, receiver.url)
    for _ in range(5):
        Jobs(engine).cancel(submit(engine).id)
    receiver.answers = [500]
    assert tell(engine) == 1
    due(engine)
    assert tell(engine) == 5


def test_a_sender_that_is_killed_is_followed_by_another(engine: sa.Engine, receiver: Receiver) -> None:
    made = add(engine, receiver.url)
    succeeded(engine, RESULT)
    assert sender._claim(engine) is not None  # and then it dies
    assert tell(engine) == 0  # another one does not send it at the same time
    due(engine)
    assert tell(engine) == 1
    assert only(engine, made.id).attempts == 2


def test_many_senders_tell_each_message_once(engine: sa.Engine, receiver: Receiver) -> None:
    add(engine, receiver.url)
    for _ in range(12):
        Jobs(engine).cancel(submit(engine).id)
    threads = [threading.Thread(target=tell, args=(engine,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [headers["webhook-id"] for _, headers, _ in receiver.received]
    assert len(ids) == len(set(ids)) == 12


def test_nothing_is_told_of_what_was_rolled_back(engine: sa.Engine, receiver: Receiver) -> None:
    add(engine, receiver.url)
    _, attempt = running(engine, 3)
    with write(engine) as connection:  # somebody else has the job now
        connection.execute(sa.text("UPDATE jobs SET attempt = 9"))
    with pytest.raises(attempts.Fenced):
        attempt.succeed(RESULT, [])
    assert tell(engine) == 0


def test_the_server_tells_by_itself(database_url: str, tmp_path: Any, receiver: Receiver) -> None:
    with (
        Server(database_url, tmp_path, webhooks_private=True) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        made = client.post("/v1/webhooks", json={"url": receiver.url})
        assert made.status_code == 201
        assert made.json()["secret"].startswith("whsec_")
        assert "secret" not in client.get("/v1/webhooks").text
        Jobs(server.engine).cancel(submit(server.engine).id)
        path = made.headers["Location"]

        def settled() -> dict[str, Any] | None:
            item: dict[str, Any] = client.get(path).json()["items"][0]
            return None if item["state"] == "pending" else item

        item = until(settled, "an attempt")
        assert (item["state"], item["type"], item["status"]) == ("delivered", "job.cancelled", 204)
        assert client.delete(f"/v1/webhooks/{made.json()['id']}").status_code == 204
        problem(client.get(path), 404, "webhook-not-found")


# --- never inwards -----------------------------------------------------------------------------------------------

INWARD = [
    "https://127.0.0.1/",
    "https://localhost/",
    "https://sub.localhost/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[ff02::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::127.0.0.1]/",
    "https://[fec0::1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",  # Teredo, of 127.0.0.1
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://240.0.0.1/",
    "https://db.internal/",
    "https://printer.local/",
    "http://example.org/",
    "https://user:password@example.org/",
    "https://example.org:0/",
    "https://example.org:99999/",
    "https:///path",
]


def test_private_addresses_are_refused_at_the_door(
    client: httpx.Client, server: Server, subtests: pytest.Subtests
) -> None:
    for url in INWARD:
        with subtests.test(url=url):
            document = problem(client.post("/v1/webhooks", json={"url": url}), 422, "invalid-body")
            assert document["errors"][0]["field"] == "url"
    assert client.get("/v1/webhooks").json()["items"] == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "localhost.", "0"])
def test_what_systems_take_for_addresses_leads_nowhere_either(host: str) -> None:
    """Such a host is no literal, and may be the name of something; where it leads is seen before it is called."""
    with pytest.raises((ForbiddenAddress, OSError)):
        asyncio.run(resolve(host, 443, private=False))


def test_what_is_public() -> None:
    for public in (
        "93.184.215.14",
        "8.8.8.8",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ):
        assert is_public(ipaddress.ip_address(public))
    check_url("https://example.org:8443/path?x=1", private=False)
    with pytest.raises(ForbiddenAddress):
        check_url("ftp://example.org/", private=True)


def test_a_name_that_turns_inwards_later_is_not_followed(
    engine: sa.Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name was public when the webhook was added; when it is told, it is the receiver's loopback."""
    made = service.Webhooks(engine).add(
        "default", f"https://rebound.example:{receiver.port}/", secret=None, private=False
    )
    succeeded(engine, RESULT)
    asked = []

    async def answer(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", answer)
    assert tell(engine, private=False) == 1
    assert "rebound.example is not on the internet" in (only(engine, made.id).error or "")
    assert receiver.received == []
    assert asked == ["rebound.example"]


def test_the_address_that_was_checked_is_the_one_that_is_called(
    engine: sa.Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(engine, f"http://hook.example:{receiver.port}/path")
    succeeded(engine, RESULT)
    answers = iter(["127.0.0.1", "192.0.2.1"])  # asked a second time, the name would lead elsewhere

    async def answer(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        address = host if host[0].isdigit() else next(answers)
        return [(2, 1, 6, "", (address, port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", answer)
    assert tell(engine) == 1
    ((path, headers, _),) = receiver.received
    assert (path, headers["host"]) == ("/path", f"hook.example:{receiver.port}")
    assert next(answers) == "192.0.2.1"


def test_redirects_are_not_followed(engine: sa.Engine, receiver: Receiver) -> None:
    made = add(engine, receiver.url)
    receiver.location, receiver.answers = f"{receiver.url}/elsewhere", [302]
    succeeded(engine, RESULT)
    assert tell(engine) == 1
    assert [path for path, _, _ in receiver.received] == ["/hook"]
    assert "redirects are not followed" in (only(engine, made.id).error or "")


def test_an_error_does_not_tell_the_secret(engine: sa.Engine) -> None:
    made = add(engine, "http://127.0.0.1:9/hook")
    succeeded(engine, RESULT)
    assert tell(engine) == 1
    error = only(engine, made.id).error or ""
    assert "Connect" in error
    assert made.secret not in error


def test_webhooks_are_capped(engine: sa.Engine) -> None:
    for number in range(service.MOST):
        add(engine, f"https://example.org/{number}")
    with pytest.raises(service.TooManyWebhooks):
        add(engine, "https://example.org/more")
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(webhooks)).scalar_one() == service.MOST


def test_slow_receivers_of_a_tenant_keep_nobody_elses_messages_back(
    engine: sa.Engine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tenant has twice as many messages as there are threads, and none of them is accepted before the other's."""
    tenants.Tenants(engine).create("other")
    go_on = threading.Event()
    post = sender._post

    async def slow(message: Any, private: bool) -> Any:
        if message.tenant == "default":
            assert await asyncio.to_thread(go_on.wait, 30)
        return await post(message, private)

    monkeypatch.setattr(sender, "_post", slow)
    hooks = service.Webhooks(engine)
    for number in range(2 * SENDERS):
        hooks.add("default", f"{receiver.url}/{number}", secret=None, private=True)
    succeeded(engine, RESULT)
    hooks.add("other", receiver.url, secret=None, private=True)
    theirs = Jobs(engine).submit(JobSpec.model_validate(SPEC), tenant="other")
    Jobs(engine).cancel(theirs.id, tenant="other")
    one = sender.Sender(engine, private=True)
    threads = [threading.Thread(target=one.deliver_next) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    until(lambda: any(path == "/hook" for path, _, _ in receiver.received), "the message of the other tenant")
    assert [path for path, _, _ in receiver.received] == ["/hook"]
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(receiver.received) == 1 + sender.EACH


def test_the_most_webhooks_hold_for_those_who_add_at_once(engine: sa.Engine) -> None:
    hooks = service.Webhooks(engine)

    def add(number: int) -> bool:
        try:
            hooks.add("default", f"https://example.org/{number}", secret=None, private=False)
        except service.TooManyWebhooks:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        added = list(pool.map(add, range(service.MOST + 16)))
    assert added.count(True) == service.MOST == len(service.list_(engine, "default"))
