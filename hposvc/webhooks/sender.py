"""Sending the messages that are due: one sender at a time for each message, and again later if it is refused."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import ssl
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import httpx
import sqlalchemy as sa
import structlog

from hposvc import __version__
from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import webhook_deliveries, webhooks
from hposvc.webhooks.addresses import ForbiddenAddress, check_url, resolve

log = structlog.get_logger(__name__)

EACH = 3  # messages of one tenant that one process sends at the same time
TIMEOUT = 15.0  # seconds for everything: name, connection, response
CLAIM = 60.0  # a sender that does not finish within this time was killed: the message is sent again
# Seconds until the next attempt, after the first, the second, …; after the last the message is given up, in two days.
BACK_OFF = (5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400)
KEPT = 30 * 86_400.0  # settled messages are shown for so long


@dataclass(frozen=True)
class _Message:
    id: str
    webhook_id: str
    about: str  # the id of what ended
    tenant: str
    attempt: int
    url: str
    secret: str
    body: dict[str, Any]


@dataclass(frozen=True)
class _Outcome:
    status: int | None
    error: str | None

    @property
    def accepted(self) -> bool:
        return self.error is None

    @property
    def final(self) -> bool:
        """Whether another attempt is pointless: the receiver said that it is gone for good."""
        return self.accepted or self.status == httpx.codes.GONE


class Sender:
    """Sends what is due. ``private``: whether an address of a private network is sent to."""

    def __init__(self, engine: sa.Engine, *, private: bool) -> None:
        self._engine = engine
        self._private = private
        self._lock = Lock()
        self._sending: Counter[str] = Counter()  # by tenant

    def deliver_next(self) -> bool:
        """Send one message that is due; False when none is. May be called by any number of threads and processes at
        once: a tenant has at most EACH of the threads, so that slow receivers keep nobody else's messages back.
        """
        with self._lock:
            message = _claim(self._engine, [tenant for tenant, count in self._sending.items() if count >= EACH])
            if message is None:
                return False
            self._sending[message.tenant] += 1
        try:
            outcome = asyncio.run(_post(message, self._private))
            _settle(self._engine, message, outcome)
        finally:
            with self._lock:
                self._sending[message.tenant] -= 1
                self._sending = +self._sending
        log.info(
            "webhook",
            webhook=message.webhook_id,
            message=message.id,
            about=message.about,
            attempt=message.attempt,
            status=outcome.status,
            error=outcome.error,
        )
        return True

    def forget_old(self) -> None:
        """Remove messages that were settled long ago."""
        table = webhook_deliveries
        with write(self._engine) as connection:
            connection.execute(table.delete().where(table.c.due_at.is_(None), table.c.created_at < now() - KEPT))


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    except binascii.Error:
        key = secret.encode()
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _claim(engine: sa.Engine, busy: Collection[str] = ()) -> _Message | None:
    """The message that has been due for longest, of none of the ``busy`` tenants, ours until CLAIM is over."""
    table = webhook_deliveries
    due = (
        sa.select(table, webhooks.c.tenant_id, webhooks.c.url, webhooks.c.secret)
        .join(webhooks, webhooks.c.id == table.c.webhook_id)
        .where(table.c.due_at <= now(), webhooks.c.tenant_id.not_in(busy))
        .order_by(table.c.due_at)
        .limit(1)
    )
    with read(engine) as connection:  # most of the time there is none, and a writer would keep others waiting
        if connection.execute(due).first() is None:
            return None
    with write(engine) as connection:
        row = connection.execute(due.with_for_update(skip_locked=True, of=table)).first()
        if row is None:
            return None
        attempt = row.attempts + 1
        connection.execute(table.update().where(table.c.id == row.id).values(attempts=attempt, due_at=now() + CLAIM))
    about = row.job_id or row.experiment_id
    return _Message(row.id, row.webhook_id, about, row.tenant_id, attempt, row.url, row.secret, row.body)


def _settle(engine: sa.Engine, message: _Message, outcome: _Outcome) -> None:
    table = webhook_deliveries
    given_up = outcome.final or message.attempt > len(BACK_OFF)
    due_at = None if given_up else now() + BACK_OFF[message.attempt - 1]
    values: dict[str, Any] = {"status": outcome.status, "error": outcome.error, "due_at": due_at}
    if outcome.accepted:
        values["delivered_at"] = now()
    with write(engine) as connection:
        connection.execute(
            table.update().where(table.c.id == message.id, table.c.attempts == message.attempt).values(values)
        )
        if due_at is not None:  # a receiver that is down is asked once in a while, not once for every message
            others = (table.c.webhook_id == message.webhook_id, table.c.due_at < due_at)
            connection.execute(table.update().where(*others).values(due_at=due_at))


async def _post(message: _Message, private: bool) -> _Outcome:
    try:
        async with asyncio.timeout(TIMEOUT):
            status = await _send(message, private)
    except TimeoutError:
        return _Outcome(None, f"no answer within {TIMEOUT:g} s")
    except ForbiddenAddress as error:
        return _Outcome(None, str(error))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return _Outcome(None, f"the receiver could not be reached ({_kind(error)})")
    if 200 <= status < 300:
        return _Outcome(status, None)
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    return _Outcome(status, f"the receiver returned {status}{hint}")


def _kind(error: Exception) -> str:
    """What went wrong in a word or two, without the addresses that messages of the system hold."""
    system = error.strerror if isinstance(error, OSError) else None
    return system or type(error).__name__


async def _send(message: _Message, private: bool) -> int:
    """The status of the response. The name is looked up once, and that very address is connected to."""
    parts = check_url(message.url, private=private)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = await resolve(host, port, private=private)
    url = httpx.URL(message.url)
    body = json.dumps(message.body, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = int(time.time())
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": f"hposvc/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(message.secret, message.id, timestamp, body),
    }
    async with (
        httpx.AsyncClient(verify=_trusted(), trust_env=False, follow_redirects=False, timeout=TIMEOUT) as client,
        client.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": url.raw_host.decode()},  # the certificate must be the name's
        ) as response,
    ):
        return response.status_code  # the body is not read


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed. To read them takes tens of milliseconds, in which Python does nothing else."""
    return httpx.create_ssl_context(trust_env=False)
