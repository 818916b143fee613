"""The calls of the service, as methods."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

import httpx

from hposvc.client.bodies import Spec, by_column, encode, media_type, pieces
from hposvc.client.connection import Connection
from hposvc.client.errors import ClientError
from hposvc.client.events import StreamedEvent, stream
from hposvc.client.experiments import ExperimentCalls
from hposvc.client.notes import NoteCalls
from hposvc.client.reviews import ReviewCalls
from hposvc.files.durable import replacing
from hposvc.schema.access import KeyResource, NewKey, Scope, TenantResource
from hposvc.schema.datasets import DatasetPage, DatasetResource
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.job import ArtifactResource, Checked, EventPage, JobPage, JobResource
from hposvc.schema.problems import ProblemResource
from hposvc.schema.states import TERMINAL
from hposvc.schema.webhooks import DeliveryResource, NewWebhook, WebhookResource
from hposvc.schema.workers import WorkerResource

if TYPE_CHECKING:
    import pyarrow as pa

    from hposvc.prediction import Predictions, Predictor

Filter = str | Sequence[str] | None

WAIT_SECONDS = 20  # the longest that one request waits for a change
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
}


class Client:
    """One service, opened by ``key`` if it asks for one. Close it, or use it as a context manager.

    ``timeout`` is in seconds.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._http = Connection(self.url, key, timeout)
        self.reviews = ReviewCalls(self._http)
        self.notes = NoteCalls(self._http)
        self.experiments = ExperimentCalls(self._http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.client.close()

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> JobResource:
        """Post a job. ``spec`` is a JobSpec, a mapping of the same shape, or a YAML or JSON document as bytes.

        Requests that get lost are repeated under one idempotency key, so that one call makes one job; give your own key
        to make that hold across processes. Raises ProblemError naming every field that is wrong.
        """
        content, media_type = encode(spec)
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return JobResource.model_validate(self._http.call("POST", "/v1/jobs", headers=headers, content=content))

    def check(self, spec: Spec) -> Checked:
        """What ``submit`` would store, with every default filled in, and which settings are doubtful.

        Nothing is submitted. Raises ProblemError naming every field that is wrong.
        """
        content, media_type = encode(spec)
        headers = {"Content-Type": media_type}
        answer = self._http.call("POST", "/v1/jobs", params={"dry_run": "true"}, headers=headers, content=content)
        return Checked.model_validate(answer)

    def job(self, job_id: str) -> JobResource:
        """The job as it stands now."""
        return JobResource.model_validate(self._http.call("GET", _path(job_id)))

    def jobs_page(self, *, page: str | None = None, limit: int | None = None, **filters: Filter) -> JobPage:
        """One page of jobs, newest first unless ``order`` says otherwise.

        Filters: ``state`` (one or several), ``kind``, ``tag``, ``text``, ``created_after`` and ``created_before`` (ISO
        8601 with a time zone), ``experiment`` (its id), ``order`` (newest, oldest, priority, best_upper_loss,
        upper_loss, progress, gain, name, dataset, state).
        """
        params = {**filters, "page": page, "limit": None if limit is None else str(limit)}
        given = {name: value for name, value in params.items() if value is not None}
        return JobPage.model_validate(self._http.call("GET", "/v1/jobs", params=given))

    def jobs(self, **filters: Filter) -> Iterator[JobResource]:
        """Every job that passes the filters of ``jobs_page``, in its order, page after page."""
        page = None
        while True:
            answer = self.jobs_page(page=page, limit=None, **filters)
            yield from answer.items
            if (page := answer.next_page) is None:
                return

    def iterations(self, job_id: str, *, after: int = -1, limit: int | None = None) -> IterationColumns:
        """The iterations beyond ``after``, by column; pass ``next_after`` of one result as ``after`` of the next."""
        params = {"after": after} if limit is None else {"after": after, "limit": limit}
        return IterationColumns.model_validate(self._http.call("GET", _path(job_id, "iterations"), params=params))

    def iterations_as(self, job_id: str, format_: str, *, after: int = -1) -> Iterator[bytes]:
        """The iterations beyond ``after`` as ``csv``, ``ndjson``, ``arrow`` or ``json``, in pieces as they arrive."""
        headers = {"Accept": MEDIA_TYPES[format_]}
        path = _path(job_id, "iterations")
        with self._http.stream(path, params={"after": after}, headers=headers) as response:
            yield from response.iter_bytes()

    def history(self, job_id: str, *, after: int = 0) -> EventPage:
        """The events of a job beyond number ``after``."""
        return EventPage.model_validate(self._http.call("GET", _path(job_id, "events"), params={"after": after}))

    def stream(self, job_id: str, *, last: str | None = None) -> Iterator[StreamedEvent]:
        """Events and iterations of a job as they come, until it has ended; a connection that breaks is taken up again.

        ``last`` is the id of the event after which to begin. Raises ServerUnreachableError.
        """
        return stream(self._http, _path(job_id, "events"), last)

    def artifacts(self, job_id: str) -> list[ArtifactResource]:
        """The files that the job left."""
        return [
            ArtifactResource.model_validate(item)
            for item in self._http.call("GET", _path(job_id, "artifacts"))["items"]
        ]

    def download_artifacts(
        self, job_id: str, folder: Path, *, progress: Callable[[str, int, int], None] | None = None
    ) -> Iterator[Path]:
        """Fetch every file of the job into ``folder``, checked against its SHA-256; yields each path once it is whole.

        ``progress`` is told the file's name, how many bytes of it there are, and how many there will be.
        Raises ClientError for a file that arrived damaged, OSError for a folder that cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for artifact in self.artifacts(job_id):
            target = folder / Path(artifact.name).name
            digest = hashlib.sha256()
            with replacing(target) as file:
                with self._http.stream(artifact.url) as response:
                    for chunk in response.iter_bytes():
                        digest.update(chunk)
                        if progress is not None:
                            progress(artifact.name, file.tell() + len(chunk), artifact.size)
                        file.write(chunk)
                if digest.hexdigest() != artifact.sha256:
                    raise ClientError(f"{artifact.name} arrived damaged; download it again")
            yield target

    def datasets(self) -> list[DatasetResource]:
        """The data sets that a job can name: one's own, newest first, then those that come along."""
        items: list[DatasetResource] = []
        page: str | None = None
        while True:
            answer = DatasetPage.model_validate(
                self._http.call("GET", "/v1/datasets", params={} if page is None else {"page": page})
            )
            items += answer.items
            if (page := answer.next_page) is None:
                return items

    def dataset(self, dataset_id: str) -> DatasetResource:
        """One data set, with what is done to each of its columns."""
        return DatasetResource.model_validate(self._http.call("GET", f"/v1/datasets/{quote(dataset_id, safe='')}"))

    def add_dataset(
        self,
        file: Path,
        *,
        name: str | None = None,
        label: str | None = None,
        id_column: str | None = None,
        task: Literal["classification", "regression"] | None = None,
        unlabelled: Literal["refuse", "leave_out"] | None = None,
        date_format: str | None = None,
        decimal: Literal[".", ","] | None = None,
        encoding: str | None = None,
        missing_values: Sequence[str] | None = None,
        missing_values_in: Mapping[str, Sequence[str]] | None = None,
        header: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> DatasetResource:
        """Upload a file of rows or pictures; ``progress`` is told how many bytes went, of how many.

        ``date_format`` (like ``%d/%m/%Y``), ``decimal``, ``missing_values`` (texts that stand for one), also by column
        (``missing_values_in``), and ``encoding`` say how the text of a CSV file is to be read; by default that is found
        out. Without a ``header`` its columns are called ``column 1`` and so on. The same content, read alike, is one
        data set. Raises ProblemError naming what is wrong with the file, OSError if it cannot be read.
        """
        params = {
            "name": name or file.name,
            "label": label,
            "id_column": id_column,
            "task": task,
            "unlabelled": unlabelled,
            "date_format": date_format,
            "decimal": decimal,
            "encoding": encoding,
            "missing_values": None if missing_values is None else list(missing_values) or [""],
            "missing_values_in": by_column(missing_values_in),
            "header": None if header else "false",
        }
        given = {key: value for key, value in params.items() if value is not None}
        size = file.stat().st_size
        headers = {"Content-Type": media_type(file), "Content-Length": str(size)}
        timeout = httpx.Timeout(30.0, read=900.0)  # the whole file is checked before the response
        body = partial(pieces, file, size, progress)
        answer = self._http.call("POST", "/v1/datasets", params=given, headers=headers, body=body, timeout=timeout)
        return DatasetResource.model_validate(answer)

    def remove_dataset(self, dataset_id: str) -> None:
        """Remove an uploaded data set. Raises ProblemError (409) while jobs need it."""
        self._http.remove(f"/v1/datasets/{quote(dataset_id, safe='')}")

    def rows(self, job_id: str, *, part: str = "train", limit: int | None = None) -> pa.Table:
        """The rows of a finished job as an Arrow table (``to_pandas()`` makes a frame of it), the suspicious first.

        One's own ids and columns stand beside weight, rank, label and the model's opinion. ``part``: train, validation,
        selection, test or all.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        params = {"format": "parquet", "part": part} | ({} if limit is None else {"limit": str(limit)})
        content = pa.BufferReader(self._bytes(_path(job_id, "rows"), params=params))
        return pq.ParquetFile(content).read(use_threads=False)

    def predictor(self, job_id: str) -> Predictor:
        """The trained model of a finished job; it needs NumPy only. Raises ProblemError: the job has left none."""
        from hposvc.prediction import Predictor

        return Predictor.from_bytes(self._bytes(_path(job_id, "artifacts", "model.safetensors")))

    def predict(self, job_id: str, data: Path | pa.Table, *, encoding: str | None = None) -> Predictions:
        """Predict rows with the model of a finished job: a file of rows or pictures, or an Arrow table.

        Columns are treated as they were in training, and the same rows give the report's numbers. Raises DataError: a
        column is missing, or holds something else than it did. ``encoding`` is that of a CSV file, where it cannot be
        told.
        """
        from hposvc.tables.reading import read_table

        predictor = self.predictor(job_id)
        reading = predictor.reading if encoding is None else replace(predictor.reading, encoding=encoding)
        table = read_table(data, reading) if isinstance(data, Path) else data
        return predictor.predict({name: table[name] for name in table.column_names})

    def cancel(self, job_id: str) -> JobResource:
        """Stop the job for good. Raises ProblemError (409) when it has ended."""
        return self._act(job_id, "cancel")

    def pause(self, job_id: str) -> JobResource:
        """Stop the job at its next iteration; ``resume`` goes on from there."""
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> JobResource:
        """Queue a paused job again."""
        return self._act(job_id, "resume")

    def finish(self, job_id: str) -> JobResource:
        """End the iterations of the job after the current one: it makes its result of those that are done."""
        return self._act(job_id, "finish")

    def retry(self, job_id: str, *, from_start: bool = False) -> JobResource:
        """Queue a failed or cancelled job again, as its next attempt: from its last checkpoint, or from the start."""
        return self._act(job_id, "retry", {"from": "start"} if from_start else None)

    def drain(self, worker_id: str, *, now: bool = False) -> None:
        """Let a worker end after its job, or ``now``, handing the job back."""
        self._http.call("POST", f"/v1/workers/{quote(worker_id, safe='')}/drain", params={"now": str(now).lower()})

    def metrics(self) -> str:
        """The service's metrics, in Prometheus's text format."""
        return self._http.send("GET", "/metrics").text

    def update(self, job_id: str, *, version: int | None = None, **changes: Any) -> JobResource:
        """Change ``name``, ``tags`` or ``priority``. Raises ProblemError (412) unless the job is at ``version``."""
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return JobResource.model_validate(self._http.call("PATCH", _path(job_id), json=changes, headers=headers))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with everything that it left. Raises ProblemError (409) when it has not."""
        self._http.remove(_path(job_id))

    def session(self) -> dict[str, Any]:
        """Whose key this is: ``tenant``, ``key`` (its name; None where none is asked for) and ``scopes``."""
        answer: dict[str, Any] = self._http.call("GET", "/v1/session")
        return answer

    def tenant(self) -> TenantResource:
        """The tenant, its quotas and what is used of them."""
        return TenantResource.model_validate(self._http.call("GET", "/v1/tenant"))

    def keys(self) -> list[KeyResource]:
        """The keys of the tenant, without what opens the service. Takes the scope admin."""
        return [KeyResource.model_validate(key) for key in self._http.call("GET", "/v1/keys")["items"]]

    def create_key(self, name: str, *, scope: Scope = "submit") -> NewKey:
        """Make a key, which is shown this once. If the response gets lost, revoke that key."""
        return NewKey.model_validate(self._http.once("POST", "/v1/keys", json={"name": name, "scope": scope}))

    def revoke_key(self, key_id: str) -> KeyResource:
        """Make a key open nothing any more."""
        return KeyResource.model_validate(self._http.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}"))

    def webhooks(self) -> list[WebhookResource]:
        """The webhooks of the tenant."""
        return [WebhookResource.model_validate(item) for item in self._http.call("GET", "/v1/webhooks")["items"]]

    def add_webhook(self, url: str, *, secret: str | None = None) -> NewWebhook:
        """Send a message to ``url`` whenever a job ends; the secret that signs it is shown this once."""
        body = {"url": url} | ({"secret": secret} if secret else {})
        return NewWebhook.model_validate(self._http.once("POST", "/v1/webhooks", json=body))

    def deliveries(self, webhook_id: str) -> list[DeliveryResource]:
        """The messages to a webhook, newest first, and how each was received."""
        path = f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries"
        return [DeliveryResource.model_validate(item) for item in self._http.call("GET", path)["items"]]

    def remove_webhook(self, webhook_id: str) -> None:
        """Send it nothing any more."""
        self._http.once("DELETE", f"/v1/webhooks/{quote(webhook_id, safe='')}")

    def workers(self) -> list[WorkerResource]:
        """The workers that the service knows."""
        return [WorkerResource.model_validate(worker) for worker in self._http.call("GET", "/v1/workers")["items"]]

    def problems(self) -> list[ProblemResource]:
        """The problems that jobs of kind custom can name, with what each takes."""
        return [ProblemResource.model_validate(item) for item in self._http.call("GET", "/v1/problems")["items"]]

    def is_ready(self) -> bool:
        """Whether the service responds and has what it needs to take jobs; asks once."""
        try:
            return self._http.client.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def wait(self, job_id: str, *, interval: float = 1.0) -> JobResource:
        """The job once it has ended, however it did. The service says when something changed.

        ``interval`` is how many seconds to leave between two looks, so that a quick job does not ask all the time.
        """
        job = self.job(job_id)
        while job.state not in TERMINAL:
            time.sleep(interval)
            headers = {"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": f'"{job.version}"'}
            answer = self._http.call("GET", _path(job_id), headers=headers, timeout=self._http.timeout + WAIT_SECONDS)
            job = job if answer is None else JobResource.model_validate(answer)
        return job

    def _act(self, job_id: str, action: str, params: dict[str, str] | None = None) -> JobResource:
        return JobResource.model_validate(self._http.call("POST", _path(job_id, action), params=params))

    def _bytes(self, path: str, **request: Any) -> bytes:
        return self._http.send("GET", path, **request).content


def _path(job_id: str, *rest: str) -> str:
    return "/".join(["/v1/jobs", quote(job_id, safe=""), *rest])
