"""Webhooks: where the end of a tenant's jobs is told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import examples
from api.dependencies import Engine, Held, Tenant, body
from api.http.routing import InTurn
from hposvc.schema.resource import Resource
from hposvc.schema.webhooks import DeliveryResource, NewWebhook, WebhookRequest, WebhookResource
from hposvc.webhooks import service

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=InTurn)

WebhookId = Annotated[
    str,
    Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.WEBHOOK_ID], description="The id of the webhook."),
]


class WebhookList(Resource):
    """The webhooks of a tenant."""

    items: list[WebhookResource]
    """The webhooks, oldest first."""


class DeliveryList(Resource):
    """The messages to a webhook."""

    items: list[DeliveryResource]
    """The messages, newest first. Those that are settled are kept for 30 days."""


@router.get("", summary="List webhooks", responses={200: examples.answer(examples.WEBHOOKS, "Without their secrets.")})
def list_webhooks(engine: Engine, tenant: Tenant) -> WebhookList:
    """Where the end of the tenant's jobs is told. Takes the scope admin."""
    return WebhookList(items=service.list_(engine, tenant))


@router.post(
    "",
    status_code=201,
    summary="Add a webhook",
    response_model=NewWebhook,
    responses={201: examples.answer(examples.NEW_WEBHOOK, "The secret is shown this once.", ("Location",))},
    openapi_extra=examples.posted("WebhookRequest", examples.WEBHOOK_REQUEST),
)
def add_webhook(held: Held, tenant: Tenant, request: Annotated[WebhookRequest, body(WebhookRequest)]) -> Response:
    """Tell the end of every job of the tenant to a URL, signed as standardwebhooks.com has it. Takes the scope admin.

    A message that is not accepted with a status of 2xx within 15 seconds is sent again, over two days.
    """
    made = service.Webhooks(held.engine).add(tenant, request.url, secret=request.secret, private=held.webhooks_private)
    headers = {"Location": f"/v1/webhooks/{made.id}/deliveries", "Cache-Control": "no-store"}
    return Response(made.model_dump_json(), 201, media_type="application/json", headers=headers)


@router.delete(
    "/{webhook_id}", status_code=204, summary="Remove a webhook", responses={204: {"description": "Removed."}}
)
def remove_webhook(webhook_id: WebhookId, engine: Engine, tenant: Tenant) -> Response:
    """Nothing is told there any more, what still waits included. Takes the scope admin."""
    service.Webhooks(engine).remove(tenant, webhook_id)
    return Response(status_code=204)


@router.get(
    "/{webhook_id}/deliveries",
    summary="List what was told",
    responses={200: examples.answer(examples.DELIVERIES, "Newest first; settled ones are kept for 30 days.")},
)
def list_deliveries(
    webhook_id: WebhookId,
    engine: Engine,
    tenant: Tenant,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most this many messages, the newest.")] = 50,
) -> DeliveryList:
    """Each message: whether it was accepted, what the receiver returned, when it is sent again. Takes scope admin."""
    return DeliveryList(items=service.deliveries(engine, tenant, webhook_id, limit=limit))
