"""The calls about experiments, as methods."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

import httpx

from hposvc.client.bodies import Spec
from hposvc.client.connection import Connection
from hposvc.client.errors import Repeated
from hposvc.client.events import StreamedEvent, stream
from hposvc.schema.experiment_spec import ExperimentSpec
from hposvc.schema.experiments import (
    ENDED,
    CheckedExperiment,
    ExperimentEventPage,
    ExperimentPage,
    ExperimentResource,
    Importance,
    RepeatedRows,
    RepeatedStrengths,
    TrialPage,
    TrialResource,
)
from hposvc.schema.spec import JobSpec

Experiment = ExperimentSpec | Mapping[str, Any] | bytes


class ExperimentCalls:
    """Many jobs as one question: ``client.experiments``."""

    def __init__(self, http: Connection) -> None:
        self._http = http

    def submit(self, spec: Experiment, *, idempotency_key: str | None = None) -> ExperimentResource:
        """Begin an experiment: an ExperimentSpec, a mapping of the same shape, or a YAML or JSON document as bytes.

        Requests that get lost are repeated under one idempotency key, so that one call makes one experiment. Raises
        ProblemError naming every field that is wrong.
        """
        content, media_type = _encoded(spec)
        headers = {"Content-Type": media_type, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return _resource(self._http.call("POST", "/v1/experiments", headers=headers, content=content))

    def repeat(self, job: Spec, repeats: int = 5, *, over: str = "both", name: str | None = None) -> ExperimentResource:
        """The same job ``repeats`` times; ``over`` says what differs: ``split``, ``seed`` or ``both``.

        Raises ProblemError naming every field that is wrong.
        """
        document: Any = job
        if isinstance(job, bytes):
            import yaml

            document = yaml.safe_load(job)
        elif isinstance(job, JobSpec):
            document = job.model_dump(mode="json", exclude_unset=True)
        plan = {"type": "repeat", "repeats": repeats, "over": over}
        return self.submit({"name": name, "job": document, "plan": plan})

    def check(self, spec: Experiment) -> CheckedExperiment:
        """What ``submit`` would begin. Nothing is submitted. Raises ProblemError naming every field that is wrong."""
        content, media_type = _encoded(spec)
        headers = {"Content-Type": media_type}
        params = {"dry_run": "true"}
        answer = self._http.call("POST", "/v1/experiments", params=params, headers=headers, content=content)
        return CheckedExperiment.model_validate(answer)

    def get(self, experiment_id: str) -> ExperimentResource:
        """The experiment as it stands now."""
        return _resource(self._http.call("GET", _path(experiment_id)))

    def list(self, *, state: str | None = None) -> Iterator[ExperimentResource]:
        """Every experiment, the newest first, page after page; with ``state`` only those in it."""
        page = None
        while True:
            given = {key: value for key, value in {"state": state, "page": page}.items() if value is not None}
            found = ExperimentPage.model_validate(self._http.call("GET", "/v1/experiments", params=given))
            yield from found.items
            if (page := found.next_page) is None:
                return

    def trials(self, experiment_id: str) -> Iterator[TrialResource]:
        """Every trial in order of its number, page after page."""
        page = None
        while True:
            params: dict[str, str] = {} if page is None else {"page": page}
            found = TrialPage.model_validate(self._http.call("GET", _path(experiment_id, "trials"), params=params))
            yield from found.items
            if (page := found.next_page) is None:
                return

    def history(self, experiment_id: str, *, after: int = 0) -> ExperimentEventPage:
        """The events of an experiment beyond number ``after``."""
        found = self._http.call("GET", _path(experiment_id, "events"), params={"after": after})
        return ExperimentEventPage.model_validate(found)

    def stream(self, experiment_id: str, *, last: str | None = None) -> Iterator[StreamedEvent]:
        """Events as they come, until the experiment has ended; a connection that breaks is taken up again.

        ``last`` is the id of the event after which to begin. Raises ServerUnreachableError.
        """
        return stream(self._http, _path(experiment_id, "events"), last)

    def importance(
        self, experiment_id: str, *, evaluator: Literal["fanova", "mean_decrease_impurity"] = "mean_decrease_impurity"
    ) -> Importance:
        """How much of the differences between trials is due to each setting of a search."""
        params = {"evaluator": evaluator}
        return Importance.model_validate(self._http.call("GET", _path(experiment_id, "importance"), params=params))

    def suspects(self, experiment_id: str, *, limit: int = 100) -> RepeatedRows:
        """In how many repeats each row was a suspect, the most frequent first."""
        return RepeatedRows.model_validate(
            self._http.call("GET", _path(experiment_id, "rows"), params={"limit": str(limit)})
        )

    def strengths(self, experiment_id: str, *, limit: int = 100) -> RepeatedStrengths:
        """The strengths over the repeats, the strongest first."""
        return RepeatedStrengths.model_validate(
            self._http.call("GET", _path(experiment_id, "strengths"), params={"limit": str(limit)})
        )

    def cancel(self, experiment_id: str) -> ExperimentResource:
        """Stop it for good, with its jobs. Raises ProblemError (409) when it has ended."""
        return _resource(self._http.call("POST", _path(experiment_id, "cancel")))

    def pause(self, experiment_id: str) -> ExperimentResource:
        """Make no more trials, and pause the jobs of those that wait or run."""
        return _resource(self._http.call("POST", _path(experiment_id, "pause")))

    def resume(self, experiment_id: str) -> ExperimentResource:
        """Go on after a pause."""
        return _resource(self._http.call("POST", _path(experiment_id, "resume")))

    def delete(self, experiment_id: str) -> None:
        """Delete an experiment that has ended, with its jobs. Raises ProblemError (409) when it has not."""
        try:
            self._http.call("DELETE", _path(experiment_id))
        except Repeated as error:
            if error.problem.status != httpx.codes.NOT_FOUND:
                raise error.problem from error

    def wait(self, experiment_id: str, *, interval: float = 1.0) -> ExperimentResource:
        """The experiment once it has ended, however it did; looks every ``interval`` seconds."""
        while (found := self.get(experiment_id)).state not in ENDED:
            time.sleep(interval)
        return found


def _encoded(spec: Experiment) -> tuple[bytes, str]:
    if isinstance(spec, bytes):
        return spec, "application/yaml"
    if isinstance(spec, ExperimentSpec):
        return spec.model_dump_json(exclude_unset=True).encode(), "application/json"
    return json.dumps(spec).encode(), "application/json"


def _resource(answer: Any) -> ExperimentResource:
    return ExperimentResource.model_validate(answer)


def _path(experiment_id: str, *rest: str) -> str:
    return "/".join(["/v1/experiments", quote(experiment_id, safe=""), *rest])
