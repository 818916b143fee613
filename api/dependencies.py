"""What routes need: the jobs service, the database, the checked parts of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Header, Request

from api.http.body import Body, read, receive
from api.http.problem_details import invalid_body
from api.http.validation import Model, parse_body, parse_spec
from api.live import Live
from api.metrics import ApiMetrics
from api.middleware.auth import Gatekeeper
from api.staging import Staging
from api.turns import Work
from hposvc.access.keys import Identity
from hposvc.access.tenants import Quotas
from hposvc.datasets.service import Datasets
from hposvc.experiments.service import Experiments
from hposvc.jobs.service import Jobs
from hposvc.reviews.service import Reviews
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store

LONGEST_WAIT = 60  # seconds; proxies give up on a response not much later


@dataclass(frozen=True)
class Services:
    """What the application holds for all requests."""

    engine: sa.Engine
    jobs: Jobs
    experiments: Experiments
    datasets: Datasets
    reviews: Reviews
    store: Store
    metrics: ApiMetrics
    gatekeeper: Gatekeeper
    live: Live
    work: Work
    staging: Staging
    quotas: Quotas
    webhooks_private: bool
    root_path: str


def services(request: Request) -> Services:
    """The services of the application that got the request."""
    held: Services = request.app.state.services
    return held


# Those that only pick something out are async: FastAPI calls others on a thread.
async def _services(request: Request) -> Services:
    return services(request)


async def _engine(request: Request) -> sa.Engine:
    return services(request).engine


async def _jobs(request: Request) -> Jobs:
    return services(request).jobs


async def _experiments(request: Request) -> Experiments:
    return services(request).experiments


async def _datasets(request: Request) -> Datasets:
    return services(request).datasets


async def _reviews(request: Request) -> Reviews:
    return services(request).reviews


async def _store(request: Request) -> Store:
    return services(request).store


async def _metrics(request: Request) -> ApiMetrics:
    return services(request).metrics


def caller(request: Request) -> Identity:
    """The identity of the key in the request."""
    identity: Identity = request.state.caller
    return identity


async def _tenant(request: Request) -> str:
    return caller(request).tenant


async def _caller(request: Request) -> Identity:
    return caller(request)


async def _version(if_match: IfMatch = None) -> int | None:
    """The version that a change is meant for; None for whichever there is, -1 for what is the ETag of no job."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = re.fullmatch(r'"([0-9]{1,18})"', if_match.strip())
    return int(tag[1]) if tag else -1


def asked_to_wait(prefer: str | None) -> int:
    """The seconds of ``wait=`` in a Prefer header (RFC 7240), at most LONGEST_WAIT; 0 if there is none."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isdecimal():
            return min(int(value[:9]), LONGEST_WAIT)
    return 0


def body(model: type[Model]) -> Any:
    """A dependency: the request's JSON or YAML body as ``model``, wrong fields explained."""

    async def parsed(request: Request) -> Model:
        received = await receive(request)
        read_ = partial(_body, model, received)
        return await services(request).work.documents.run(caller(request).tenant, read_)

    return Depends(parsed)


def _body(model: type[Model], received: Body) -> Model:
    return parse_body(model, read(received, invalid_body))


async def _spec(request: Request) -> JobSpec:
    received = await receive(request)
    return await services(request).work.documents.run(caller(request).tenant, lambda: parse_spec(read(received)))


IfMatch = Annotated[
    str | None,
    Header(
        max_length=200,
        examples=['"7"'],
        description="The ETag that the change is meant for: 412 if there is another one by now. By default any.",
    ),
]
Engine = Annotated[sa.Engine, Depends(_engine)]
JobsService = Annotated[Jobs, Depends(_jobs)]
ExperimentsService = Annotated[Experiments, Depends(_experiments)]
DatasetsService = Annotated[Datasets, Depends(_datasets)]
ReviewsService = Annotated[Reviews, Depends(_reviews)]
ArtifactStore = Annotated[Store, Depends(_store)]
Metrics = Annotated[ApiMetrics, Depends(_metrics)]
Spec = Annotated[JobSpec, Depends(_spec)]
Held = Annotated[Services, Depends(_services)]
Caller = Annotated[Identity, Depends(_caller)]
Tenant = Annotated[str, Depends(_tenant)]
Version = Annotated[int | None, Depends(_version)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A text of your choice, new for each job or experiment. A request that is repeated with the same "
        "key makes no second one: it returns the first.",
    ),
]
# OpenAPI says by the media types of the responses what it takes, and knows no parameter of this name.
Accept = Annotated[str | None, Header(max_length=1000, include_in_schema=False)]
Prefer = Annotated[
    str | None,
    Header(
        max_length=200,
        examples=["wait=30"],
        description="`wait=SECONDS`: respond when something has changed, or after that time, at most 60 seconds. By "
        "default at once.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        min_length=3,
        max_length=32,
        pattern=r"^[0-9]{1,15}\.-?[0-9]{1,15}$",
        examples=["4.120"],
        description="The id of the last event that came: a stream goes on after it. By default `after` says where "
        "it begins.",
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(description="The ETag of an earlier response: 304 if nothing has changed since.")
]
