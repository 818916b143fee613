"""The application: settings in, ASGI out."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
import structlog
from anyio import to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from api import dashboard
from api.background import Repeated
from api.dependencies import Services
from api.http import problem_details
from api.http.problem_details import MEDIA_TYPE, ProblemDocument
from api.live import Live
from api.metrics import ApiMetrics
from api.middleware.auth import COOKIE, OPEN, Access, Gatekeeper
from api.middleware.guard import Guard, is_loopback
from api.middleware.head import Head
from api.middleware.observing import Observing
from api.middleware.prefix import Prefix
from api.routes import (
    access,
    compare,
    datasets,
    experiments,
    health,
    hyperparameters,
    job_data,
    jobs,
    metrics,
    notes,
    predictions,
    problems,
    reviews,
    webhooks,
    workers,
)
from api.staging import Staging
from api.turns import Work
from hposvc import __version__
from hposvc.access import keys
from hposvc.access.tenants import defaults
from hposvc.copyable import Copyable
from hposvc.datasets.service import Datasets
from hposvc.db.engine import create_engine
from hposvc.experiments.advance import Advancing
from hposvc.experiments.service import Experiments
from hposvc.fleet import counts
from hposvc.jobs.removal import Removal
from hposvc.jobs.service import Jobs
from hposvc.reviews.service import Reviews
from hposvc.schema.access import KeyRequest
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.job import JobUpdate
from hposvc.schema.notes import NotesRequest
from hposvc.schema.reviews import DecisionsRequest, OneDecisionRequest
from hposvc.schema.spec import JobSpec
from hposvc.schema.webhooks import WebhookRequest
from hposvc.settings import Settings
from hposvc.storage.store import Store
from hposvc.webhooks.sender import Sender

log = structlog.get_logger(__name__)

STREAMING_THREADS = 8  # for the next piece of a file or a long table, and for pages
UPLOADS_AT_ONCE = 2  # of the largest size, that a tenant may have under way
ADVANCE_SECONDS = 0.5  # between two steps of the experiments
SENDERS = 8  # webhooks that are told at the same time by one process

DESCRIPTION = """\
Tunes thousands of hyperparameters at once by gradient. Post a bilevel job, watch its iterations, read the answer.
Every error is a problem document (RFC 9457) that names the field and the remedy. NaN and infinities travel as the
strings "NaN", "Infinity" and "-Infinity"."""


# Schemas that no route mentions: bodies, which are read by hand so that every wrong field is explained; and errors.
POSTED: dict[str, type[BaseModel]] = {
    "JobSpec": JobSpec,
    "JobUpdate": JobUpdate,
    "ExperimentSpec": ExperimentSpec,
    "KeyRequest": KeyRequest,
    "NotesRequest": NotesRequest,
    "DecisionsRequest": DecisionsRequest,
    "OneDecisionRequest": OneDecisionRequest,
    "WebhookRequest": WebhookRequest,
    "Problem": ProblemDocument,
}


class UnsafeAddressError(Copyable, ValueError):
    """Without keys the service must not listen where others can reach it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to listen on {host}: there is no key yet, so everybody who reaches it could use the service. "
            "Make one (`hposvc keys create`), listen on 127.0.0.1 (HPOSVC_HOST), or set HPOSVC_TRUST_NETWORK=true if "
            "only trusted people can reach it."
        )


def create_app(settings: Settings) -> FastAPI:
    """The API with its dashboard, on the database of ``settings``. Raises UnsafeAddressError, DatabaseURLError."""
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps what a data set took while it was checked
    engine = create_engine(settings.database_url)
    exposed = not settings.trust_network and not is_loopback(settings.host)
    if exposed and not _has_keys(engine):
        engine.dispose()
        raise UnsafeAddressError(settings.host)
    quotas = defaults(settings)
    store = Store(settings.store_url)
    work = Work()
    kept = Datasets(engine, store, settings.data_dir / "uploads", quotas=quotas)
    jobs_ = Jobs(engine, quotas=quotas)
    held = Services(
        engine=engine,
        jobs=jobs_,
        experiments=Experiments(engine, jobs_, quotas=quotas),
        datasets=kept,
        reviews=Reviews(engine, kept),
        store=store,
        metrics=ApiMetrics(lambda: counts.take(engine)),
        gatekeeper=Gatekeeper(engine, always=exposed),
        live=Live(engine, settings.max_streams, work.live),
        work=work,
        staging=Staging(UPLOADS_AT_ONCE * settings.max_upload_bytes),
        quotas=quotas,
        webhooks_private=settings.webhooks_private,
        root_path=settings.root_path,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = STREAMING_THREADS
        await to_thread.run_sync(_tidy_up, held.datasets)
        background = _background(held, store)
        for repeated in background:
            repeated.start()
        yield
        for repeated in background:
            await to_thread.run_sync(repeated.stop)
        with suppress(sa.exc.SQLAlchemyError):
            await to_thread.run_sync(held.gatekeeper.note_use)
        engine.dispose()

    app = FastAPI(
        title="hposvc",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the stock pages load scripts from elsewhere; ours is the dashboard's /docs
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,  # short operationIds, for clients that are generated
        responses={"4XX": _problem("The request is at fault."), "5XX": _problem("The service is at fault.")},
    )
    app.state.services = held
    app.add_middleware(Head)
    app.add_middleware(
        Access, gatekeeper=held.gatekeeper, turns=work.access, requests_per_second=settings.quota_requests_per_second
    )
    app.add_middleware(
        Guard,
        hosts=_hosts(settings),
        addresses=not is_loopback(settings.host),
        largest={
            datasets.router.prefix: settings.max_upload_bytes,
            f"{predictions.router.prefix}/*/predictions": settings.max_upload_bytes,
        },
    )
    app.add_middleware(Observing, metrics=held.metrics)
    if settings.root_path:
        app.add_middleware(Prefix, root=settings.root_path)  # the last one added stands outermost
    problem_details.install(app, settings.root_path)
    for module in (
        jobs,
        job_data,
        notes,
        predictions,
        hyperparameters,
        compare,
        experiments,
        workers,
        problems,
        datasets,
        reviews,
        access,
        webhooks,
        health,
        metrics,
    ):
        app.include_router(module.router)
    dashboard.install(app, settings.root_path)
    app.openapi = lambda: _openapi(app, settings.root_path)  # type: ignore[method-assign]
    return app


def _tidy_up(kept: Datasets) -> None:
    """Remove what an API left half done that was killed on this machine."""
    try:
        removed = kept.sweep()
        if removed:
            log.info("removed uploads that were not finished", datasets=removed)
    except (OSError, SQLAlchemyError) as error:  # the service starts without; the next start tries again
        log.warning("could not look for unfinished uploads", error=str(error))


def _has_keys(engine: sa.Engine) -> bool:
    try:
        return keys.exist(engine)
    except sa.exc.SQLAlchemyError:  # no database, or one without tables
        return False


def _hosts(settings: Settings) -> tuple[str, ...]:
    """The host names to serve: those of the settings, and where others may reach this machine, its own.

    Names are looked at even where the network is trusted: a browser in it can be led here by a page from elsewhere.
    """
    named = [name.strip().lower() for name in settings.hosts.split(",") if name.strip()]
    own = [] if is_loopback(settings.host) else [settings.host.lower(), socket.gethostname().lower()]
    return (*named, *own)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out, but there is no null in a URL or a header: it would be the text "null"."""
    variants: list[dict[str, Any]] = [variant for variant in schema.get("anyOf", []) if variant != {"type": "null"}]
    if len(variants) != 1:
        return schema
    return variants[0] | {name: value for name, value in schema.items() if name not in ("anyOf", "default")}


def _background(held: Services, store: Store) -> list[Repeated]:
    """What this process does besides requests."""
    removal, sender = Removal(held.engine, store), Sender(held.engine, private=held.webhooks_private)

    def tidy() -> None:
        held.gatekeeper.note_use()
        removal.purge()
        sender.forget_old()

    senders = [Repeated(f"webhooks-{number}", sender.deliver_next, 2.0) for number in range(SENDERS)]
    advancing = Advancing(held.engine, held.jobs)
    return [Repeated("tidy", tidy, 30.0), Repeated("experiments", advancing.advance, ADVANCE_SECONDS), *senders]


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _openapi(app: FastAPI, root: str) -> dict[str, Any]:
    """The OpenAPI document, with the schemas that no route mentions."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
            servers=[{"url": root}] if root else None,
        )
        schemas = document["components"]["schemas"]
        for name, model in POSTED.items():
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {}) | {name: schema}
        document["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "A key, as `hposvc keys create` makes them."},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The dashboard's session."},
        }
        document["security"] = [{"key": []}, {"session": []}, {}]  # {}: until the first key is made
        for path, operations in document["paths"].items():
            for call in operations.values():
                if path in OPEN:
                    call["security"] = []
                for parameter in call.get("parameters", []):
                    parameter["schema"] = _without_null(parameter["schema"])
        app.openapi_schema = document
    return app.openapi_schema
