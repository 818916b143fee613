"""The application: settings in, ASGI out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from sqlalchemy.exc import SQLAlchemyError

from api import dashboard, problem_details
from api.dependencies import Services
from api.guard import Guard, is_loopback
from api.problem_details import MEDIA_TYPE, ProblemDocument
from api.routes import datasets, health, jobs, workers
from hposvc import __version__
from hposvc.datasets.service import Datasets
from hposvc.db.engine import create_engine
from hposvc.jobs.service import Jobs
from hposvc.jobs.spec import JobSpec
from hposvc.settings import Settings
from hposvc.store import Store

log = structlog.get_logger(__name__)

DESCRIPTION = """\
Tunes thousands of hyperparameters at once by gradient. Post a bilevel job, watch its iterations, read the answer.
Every error is a problem document (RFC 9457) that names the field and the remedy. NaN and infinities travel as the
strings "NaN", "Infinity" and "-Infinity"."""


class UnsafeAddressError(ValueError):
    """Without keys the service must not listen where others can reach it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to listen on {host}: nobody is asked for a key, so everybody who reaches it could use the "
            "service. Listen on 127.0.0.1 (HPOSVC_HOST), or set HPOSVC_TRUST_NETWORK=true if only trusted people can."
        )


def create_app(settings: Settings) -> FastAPI:
    """The API with its dashboard, on the database of ``settings``. Raises UnsafeAddressError, DatabaseURLError."""
    if not settings.trust_network and not is_loopback(settings.host):
        raise UnsafeAddressError(settings.host)
    engine = create_engine(settings.database_url)
    kept = Datasets(engine, Store(settings.store_url), settings.data_dir / "uploads")
    held = Services(engine=engine, jobs=Jobs(engine), datasets=kept)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(_tidy_up, held.datasets)
        yield
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
        responses={"4XX": _problem("The request is at fault."), "5XX": _problem("The service is at fault.")},
    )
    app.state.services = held
    app.add_middleware(
        Guard,
        hosts=("*",) if settings.trust_network else (),
        largest={datasets.router.prefix: settings.max_upload_bytes},
    )
    problem_details.install(app)
    for module in (jobs, workers, datasets, health):
        app.include_router(module.router)
    dashboard.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _tidy_up(kept: Datasets) -> None:
    """Remove what an API left half done that was killed on this machine."""
    try:
        removed = kept.sweep()
        if removed:
            log.info("removed uploads that were not finished", datasets=removed)
    except (OSError, SQLAlchemyError) as error:  # the service starts without; the next start tries again
        log.warning("could not look for unfinished uploads", error=str(error))


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the two schemas that no route mentions: the posted body and the error."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            openapi_version="3.1.0",
        )
        schemas = document["components"]["schemas"]
        for name, model in (("JobSpec", JobSpec), ("Problem", ProblemDocument)):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {}) | {name: schema}
        app.openapi_schema = document
    return app.openapi_schema
