"""Sessions of the dashboard, the tenant that asks, and its keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api import examples
from api.dependencies import Caller, Engine, Held, Tenant, body
from api.http.problem_details import HTTPProblem
from api.http.routing import InTurn
from api.middleware.auth import COOKIE, cookie, no_key, shown
from hposvc.access import keys, tenants
from hposvc.access.keys import SESSION_SECONDS, Identity
from hposvc.schema.access import SCOPES, KeyRequest, KeyResource, NewKey, Scope, TenantResource
from hposvc.schema.resource import Resource

router = APIRouter(tags=["access"], route_class=InTurn)

KeyId = Annotated[
    str, Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.KEY_ID], description="The id of the key.")
]


class SessionResource(Resource):
    """Who is signed in."""

    tenant: str
    """Id of the tenant."""
    key: str | None
    """The name of the key. null: the service asks for no key, because none was ever made."""
    scopes: list[Scope]
    """What the key allows, from `read` to `admin`."""


class KeyList(Resource):
    """The keys of a tenant."""

    items: list[KeyResource]
    """The keys, oldest first, revoked ones included."""


@router.post(
    "/v1/session",
    status_code=201,
    summary="Sign in",
    response_model=SessionResource,
    responses={201: examples.answer(examples.SESSION, "Signed in; the cookie is HttpOnly and SameSite=Strict.")},
)
def sign_in(request: Request, held: Held, caller: Caller) -> Response:
    """Trade the key in the Authorization header for a cookie of twelve hours, so that no page needs to keep the key."""
    answer = _session(held, caller)
    if caller.key_id and not (shown(request.headers) or "").startswith(keys.PREFIX):
        raise no_key(given=False)  # a session that makes another would outlive its end
    response = Response(answer.model_dump_json(), 201, media_type="application/json")
    if caller.key_id:
        response.set_cookie(
            COOKIE,
            keys.Keys(held.engine).begin_session(caller),
            max_age=int(SESSION_SECONDS),
            path=held.root_path or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response


@router.get(
    "/v1/session",
    summary="Who am I?",
    response_model=SessionResource,
    responses={200: examples.answer(examples.SESSION, "The key or session that was shown.")},
)
def get_session(held: Held, caller: Caller) -> SessionResource:
    """The tenant, the key's name and what it allows."""
    return _session(held, caller)


@router.delete("/v1/session", status_code=204, summary="Sign out", responses={204: {"description": "Signed out."}})
def sign_out(request: Request, held: Held) -> Response:
    """End the session of the cookie, here and everywhere; without one, nothing happens."""
    token = cookie(request.headers)
    if token is not None:
        keys.Keys(held.engine).end_session(token)
        held.gatekeeper.forget()
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=held.root_path or "/", httponly=True, samesite="strict")
    return response


@router.get(
    "/v1/tenant",
    summary="Get the tenant and its quotas",
    responses={200: examples.answer(examples.TENANT, "What is used, and of how much.")},
)
def get_tenant(held: Held, tenant: Tenant) -> TenantResource:
    """The tenant whose key is shown."""
    return tenants.describe(held.engine, tenant, held.quotas)


@router.get("/v1/keys", summary="List keys", responses={200: examples.answer(examples.KEYS, "Revoked ones, too.")})
def list_keys(engine: Engine, tenant: Tenant) -> KeyList:
    """The keys of the tenant, without what opens the service. Takes the scope admin."""
    return KeyList(items=keys.list_(engine, tenant=tenant))


@router.post(
    "/v1/keys",
    status_code=201,
    summary="Make a key",
    response_model=NewKey,
    responses={201: examples.answer(examples.NEW_KEY, "The key is shown this once.", ("Location",))},
    openapi_extra=examples.posted("KeyRequest", examples.KEY_REQUEST),
)
def create_key(
    engine: Engine, caller: Caller, tenant: Tenant, request: Annotated[KeyRequest, body(KeyRequest)]
) -> Response:
    """Make a key of this tenant. Takes a key with the scope admin: the first one is made by `hposvc keys create`."""
    if not caller.key_id:  # anybody: whoever came first could shut all others out
        detail = "The first key is made on the machine of the service: `hposvc keys create --scope admin --name …`."
        raise HTTPProblem("missing-scope", detail)
    made, token = keys.Keys(engine).create(tenant=tenant, name=request.name, scope=request.scope)
    answer = NewKey(**made.model_dump(), key=token)
    headers = {"Location": f"/v1/keys/{made.id}", "Cache-Control": "no-store"}
    return Response(answer.model_dump_json(), 201, media_type="application/json", headers=headers)


@router.get(
    "/v1/keys/{key_id}", summary="Get a key", responses={200: examples.answer(examples.KEY, "Without what opens.")}
)
def get_key(key_id: KeyId, engine: Engine, tenant: Tenant) -> KeyResource:
    """One key of the tenant. Takes the scope admin."""
    return keys.get(engine, key_id, tenant=tenant)


@router.delete(
    "/v1/keys/{key_id}",
    summary="Revoke a key",
    responses={200: examples.answer(examples.REVOKED_KEY, "Revoked; within five seconds everywhere.")},
)
def revoke_key(key_id: KeyId, held: Held, tenant: Tenant) -> KeyResource:
    """The key opens nothing any more, and its sessions are over. Takes the scope admin; safe to repeat."""
    revoked = keys.Keys(held.engine).revoke(key_id, tenant=tenant)
    held.gatekeeper.forget()
    return revoked


def _session(held: Held, caller: Identity) -> SessionResource:
    if not caller.key_id and held.gatekeeper.asks():
        raise no_key(given=False)
    scopes = sorted(caller.scopes, key=SCOPES.index)
    return SessionResource(tenant=caller.tenant, key=caller.name if caller.key_id else None, scopes=scopes)
