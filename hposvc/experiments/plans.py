"""From an experiment to the specs of its trials: what differs, put into the job at dotted paths."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hposvc.schema.experiment_spec import Choices, ExperimentSpec, GridPlan, Parameters, Range, RepeatsPlan, SearchPlan
from hposvc.schema.spec import JobSpec, RandomSplit
from hposvc.tables.defects import DataError, Defect

SPLIT_SEED, SOLVER_SEED = "dataset.split.seed", "solver.seed"
# Losses of trials are compared with each other, so these must be the same in all of them.
FIXED = {
    "kind": "the kind of job",
    "problem": "the problem",
    "dataset": "the data",
    "loss": "the loss",
    "hyperparameters.selection": "the selection rows",
    "name": "the name",
    "tags": "the tags",
    "priority": "the priority",
}


def check(spec: ExperimentSpec) -> None:
    """Whether the plan fits its job. Raises DataError with every path or value that does not."""
    plan = spec.plan
    if isinstance(plan, RepeatsPlan):
        own = spec.job.problem is not None
        divides = plan.over == "split" or (plan.over == "both" and not own)
        if divides and not isinstance(spec.job.split, RandomSplit):
            raise DataError(
                [
                    Defect(
                        "plan.over",
                        "an own problem has no rows to divide"
                        if own
                        else "the job brings its split along, so there is no other one",
                        "Use over: seed." if own else "Use over: seed, or a random split.",
                    )
                ]
            )
        return
    defects = [defect for path in plan.parameters for defect in _fixed(path, plan.parameters)]
    if not defects:
        defects = [defect for path, setting in plan.parameters.items() for defect in _unfit(spec, path, setting)]
    if defects:
        raise DataError(defects)


def _fixed(path: str, all_paths: Mapping[str, Any]) -> list[Defect]:
    where = f"plan.parameters.{path}"
    found = [
        Defect(
            where,
            f"{what} must be the same in all trials, or their losses would not compare",
            "Leave it out; post one experiment for each value.",
        )
        for fixed, what in FIXED.items()
        if path == fixed or path.startswith(f"{fixed}.") or fixed.startswith(f"{path}.")
    ]
    above = [other for other in all_paths if path.startswith(f"{other}.")]
    found += [Defect(where, f"lies within {other}, which is set, too", "Name one of the two.") for other in above]
    return found


def _unfit(spec: ExperimentSpec, path: str, setting: Choices | Range) -> list[Defect]:
    """What the schema says of the values at ``path``: each choice, or both ends.

    Only errors at the path itself count: a value may need those of other settings to be valid.
    """
    for value in samples(setting):
        try:
            with_parameters(spec.job, {path: value})
        except ValidationError as error:
            for item in error.errors(include_url=False):
                if _about(item, path):
                    where, message = f"plan.parameters.{path}", f"{_words(value)}: {_message(item)}"
                    return [Defect(where, message, _remedy(item, setting))]
    return []


def samples(setting: Choices | Range) -> list[Any]:
    """Each choice, or both ends of the range."""
    if isinstance(setting, Choices):
        return setting.choices
    kind = int if setting.whole else float
    return [kind(setting.low), kind(setting.high)]


def _about(item: ErrorDetails, path: str) -> bool:
    """Whether an error is about the field at ``path``, what was put there, or a part of the path that does not exist.

    pydantic adds the names of branches to where an error is.
    """
    location, parts = [str(part) for part in item["loc"]], path.split(".")
    return _within(parts, location) or (item["type"] == "extra_forbidden" and _within(location, parts))


def _within(parts: Sequence[str], others: Sequence[str]) -> bool:
    """Whether ``others`` has all ``parts``, in their order."""
    remaining = iter(others)
    return all(part in remaining for part in parts)


def _message(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return "the job has no such field"
    return item["msg"].replace("Input should be", "must be", 1)


def _remedy(item: ErrorDetails, setting: Choices | Range) -> str:
    if item["type"] == "extra_forbidden":
        return "See the fields of a job; those of a model or estimator belong to its type."
    if item["type"] == "int_type" and isinstance(setting, Range):
        return "Add whole: true."
    return "Change the values."


def _words(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:100]


def fixed_parameters(spec: ExperimentSpec, number: int) -> Parameters:
    """What trial ``number`` of repeats or of a grid changes in the job."""
    plan = spec.plan
    if isinstance(plan, RepeatsPlan):
        seeds: Parameters = {}
        split = spec.job.split
        if plan.over != "seed" and isinstance(split, RandomSplit):
            seeds[SPLIT_SEED] = (split.seed + number) % 2**31
        if plan.over != "split":
            seeds[SOLVER_SEED] = (spec.job.solver.seed + number) % 2**31
        return seeds
    assert isinstance(plan, GridPlan)  # noqa: S101 - a search asks its sampler instead
    values = [setting.choices for setting in plan.parameters.values()]
    chosen = next(itertools.islice(itertools.product(*values), number, None))
    return dict(zip(plan.parameters, chosen, strict=True))


def with_parameters(job: JobSpec, parameters: Parameters) -> JobSpec:
    """``job`` with the values of ``parameters`` at their paths. Raises pydantic's ValidationError."""
    document = job.model_dump(mode="json")
    for path, value in parameters.items():
        *parents, name = path.split(".")
        place = document
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        place[name] = copy.deepcopy(value)
    return JobSpec.model_validate(document)


def job_of_trial(spec: ExperimentSpec, number: int, parameters: Parameters) -> JobSpec:
    """The spec of the job of a trial: named after it, with the tags of the experiment. Raises ValidationError."""
    job = with_parameters(spec.job, parameters)
    name = f"{spec.name or spec.job.name or 'trial'} · {number}"
    tags = list(dict.fromkeys([*spec.tags, *job.tags]))[:20]
    return job.model_copy(update={"name": name[:200], "tags": tags})


def is_adaptive(spec: ExperimentSpec) -> bool:
    """Whether a trial is drawn from the results of those before."""
    return isinstance(spec.plan, SearchPlan) and spec.plan.sampler == "tpe"
