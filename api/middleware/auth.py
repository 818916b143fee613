"""Who asks: a key in the Authorization header or a session's cookie, checked before any route sees the request.

Nothing is open unless it is named here: a route that is added needs a key without having to ask for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from functools import partial
from http.cookies import CookieError, SimpleCookie
from threading import Lock
from urllib.parse import quote

import sqlalchemy as sa
import structlog
from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problem_details import HTTPProblem, to_problem
from api.middleware.limits import TokenBuckets
from api.turns import Turns
from hposvc.access import keys
from hposvc.access.keys import Identity
from hposvc.db.tables import DEFAULT_TENANT
from hposvc.schema.access import SCOPES
from hposvc.schema.access import Scope as Allowed

audit = structlog.get_logger("hposvc.audit")

COOKIE = "hposvc_session"
OPEN = ("/healthz", "/readyz", "/login", "/docs", "/openapi.json", "/v1/session")
OPEN_BELOW = ("/problems/", "/static/")
# What else than looking takes the scope ``admin``; everything else that changes something takes ``submit``.
ADMINISTRATION = ("/v1/keys", "/v1/webhooks")
# What all tenants share: only keys of the default tenant work there, which belongs to the people who run the service.
SHARED = ("/metrics",)
SHARED_IF_CHANGED = ("/v1/workers",)
READING = frozenset({"GET", "HEAD", "OPTIONS"})
TRUSTED_SECONDS = 5.0  # for so long a key is not looked up again
LOOK_SECONDS = 1.0  # so often the database is asked whether the first key was made
UNAUTHENTICATED_PER_SECOND = 10.0  # failed attempts of one address

ANYBODY = Identity("", "anybody", DEFAULT_TENANT, frozenset(SCOPES), None)


@dataclass
class Gatekeeper:
    """What one process knows about keys: whether they are asked for, whose they are, which were used."""

    engine: sa.Engine
    always: bool  # ask for a key even before the first one was made
    _asked_for: bool = False
    _looked: float = -math.inf
    _known: dict[str, tuple[float, Identity]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def remembered(self) -> bool | None:
        """Whether callers need a key, as far as that is known without asking the database; None if it must be asked."""
        if self.always or self._asked_for:
            return True
        return False if time.monotonic() - self._looked < LOOK_SECONDS else None

    def asks(self) -> bool:
        """Whether callers need a key. Once they do, they always will."""
        known = self.remembered()
        if known is None:
            known = self._asked_for = keys.exist(self.engine)
            self._looked = time.monotonic()
        return known

    def recognized(self, token: str) -> Identity | None:
        """Whose key or session this is, if it was seen in the last seconds."""
        at, identity = self._known.get(keys.digest(token), (-math.inf, None))
        return self._uses(identity) if time.monotonic() - at < TRUSTED_SECONDS else None

    def tenant_before(self, token: str) -> str | None:
        """Whose key this was when it was last looked up; None for one that was not seen."""
        found = self._known.get(keys.digest(token))
        return None if found is None else found[1].tenant

    def identify(self, token: str) -> Identity | None:
        """Whose key or session this is, asked of the database; None for one that opens nothing."""
        identity = keys.identify(self.engine, token)
        if identity is not None:
            with self._lock:
                if len(self._known) > 10_000:
                    self._known.clear()
                self._known[keys.digest(token)] = (time.monotonic(), identity)
        return self._uses(identity)

    def _uses(self, identity: Identity | None) -> Identity | None:
        if identity is not None:
            with self._lock:
                self._used.add(identity.key_id)
        return identity

    def forget(self) -> None:
        """Ask the database anew about every key: one was revoked, or a session ended."""
        with self._lock:
            self._known.clear()

    def note_use(self) -> None:
        """Write down which keys were used since the last time."""
        with self._lock:
            used, self._used = self._used, set()
        if used:
            keys.Keys(self.engine).note_use(used)


class Access:
    """ASGI middleware: finds the tenant of a key, refuses what it does not allow, limits the rate, logs changes."""

    def __init__(self, app: ASGIApp, gatekeeper: Gatekeeper, turns: Turns, requests_per_second: float | None) -> None:
        self.app = app
        self.gatekeeper = gatekeeper
        self.turns = turns
        self.requests_per_second = requests_per_second
        self.buckets = TokenBuckets()
        self.looking: dict[str, asyncio.Future[Identity | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with a problem, or pass the request on with ``request.state.caller``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except HTTPProblem as problem:
            await self._refusal(scope, problem)(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a problem document
            await to_problem(Request(scope), error).response(scope["path"])(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        if scope["method"] in READING:
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, _audited(scope, caller, send))

    async def _caller(self, scope: Scope) -> Identity:
        path = scope["path"]
        open_ = path in OPEN or path.startswith(OPEN_BELOW)
        if open_ and path != "/v1/session":
            return ANYBODY
        asks = self.gatekeeper.remembered()
        if asks is None:
            asks = await self.turns.run(_address(scope), self.gatekeeper.asks)
        if not asks:
            return ANYBODY
        token = shown(Headers(scope=scope))
        if path == "/v1/session" and token is None:
            return ANYBODY
        identity = None
        if token is not None:
            identity = self.gatekeeper.recognized(token) or await self._looked_up(scope, token)
        if identity is None:
            self._slow_down(scope, path)
            raise no_key(token is not None)
        rate = identity.requests_per_second or self.requests_per_second
        if rate is not None and (wait := self.buckets.take(identity.tenant, rate, max(1, 10 * rate))):
            raise too_many(f"More than {rate:g} requests a second were sent with the keys of {identity.tenant}.", wait)
        needed = needs(scope["method"], path)
        if needed not in identity.scopes:
            raise HTTPProblem(
                "missing-scope",
                f"{scope['method']} {path} needs a key with the scope {needed!r}; this one has "
                f"{', '.join(sorted(identity.scopes, key=SCOPES.index))}.",
            )
        if is_shared(scope["method"], path) and identity.tenant != DEFAULT_TENANT:
            raise HTTPProblem(
                "missing-scope",
                f"{scope['method']} {path} is about all tenants: it takes a key of the tenant {DEFAULT_TENANT!r}, "
                "which whoever runs the service has.",
            )
        return identity

    async def _looked_up(self, scope: Scope, token: str) -> Identity | None:
        """Whose key it is: one look for all requests that show it meanwhile, in the turn of its tenant if it is known.

        Whoever sends many requests shares an address with others behind a proxy, but no key.
        """
        digest = keys.digest(token)
        look = self.looking.get(digest)
        if look is None:
            turn = self.gatekeeper.tenant_before(token) or f"~{_address(scope)}"
            look = asyncio.ensure_future(self.turns.run(turn, partial(self.gatekeeper.identify, token)))
            self.looking[digest] = look
            look.add_done_callback(lambda done: self._forget(digest, done))
        return await asyncio.shield(look)

    def _forget(self, digest: str, look: asyncio.Future[Identity | None]) -> None:
        del self.looking[digest]
        if not look.cancelled():
            look.exception()  # it is known to those who still wait, if any do

    def _slow_down(self, scope: Scope, path: str) -> None:
        """Count a request without a valid key; raise HTTPProblem when an address sends too many."""
        if path.startswith("/v1") and (
            wait := self.buckets.take(f"~{_address(scope)}", UNAUTHENTICATED_PER_SECOND, 100)
        ):
            raise too_many("Too many requests without a key that opens anything came from your address.", wait)

    def _refusal(self, scope: Scope, problem: HTTPProblem) -> Response:
        """The problem; a person who opens a page of the dashboard is shown where to sign in instead."""
        path = scope["path"]
        page = scope["method"] == "GET" and not path.startswith("/v1/")
        if problem.status == 401 and page and "text/html" in Headers(scope=scope).get("accept", ""):
            return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303, headers={"Cache-Control": "no-store"})
        return problem.response(path)


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def needs(method: str, path: str) -> Allowed:
    """The scope that a call takes."""
    if _below(path, ADMINISTRATION) or (_below(path, SHARED_IF_CHANGED) and method not in READING):
        return "admin"
    return "read" if method in READING or path == "/v1/session" else "submit"


def is_shared(method: str, path: str) -> bool:
    """Whether a call is about what belongs to no tenant."""
    return _below(path, SHARED) or (_below(path, SHARED_IF_CHANGED) and method not in READING)


def _below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def shown(headers: Headers) -> str | None:
    """The key or the cookie that a request shows. Raises HTTPProblem for an Authorization header that is no key."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > 500 or not token.isascii():
            raise HTTPProblem(
                "invalid-key",
                "The Authorization header is not `Bearer KEY`.",
                headers={"WWW-Authenticate": 'Bearer realm="hposvc", error="invalid_request"'},
            )
        return token
    return cookie(headers)


def cookie(headers: Headers) -> str | None:
    """The value of the session's cookie."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    value = morsel.value if morsel else ""
    return value if 0 < len(value) <= 500 and not value.startswith(keys.PREFIX) else None


def no_key(given: bool) -> HTTPProblem:
    """The problem of a request without a valid key."""
    if given:
        detail = "The key, or the session, is not known here; it may have been revoked, or be over."
        return HTTPProblem(
            "invalid-key", detail, headers={"WWW-Authenticate": 'Bearer realm="hposvc", error="invalid_token"'}
        )
    detail = "This service asks for a key, and the request shows none."
    return HTTPProblem("missing-key", detail, headers={"WWW-Authenticate": 'Bearer realm="hposvc"'})


def too_many(detail: str, wait: float) -> HTTPProblem:
    """Come back later."""
    return HTTPProblem("too-many-requests", detail, headers={"Retry-After": str(max(1, round(wait + 0.5)))})


def _audited(scope: Scope, caller: Identity, send: Send) -> Send:
    """Log each request that could change something: tenant, key, call, what was made, status."""

    async def audited(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            audit.info(
                "audit",
                tenant=caller.tenant,
                key=caller.key_id or None,
                who=caller.name,
                method=scope["method"],
                path=scope["path"],
                made=headers.get("location"),
                status=message["status"],
            )
        await send(message)

    return audited
