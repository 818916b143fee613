"""A client of the service: the HTTP calls, typed, with retries that cannot submit a job twice.

>>> with Client("http://127.0.0.1:8080") as client:
...     job = client.submit({"kind": "data_reweighting", "dataset": {"id": "sklearn:digits"}})
...     print(client.wait(job.id).result["sentence"])
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self
from urllib.parse import quote

import httpx

from hposvc import __version__
from hposvc.datasets.resources import DatasetPage, DatasetResource
from hposvc.jobs.resources import ArtifactResource, IterationColumns, JobPage, JobResource, WorkerResource
from hposvc.jobs.spec import JobSpec
from hposvc.jobs.states import TERMINAL

if TYPE_CHECKING:
    import pyarrow as pa

    from hposvc.prediction import Predictions, Predictor

Spec = JobSpec | Mapping[str, Any] | bytes

ATTEMPTS = 4
FIRST_PAUSE = 0.25  # seconds before the first retry; doubled for each one after
LONGEST_PAUSE = 10.0
CHUNK = 256 * 1024  # of a file on its way
TRY_AGAIN = frozenset({429, 502, 503, 504})


class ClientError(Exception):
    """The service did not do what was asked. The message says why, and what to do about it where that is known."""


class ServerUnreachableError(ClientError):
    """Nothing answers at the service's address."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no answer from {url}: {reason}")


class ProblemError(ClientError):
    """The service refused: its problem document (RFC 9457), readable.

    ``status`` is the HTTP status, ``type`` the stable name of the problem, ``errors`` what is wrong field by field
    (``field``, ``message``, ``remedy``), ``document`` everything the service said.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = dict(document)
        self.type = str(document.get("type", "about:blank"))
        self.title = str(document.get("title", f"HTTP {status}"))
        self.detail = str(document.get("detail", ""))
        self.errors: list[dict[str, Any]] = list(document.get("errors", []))
        lines = [f"{error['field']}: {error['message']} ({error['remedy']})" for error in self.errors]
        super().__init__("\n  ".join([f"{self.title}:", *lines]) if lines else f"{self.title}: {self.detail}")


class Client:
    """One service. Close it, or use it as a context manager; ``transport`` replaces the network in tests."""

    def __init__(self, url: str, *, timeout: float = 30.0, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            transport=transport,
            headers={"User-Agent": f"hposvc/{__version__}"},
            trust_env=False,  # a proxy has no business between a person and the service on the same machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> JobResource:
        """Post a job. ``spec`` is a JobSpec, a mapping of the same shape, or a YAML or JSON document as bytes.

        Requests that get lost are repeated under one idempotency key, so that one call makes one job; give your own key
        to make that hold across processes. Raises ProblemError naming every field that is wrong.
        """
        content, media_type = _encode(spec)
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return JobResource.model_validate(self._call("POST", "/v1/jobs", headers=headers, content=content))

    def check(self, spec: Spec) -> JobSpec:
        """What ``submit`` would store, with every default filled in; nothing is submitted. Raises ProblemError."""
        content, media_type = _encode(spec)
        headers = {"Content-Type": media_type}
        answer = self._call("POST", "/v1/jobs", params={"dry_run": "true"}, headers=headers, content=content)
        return JobSpec.model_validate(answer["spec"])

    def job(self, job_id: str) -> JobResource:
        """The job as it stands now."""
        return JobResource.model_validate(self._call("GET", _path(job_id)))

    def jobs_page(self, *, page: str | None = None, limit: int | None = None, **filters: str | None) -> JobPage:
        """One page of jobs, newest first. Filters: ``state``, ``kind``, ``tag``, ``text``."""
        params = {**filters, "page": page, "limit": None if limit is None else str(limit)}
        given = {name: value for name, value in params.items() if value is not None}
        return JobPage.model_validate(self._call("GET", "/v1/jobs", params=given))

    def jobs(self, **filters: str | None) -> Iterator[JobResource]:
        """Every job that passes the filters of ``jobs_page``, newest first, page after page."""
        page = None
        while True:
            answer = self.jobs_page(page=page, limit=None, **filters)
            yield from answer.items
            if (page := answer.next_page) is None:
                return

    def iterations(self, job_id: str, *, after: int = -1, limit: int | None = None) -> IterationColumns:
        """The iterations beyond ``after``, by column; pass ``next_after`` of one answer as ``after`` of the next."""
        params = {"after": after} if limit is None else {"after": after, "limit": limit}
        return IterationColumns.model_validate(self._call("GET", _path(job_id, "iterations"), params=params))

    def artifacts(self, job_id: str) -> list[ArtifactResource]:
        """The files that the job left."""
        return [
            ArtifactResource.model_validate(item) for item in self._call("GET", _path(job_id, "artifacts"))["items"]
        ]

    def download_artifacts(self, job_id: str, folder: Path) -> Iterator[Path]:
        """Fetch every file of the job into ``folder``, checked against its SHA-256; yields each path once it is whole.

        Raises ClientError for a file that arrived damaged, OSError for a folder that cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for artifact in self.artifacts(job_id):
            target = folder / Path(artifact.name).name
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            digest = hashlib.sha256()
            try:
                with self._http.stream("GET", artifact.url) as response, partial.open("wb") as file:
                    if not response.is_success:
                        response.read()
                        raise ProblemError(response.status_code, _document(response))
                    for chunk in response.iter_bytes():
                        digest.update(chunk)
                        file.write(chunk)
                if digest.hexdigest() != artifact.sha256:
                    raise ClientError(f"{artifact.name} arrived damaged; download it again")
                partial.replace(target)
            except httpx.TransportError as error:
                raise ServerUnreachableError(self.url, str(error) or type(error).__name__) from error
            finally:
                partial.unlink(missing_ok=True)
            yield target

    def datasets(self) -> list[DatasetResource]:
        """The data sets that a job can name: one's own, newest first, then those that come along."""
        items: list[DatasetResource] = []
        page: str | None = None
        while True:
            answer = DatasetPage.model_validate(
                self._call("GET", "/v1/datasets", params={} if page is None else {"page": page})
            )
            items += answer.items
            if (page := answer.next_page) is None:
                return items

    def dataset(self, dataset_id: str) -> DatasetResource:
        """One data set, with what is done to each of its columns."""
        return DatasetResource.model_validate(self._call("GET", f"/v1/datasets/{quote(dataset_id, safe='')}"))

    def add_dataset(
        self,
        file: Path,
        *,
        name: str | None = None,
        label: str | None = None,
        id_column: str | None = None,
        task: Literal["classification", "regression"] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> DatasetResource:
        """Upload a CSV, Parquet or NPZ file; ``progress`` is told how many bytes went, of how many.

        The same content is one data set, however often it is sent. Raises ProblemError naming what is wrong with the
        file, OSError if it cannot be read.
        """
        params = {"name": name or file.name, "label": label, "id_column": id_column, "task": task}
        given = {key: value for key, value in params.items() if value is not None}
        size = file.stat().st_size
        headers = {"Content-Type": _media_type(file), "Content-Length": str(size)}
        timeout = httpx.Timeout(30.0, read=900.0)  # the whole file is checked before the answer
        answer = self._call(
            "POST",
            "/v1/datasets",
            params=given,
            headers=headers,
            body=lambda: _pieces(file, size, progress),
            timeout=timeout,
        )
        return DatasetResource.model_validate(answer)

    def remove_dataset(self, dataset_id: str) -> None:
        """Remove an uploaded data set. Raises ProblemError (409) while jobs need it."""
        self._call("DELETE", f"/v1/datasets/{quote(dataset_id, safe='')}")

    def rows(self, job_id: str, *, part: str = "train", limit: int | None = None) -> pa.Table:
        """The rows of a finished job as an Arrow table (``to_pandas()`` makes a frame of it), the suspicious first.

        One's own ids and columns stand beside weight, rank, label and the model's opinion. ``part``: train, validation,
        selection, test or all.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        params = {"format": "parquet", "part": part} | ({} if limit is None else {"limit": str(limit)})
        return pq.read_table(pa.BufferReader(self._bytes(_path(job_id, "rows"), params=params)))

    def predictor(self, job_id: str) -> Predictor:
        """The trained model of a finished job; it needs NumPy only. Raises ProblemError: the job has left none."""
        from hposvc.prediction import Predictor

        return Predictor.from_bytes(self._bytes(_path(job_id, "artifacts", "model.safetensors")))

    def predict(self, job_id: str, data: Path | pa.Table) -> Predictions:
        """Predict rows with the model of a finished job: a CSV, Parquet or NPZ file, or an Arrow table.

        Columns are treated as they were in training, and the same rows give the report's numbers. Raises DataError: a
        column is missing, or holds something else than it did.
        """
        from hposvc.tabular.reading import format_of, read_table

        table = read_table(data, format_of(data.name) or "csv") if isinstance(data, Path) else data
        return self.predictor(job_id).predict({name: table[name] for name in table.column_names})

    def cancel(self, job_id: str) -> JobResource:
        """Stop the job for good. Raises ProblemError (409) when it has ended."""
        return self._act(job_id, "cancel")

    def pause(self, job_id: str) -> JobResource:
        """Stop the job at its next iteration; ``resume`` goes on from there."""
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> JobResource:
        """Queue a paused job again."""
        return self._act(job_id, "resume")

    def retry(self, job_id: str) -> JobResource:
        """Queue a failed or cancelled job again, as its next attempt."""
        return self._act(job_id, "retry")

    def workers(self) -> list[WorkerResource]:
        """The workers that the service knows."""
        return [WorkerResource.model_validate(worker) for worker in self._call("GET", "/v1/workers")["items"]]

    def is_ready(self) -> bool:
        """Whether the service answers and has what it needs to take jobs; asks once."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def wait(self, job_id: str, *, interval: float = 1.0) -> JobResource:
        """The job once it has ended, however it did; looks every ``interval`` seconds."""
        while (job := self.job(job_id)).state not in TERMINAL:
            time.sleep(interval)
        return job

    def _act(self, job_id: str, action: str) -> JobResource:
        return JobResource.model_validate(self._call("POST", _path(job_id, action)))

    def _bytes(self, path: str, **request: Any) -> bytes:
        return self._request("GET", path, **request).content

    def _call(self, method: str, path: str, **request: Any) -> Any:
        """The decoded answer, None if it has no body."""
        response = self._request(method, path, **request)
        return response.json() if response.content else None

    def _request(
        self, method: str, path: str, *, body: Callable[[], Iterator[bytes]] | None = None, **request: Any
    ) -> httpx.Response:
        """The answer. Every call may be repeated: reads, idempotent actions, submits with a key, uploads, whose
        content is one data set. ``body`` begins anew each time.
        """
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                if body is not None:
                    request["content"] = body()
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if last:
                    raise ServerUnreachableError(self.url, str(error) or type(error).__name__) from error
            else:
                if response.is_success:
                    return response
                if last or response.status_code not in TRY_AGAIN:
                    raise ProblemError(response.status_code, _document(response))
                pause = max(pause, _retry_after(response))
            time.sleep(min(pause, LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last attempt returns or raises")


def _path(job_id: str, *rest: str) -> str:
    return "/".join(["/v1/jobs", quote(job_id, safe=""), *rest])


def _encode(spec: Spec) -> tuple[bytes, str]:
    """The body of a request and its media type."""
    if isinstance(spec, bytes):
        return spec, "application/yaml"
    if isinstance(spec, JobSpec):
        return spec.model_dump_json(exclude_unset=True).encode(), "application/json"
    return json.dumps(spec).encode(), "application/json"


def _media_type(file: Path) -> str:
    types = {
        ".csv": "text/csv",
        ".tsv": "text/csv",
        ".parquet": "application/vnd.apache.parquet",
        ".npz": "application/x-npz",
    }
    return types.get(file.suffix.lower(), "application/octet-stream")


def _pieces(file: Path, size: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    sent = 0
    stream: BinaryIO
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, size)


def _document(response: httpx.Response) -> Mapping[str, Any]:
    """The problem document of an error, or what can be said when something else than the service answered."""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        document = response.json()
        if isinstance(document, dict):
            return document
    return {"title": f"HTTP {response.status_code}", "detail": response.text[:200] or response.reason_phrase}


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0
