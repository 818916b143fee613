"""Every kind of error over HTTP, by the tail of its URI, which stays the same for ever."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProblemType:
    """One kind of error: the tail of its URI, its status and title, and the remedy."""

    slug: str
    status: int
    title: str
    help: str

    @property
    def uri(self) -> str:
        """Where it is explained, relative to the service."""
        return f"/problems/{self.slug}"


TYPES = {
    kind.slug: kind
    for kind in (
        ProblemType("malformed-body", 400, "The body cannot be read", "Send one JSON (or YAML) document in UTF-8."),
        ProblemType(
            "missing-key",
            401,
            "A key is needed",
            "Send the header Authorization: Bearer KEY, or sign in at /login. `hposvc keys create` makes a key.",
        ),
        ProblemType(
            "invalid-key",
            401,
            "The key is not valid",
            "Use another key, or sign in again at /login. `hposvc keys list` shows those that there are.",
        ),
        ProblemType(
            "missing-scope",
            403,
            "The key does not allow this",
            "Use a key with the scope that the detail names: read looks, submit also makes and steers jobs, admin also "
            "manages keys and webhooks.",
        ),
        ProblemType(
            "cross-site-request",
            403,
            "Request from another site",
            "Call the service directly, or open the dashboard from the service's own address.",
        ),
        ProblemType("not-found", 404, "Nothing here", "See /docs for the calls that exist."),
        ProblemType("job-not-found", 404, "No such job", "GET /v1/jobs lists the jobs that exist."),
        ProblemType(
            "experiment-not-found", 404, "No such experiment", "GET /v1/experiments lists the experiments that exist."
        ),
        ProblemType(
            "experiment-conflict",
            409,
            "The experiment's state does not allow this",
            "Read its state and choose an action that fits: only one that runs can be paused, only a paused one "
            "resumed, only one that has ended deleted.",
        ),
        ProblemType("worker-not-found", 404, "No such worker", "GET /v1/workers lists the workers that are there."),
        ProblemType("key-not-found", 404, "No such key", "GET /v1/keys lists the keys of your tenant."),
        ProblemType("webhook-not-found", 404, "No such webhook", "GET /v1/webhooks lists those of your tenant."),
        ProblemType(
            "artifact-not-found", 404, "No such file", "GET /v1/jobs/{id}/artifacts lists the files that the job left."
        ),
        ProblemType(
            "artifact-missing",
            410,
            "The file is gone",
            "Somebody removed it from the store. Restore it there, or submit the job again.",
        ),
        ProblemType(
            "method-not-allowed", 405, "Method not allowed", "Use one of the methods named in the Allow header."
        ),
        ProblemType(
            "not-acceptable",
            406,
            "Not to be had in this format",
            "Send an Accept header with one of the formats that the detail names, or none.",
        ),
        ProblemType(
            "job-not-finished", 409, "The job has not ended", "Cancel the job, wait until it has ended, and try again."
        ),
        ProblemType(
            "too-many-webhooks",
            409,
            "Too many webhooks",
            "Remove a webhook that is no longer needed: DELETE /v1/webhooks/{id}.",
        ),
        ProblemType(
            "illegal-transition",
            409,
            "The job's state does not allow this",
            "Read the job's state and choose an action that fits: a finished job cannot be cancelled, "
            "only a failed or cancelled one can be retried, only a paused one resumed.",
        ),
        ProblemType(
            "hyperparameters-not-ready",
            409,
            "The job has no answer yet",
            "Ask for order=lowest or order=highest, or for the history; from the first checkpoint on all are there.",
        ),
        ProblemType(
            "hyperparameters-moved-on",
            410,
            "These hyperparameters are kept no longer",
            "The job went on, and what your pages were of has been replaced. Ask for the first page again, or pause "
            "the job while you read.",
        ),
        ProblemType(
            "idempotency-conflict",
            409,
            "Idempotency key used for another job",
            "One key stands for one request: send a new key with a new body.",
        ),
        ProblemType(
            "precondition-failed",
            412,
            "The job changed in between",
            "Read the job again, see whether your change still makes sense, and send it with the new ETag.",
        ),
        ProblemType(
            "notes-changed",
            412,
            "Somebody changed the notes in between",
            "Get the notes again, put yours together with them, and send them with the new ETag.",
        ),
        ProblemType(
            "body-too-large",
            413,
            "The body is too large",
            "A job's specification needs a few kilobytes at most; for data sets, the largest size is a setting of the "
            "server (HPOSVC_MAX_UPLOAD_BYTES).",
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "Unsupported media type",
            "Send Content-Type: application/json or application/yaml, uncompressed.",
        ),
        ProblemType("unknown-host", 421, "Unknown host", "Use the address that the server printed when it started."),
        ProblemType(
            "invalid-spec",
            422,
            "The job's specification is not valid",
            "Mend each field listed under errors and send the job again. ?dry_run=true checks without submitting.",
        ),
        ProblemType(
            "invalid-dataset",
            422,
            "The data set cannot be used",
            "Mend what is listed under errors, in the file or in the parameters, and send it again. Nothing was kept.",
        ),
        ProblemType("dataset-not-found", 404, "No such data set", "GET /v1/datasets lists the data sets that exist."),
        ProblemType(
            "dataset-in-use",
            409,
            "Jobs need the data set",
            "Wait until the jobs are over, or cancel them.",
        ),
        ProblemType(
            "dataset-conflict",
            409,
            "The data set is there already",
            "The same content was uploaded with other roles: name them in the job, or remove it and send it again.",
        ),
        ProblemType(
            "not-reviewable",
            409,
            "The data set cannot be reviewed",
            "It comes with the service. Upload rows of your own, and review those.",
        ),
        ProblemType(
            "decided-meanwhile",
            412,
            "Somebody decided in between",
            "Get the decisions again, see whether yours still makes sense, and send it with the new version.",
        ),
        ProblemType("batch-not-found", 404, "No such batch", "GET /v1/datasets/{id}/reviews shows the batches."),
        ProblemType(
            "unsupported-file",
            415,
            "Not a file of rows",
            "Send CSV, Parquet or NPZ as text/csv or application/octet-stream, or one such file in a .gz or .zip.",
        ),
        ProblemType(
            "rows-not-available",
            409,
            "There are no rows yet",
            "Rows are ranked when a job has succeeded; watch its state.",
        ),
        ProblemType("invalid-parameter", 422, "A parameter is not valid", "Mend each parameter listed under errors."),
        ProblemType(
            "invalid-body", 422, "The body is not valid", "Mend each field listed under errors and send it again."
        ),
        ProblemType(
            "too-many-requests", 429, "Too many requests", "Wait for the seconds that the header Retry-After names."
        ),
        ProblemType(
            "too-many-streams",
            429,
            "Too many open streams",
            "Close streams that nobody watches, or ask again later; GET without a stream works meanwhile.",
        ),
        ProblemType(
            "quota-exceeded",
            429,
            "The tenant's quota is used up",
            "Let jobs end, cancel some, or delete old ones; GET /v1/tenant shows what is used. Whoever runs the "
            "service can raise the quota: hposvc tenants set.",
        ),
        ProblemType("request-failed", 400, "The request failed", "The detail says what to change."),
        ProblemType(
            "internal-error",
            500,
            "Something went wrong in the server",
            "This is a defect: nothing was changed by the request. The server's log has the details.",
        ),
        ProblemType("not-ready", 503, "The service is not ready", "Run `hposvc db upgrade`."),
        ProblemType(
            "database-unavailable",
            503,
            "The database does not answer",
            "Try again in a moment. If it lasts, look at the database and at HPOSVC_DATABASE_URL.",
        ),
        ProblemType(
            "store-unavailable",
            503,
            "The artifact store does not answer",
            "Try again in a moment. If it lasts, whoever runs the service runs `hposvc doctor` where the API runs.",
        ),
    )
}
