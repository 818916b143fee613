"""Every error as a problem document (RFC 9457, ``application/problem+json``): what, where, and how to mend it.

A problem's ``type`` is a relative URI that stays the same for ever; a page at that address explains it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from sqlalchemy.exc import DataError as UnstorableError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.http.problem_types import TYPES
from api.middleware.headers import SECURITY_HEADERS
from hposvc.access.keys import KeyNotFound
from hposvc.access.tenants import QuotaExceeded
from hposvc.copyable import Copyable
from hposvc.datasets.errors import DatasetConflict, DatasetInUse, DatasetNotFound
from hposvc.experiments.errors import ExperimentChanged, ExperimentConflict, ExperimentNotFound, KeyReused
from hposvc.fleet.workers import WorkerNotFound
from hposvc.jobs.notes import NotesConflict
from hposvc.jobs.service import IdempotencyConflict, IllegalTransition, JobNotFinished, JobNotFound, VersionConflict
from hposvc.reviews.errors import BatchNotFound, DecidedMeanwhile, NotReviewable
from hposvc.schema.described import Described
from hposvc.schema.paging import InvalidPageToken
from hposvc.storage import aws_credentials
from hposvc.storage.store import StoreError
from hposvc.tables.defects import DataError
from hposvc.webhooks.addresses import ForbiddenAddress
from hposvc.webhooks.service import TooManyWebhooks, WebhookNotFound

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20  # that one problem lists
LONGEST = 1000  # characters of a message or a remedy


class FieldError(Described):
    """One thing wrong in the request."""

    field: str
    """Path of the field in the body, such as `solver.lower.steps`, or the name of the parameter or header."""
    message: str
    """What is wrong with it."""
    remedy: str
    """What to do about it."""
    value: str | float | int | bool | None = None
    """What was sent, cut off after 100 characters. Absent where it was not a text, a number or a truth value."""


class ProblemDocument(Described):
    """The body of every error (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str
    """Which kind of error it is: the path of a page that explains it. It never changes, so programs can rely on it."""
    title: str
    """The kind of error in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong this time."""
    instance: str | None = None
    """The path of the request."""
    errors: list[FieldError] = Field([])
    """What is wrong, field by field: the first twenty errors. Absent where no field is to blame."""


class HTTPProblem(Copyable, Exception):
    """An error on its way to the client; ``extra`` members stand beside the standard ones in the document."""

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: str | list[str],
    ) -> None:
        super().__init__(detail)
        self.kind = TYPES[slug]
        self.detail = detail
        self.errors = list(errors[:MOST_ERRORS])
        self.status = status or self.kind.status
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self, instance: str, root: str = "") -> JSONResponse:
        """The document as an ASGI application; ``instance`` is the path that was asked for, below ``root``."""
        content: dict[str, Any] = {
            "type": root + self.kind.uri,
            "title": self.kind.title,
            "status": self.status,
            "detail": self.detail,
            "instance": root + instance,
        }
        if self.errors:
            content["errors"] = [error.model_dump(exclude_unset=True) for error in self.errors]
        return JSONResponse(content | self.extra, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def field_error(field: str, message: str, remedy: str, value: object = None) -> FieldError:
    """A field error that shows the offending value, if it is a scalar, in a form that JSON can hold."""
    field, message, remedy = _short(field, 200), _short(message, LONGEST), _short(remedy, LONGEST)
    if isinstance(value, str):
        value = _short(value, 100)
    elif isinstance(value, float) and not math.isfinite(value):
        value = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**53):
        return FieldError(field=field, message=message, remedy=remedy, value=value)
    return FieldError(field=field, message=message, remedy=remedy)


def _short(text: str, most: int) -> str:
    """The text cut off, in characters that JSON can hold."""
    text = text[: most + 1].encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else text[: most - 1] + "…"


def _first_of(errors: Sequence[FieldError]) -> str:
    """The first error in words, and how many there are beside it."""
    first = f"{errors[0].field}: {errors[0].message}" if errors[0].field else errors[0].message
    if len(errors) > MOST_ERRORS:
        return f"{first} (and more; the first {MOST_ERRORS} errors are listed)"
    return first + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def invalid_spec(errors: Sequence[FieldError]) -> HTTPProblem:
    """The job cannot be accepted as it stands."""
    return HTTPProblem("invalid-spec", _first_of(errors), errors=errors)


def invalid_dataset(error: DataError) -> HTTPProblem:
    """The file cannot be kept as a data set."""
    errors = [field_error(found.field, found.message, found.remedy) for found in error.defects[: MOST_ERRORS + 1]]
    return HTTPProblem("invalid-dataset", _first_of(errors), errors=errors)


def invalid_body(errors: Sequence[FieldError]) -> HTTPProblem:
    """A body other than a job's cannot be accepted as it stands."""
    return HTTPProblem("invalid-body", _first_of(errors), errors=errors)


def to_problem(request: Request, error: Exception) -> HTTPProblem:
    """The problem of an exception outside of all routes; one that was not expected is logged."""
    for kind, convert in CONVERSIONS.items():
        if isinstance(error, kind):
            return convert(request, error)
    log.error("a defect", path=request.url.path, exc_info=error)
    return _crashed(request, error)


def install(app: FastAPI, root: str) -> None:
    """Turn every exception that leaves a route into a problem document. A proxy puts ``root`` before all paths."""

    def handler(convert: Callable[[Request, Any], HTTPProblem]) -> Callable[[Request, Exception], JSONResponse]:
        return lambda request, error: convert(request, error).response(request.url.path)

    for kind, convert in CONVERSIONS.items():
        app.add_exception_handler(kind, handler(convert))
    app.add_exception_handler(Exception, lambda request, error: _from_crash(request, error, root))


def _from_data(_: Request, error: DataError) -> HTTPProblem:
    return invalid_spec(
        [field_error(found.field, found.message, found.remedy) for found in error.defects[: MOST_ERRORS + 1]]
    )


def _from_parameters(_: Request, error: RequestValidationError) -> HTTPProblem:
    errors = [
        field_error(
            str(item["loc"][1] if len(item["loc"]) > 1 else ""),
            item["msg"],
            "See /docs for what it takes.",
            item["input"],
        )
        for item in error.errors()[:MOST_ERRORS]
    ]
    return HTTPProblem(
        "invalid-parameter", "; ".join(f"{item.field}: {item.message}" for item in errors), errors=errors
    )


def _from_http(request: Request, error: HTTPException) -> HTTPProblem:
    path, headers = request.url.path, error.headers or {}
    if error.status_code == 404:
        return HTTPProblem("not-found", f"There is no {path} here.")
    if error.status_code == 405:
        allowed = _methods(request) or headers.get("Allow", "another method")
        headers = {**headers, "Allow": allowed}
        return HTTPProblem("method-not-allowed", f"{path} takes {allowed}, not {request.method}.", headers=headers)
    return HTTPProblem("request-failed", error.detail, status=error.status_code, headers=headers)


def _methods(request: Request) -> str:
    """All methods that the path takes: each of its routes knows but its own."""
    methods: set[str] = set()
    for template, calls in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.url.path):
            methods |= {method.upper() for method in calls}
    return ", ".join(sorted(methods))


def _from_database(request: Request, error: Exception) -> HTTPProblem:
    log.error("database unavailable", path=request.url.path, error=str(error))
    detail = "The database could not be reached, or stayed locked; nothing was changed."
    return HTTPProblem("database-unavailable", detail, headers={"Retry-After": "2"})


def _from_store(request: Request, error: Exception) -> HTTPProblem:
    log.error("store unavailable", path=request.url.path, error=str(error))
    detail = "The store that holds the files could not be reached, or refused; nothing was changed."
    return HTTPProblem("store-unavailable", detail, headers={"Retry-After": "2"})


def _crashed(request: Request, error: Exception) -> HTTPProblem:
    detail = f"{request.method} {request.url.path} met an error that nobody foresaw ({type(error).__name__})."
    headers = SECURITY_HEADERS | {"X-Request-ID": getattr(request.state, "request_id", "unknown")}
    return HTTPProblem("internal-error", detail, headers=headers)


def _from_crash(request: Request, error: Exception, root: str) -> JSONResponse:
    """Starlette sends it past all middleware, so what that adds is added here: headers, and the path of a proxy."""
    return _crashed(request, error).response(request.url.path, root)


def _from_page_token(request: Request, error: InvalidPageToken) -> HTTPProblem:
    sent = request.query_params.get("page")
    errors = [field_error("page", "is not a page token of this service", "Leave it out for the first page.", sent)]
    return HTTPProblem("invalid-parameter", str(error), errors=errors)


CONVERSIONS: dict[type[Exception], Callable[[Request, Any], HTTPProblem]] = {
    HTTPProblem: lambda _, error: error,
    StoreError: _from_store,
    aws_credentials.CredentialsError: _from_store,
    DataError: _from_data,
    KeyNotFound: lambda _, error: HTTPProblem("key-not-found", str(error)),
    WebhookNotFound: lambda _, error: HTTPProblem("webhook-not-found", str(error)),
    TooManyWebhooks: lambda _, error: HTTPProblem("too-many-webhooks", str(error)),
    ForbiddenAddress: lambda _, error: invalid_body(
        [field_error("url", str(error), "Name an https address that everybody on the internet could reach.")]
    ),
    QuotaExceeded: lambda _, error: HTTPProblem(
        "quota-exceeded", str(error), headers={"Retry-After": str(error.retry_after)}, quota=error.quota
    ),
    JobNotFinished: lambda _, error: HTTPProblem("job-not-finished", str(error), state=error.state),
    NotesConflict: lambda _, error: HTTPProblem("notes-changed", f"{error}.", headers={"ETag": f'"{error.tag}"'}),
    VersionConflict: lambda _, error: HTTPProblem(
        "precondition-failed", str(error), headers={"ETag": f'"{error.version}"'}
    ),
    JobNotFound: lambda _, error: HTTPProblem("job-not-found", str(error)),
    WorkerNotFound: lambda _, error: HTTPProblem("worker-not-found", str(error)),
    IllegalTransition: lambda _, error: HTTPProblem("illegal-transition", str(error), state=error.state),
    IdempotencyConflict: lambda _, error: HTTPProblem("idempotency-conflict", str(error)),
    ExperimentNotFound: lambda _, error: HTTPProblem("experiment-not-found", str(error)),
    ExperimentConflict: lambda _, error: HTTPProblem("experiment-conflict", str(error), state=error.state),
    ExperimentChanged: lambda _, error: HTTPProblem(
        "precondition-failed", str(error), headers={"ETag": f'"{error.version}"'}
    ),
    KeyReused: lambda _, error: HTTPProblem("idempotency-conflict", str(error)),
    DatasetNotFound: lambda _, error: HTTPProblem("dataset-not-found", str(error)),
    DatasetInUse: lambda _, error: HTTPProblem("dataset-in-use", str(error), jobs=error.job_ids),
    DatasetConflict: lambda _, error: HTTPProblem("dataset-conflict", str(error), dataset=error.dataset_id),
    NotReviewable: lambda _, error: HTTPProblem("not-reviewable", str(error)),
    DecidedMeanwhile: lambda _, error: HTTPProblem("decided-meanwhile", str(error), rows=error.rows),
    BatchNotFound: lambda _, error: HTTPProblem("batch-not-found", str(error)),
    InvalidPageToken: _from_page_token,
    RequestValidationError: _from_parameters,
    HTTPException: _from_http,
    UnstorableError: lambda *_: HTTPProblem("request-failed", "A value is beyond what the database holds.", status=422),
    OperationalError: _from_database,
    InterfaceError: _from_database,
    PoolTimeoutError: _from_database,
}
