"""Experiments and their trials, as the service returns them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from hposvc.schema.experiment_spec import ExperimentSpec, Parameters
from hposvc.schema.numbers import Number
from hposvc.schema.resource import Resource


class ExperimentState(StrEnum):
    """Where an experiment is in its life."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({ExperimentState.SUCCEEDED, ExperimentState.FAILED, ExperimentState.CANCELLED})


class TrialCounts(Resource):
    """How far an experiment is."""

    planned: int
    """How many trials there are to be. Fewer, if the minutes are over before."""
    made: int
    """How many have a job."""
    ended: int
    """How many of these have ended."""


class BestTrial(Resource):
    """The trial of the lowest loss."""

    number: int
    """Number of the trial, from 0."""
    job: str | None
    """Id of its job."""
    value: Number
    """Its loss: see `value` of a trial."""
    parameters: Parameters
    """What was changed in the job, by path."""


class Spread(Resource):
    """One number over the repeats."""

    mean: Number
    """The mean."""
    sd: Number
    """The standard deviation, with n − 1."""
    low: Number
    """The lowest."""
    high: Number
    """The highest."""


class Interval(Resource):
    """The mean of a paired difference, with a 95 % interval by Student's t: mean ± t · sd / √n."""

    mean: Number
    """The mean difference over the repeats: the model that is handed over minus the rival."""
    sd: Number
    """The standard deviation of the differences, with n − 1."""
    low: Number | None
    """The lower end of the interval of the mean over all splits and seeds of these rows. null: all differences are
    equal, so nothing shows how far others would be apart."""
    high: Number | None
    """The upper end. null as above."""


class Rival(Resource):
    """The model that is handed over against one rival, repeat by repeat."""

    name: str
    """Which candidate."""
    label: str
    """The candidate in words."""
    repeats: int
    """In how many repeats both were there."""
    better: int
    """In how many of these the model that is handed over was better, by what `compared_by` names."""
    score: Interval | None
    """The difference of the test scores. null: not measured."""
    loss: Interval | None
    """The difference of the test losses. null: not measured."""


class Repeated(Resource):
    """What the repeats show together."""

    repeats: int
    """How many repeats succeeded."""
    score_name: str
    """What the score is: `accuracy` or `r2`."""
    compared_by: Literal["score", "loss"]
    """Which of the two says which model is better: the test loss for strengths and numbers, the score otherwise."""
    score: Spread | None
    """The test score of the model that is handed over. null: not measured."""
    loss: Spread | None
    """Its test loss. null: not measured."""
    value: Spread | None = None
    """What trials are compared by: see `value` of a trial."""
    rivals: list[Rival]
    """The rivals, the strongest first."""


class ExperimentResult(Resource):
    """What an experiment found."""

    sentence: str
    """The result in one or two sentences."""
    succeeded: int
    """How many trials succeeded."""
    iterations: int
    """How many iterations all trials did together."""
    planned_iterations: int
    """How many they would have done without stopping early."""
    best: BestTrial | None
    """The trial of the lowest loss. null for repeats, or if none has a loss."""
    repeated: Repeated | None
    """The repeats together. null for other plans."""


class ExperimentLinks(Resource):
    """Where the experiment and what belongs to it are found, as paths of this service."""

    self: str
    """Path of the experiment."""
    trials: str
    """Path of its trials."""
    events: str
    """Path of its history."""
    jobs: str
    """Path of its jobs."""
    dashboard: str
    """Path of its page on the dashboard."""


class ExperimentResource(Resource):
    """An experiment as it stands now."""

    id: str
    """`exp_` and 20 hexadecimal digits."""
    name: str | None
    """A name for people. null: none."""
    tags: list[str]
    """Short texts to find the experiment again by."""
    dataset_name: str | None = None
    """The name of the uploaded data set of its jobs. null: it comes along or is deleted, or they have none."""
    state: ExperimentState
    """Where it is in its life. `succeeded`: at least one trial did; `failed`: none did. `cancelling`: some of its jobs
    still have to stop.
    """
    version: int
    """Grows with every change of what is shown here; it is the ETag."""
    trials: TrialCounts
    """How far it is."""
    best: BestTrial | None
    """The best trial so far. null: there is none yet, or the plan is repeats."""
    notice: str | None
    """Why it does not go on, such as a quota that is used up. null: it does."""
    result: ExperimentResult | None
    """What was found. null: there is none yet, and always in lists."""
    created_at: datetime
    """When it was submitted."""
    finished_at: datetime | None
    """When it ended. null: not yet."""
    spec: ExperimentSpec
    """The spec as it was posted, with every default filled in."""
    links: ExperimentLinks
    """Where it and what belongs to it are found."""


class CheckedExperiment(Resource):
    """The response to a dry run: the experiment is valid."""

    valid: Literal[True] = True
    """Always true: one that is not valid gets a problem document."""
    spec: ExperimentSpec
    """The spec, with every default filled in."""
    trials: int
    """How many trials there would be."""
    warnings: list[str] = Field([])
    """What is doubtful about the data and the settings of the job, which can run all the same; a sentence each."""


class ExperimentPage(Resource):
    """One page of a list of experiments, the newest first."""

    items: list[ExperimentResource]
    """The experiments of this page, without their results."""
    next_page: str | None
    """What to send as `page` to get the next page. null: this is the last one."""


TrialState = Literal[
    "queued",
    "starting",
    "running",
    "pausing",
    "paused",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "pruned",
    "refused",
]


class TrialResource(Resource):
    """One trial of an experiment."""

    number: int
    """Number of the trial, from 0."""
    parameters: Parameters
    """What was changed in the job, by path."""
    job: str | None
    """Id of its job. null: the spec was refused. A job may have been deleted since."""
    state: TrialState
    """The state of its job. `pruned`: it was stopped early because others were better. `refused`: these values cannot
    be combined.
    """
    value: Number | None
    """The loss that trials are compared by: the selection loss of the model that is handed over; without one, the
    lowest selection loss or, without selection rows, the lowest upper loss of the iterations. null: none yet.
    """
    iteration: int
    """The last iteration that is recorded."""
    iterations: int
    """The most iterations that its job does."""
    curve: list[Number]
    """The lowest selection loss so far, or upper loss without selection rows, after each 27th of the iterations."""
    test_score: Number | None
    """The test score of the model that is handed over. null: none yet."""
    test_loss: Number | None
    """Its test loss. null: none yet."""
    seconds: Number | None
    """Seconds that its solver took. null: it has not ended."""
    error: str | None
    """Why it failed or was refused. null: it was not."""


class ExperimentEvent(Resource):
    """One entry in the history of an experiment."""

    seq: int
    """Number of the event within the experiment, from 1, without gaps."""
    at: datetime
    """When it happened."""
    type: Literal["state", "trial", "note"]
    """`state`: the state changed. `trial`: a trial was made, or has ended. `note`: why it does not go on."""
    data: dict[str, Any]
    """More about it, by type: the new `state`; of a trial its `number`, `state` and `job`, and its `value` or `error`
    once it has one; `message`.
    """


class ExperimentEventPage(Resource):
    """Events of an experiment."""

    items: list[ExperimentEvent]
    """The events, in order."""
    next_after: int
    """What to send as `after` to get only newer events."""


class TrialPage(Resource):
    """One page of the trials of an experiment, in order of their numbers."""

    items: list[TrialResource]
    """The trials of this page."""
    next_page: str | None
    """What to send as `page` to get the next page. null: this is the last one."""


class Importance(Resource):
    """How much of the differences between trials is due to each setting."""

    evaluator: Literal["fanova", "mean_decrease_impurity"]
    """How it was computed: by functional analysis of variance (Hutter, Hoos and Leyton-Brown 2014) or by the mean
    decrease of impurity (Breiman 2001), of a random forest; both are Optuna's.
    """
    trials: int
    """How many trials it rests on: those that have a loss and were not stopped early; for `fanova` 200 at most, evenly
    spread over the search.
    """
    importance: dict[str, Number]
    """The share of each setting, by path, the largest first; together 1. Empty where fewer than four trials, or only
    equal ones, are there.
    """


class RepeatedRow(Resource):
    """One row over the repeats."""

    row_id: str
    """The id of the row."""
    label: str
    """The label that it was given."""
    judged: int
    """In how many repeats its label was judged: those in which it was a training row."""
    suspect: int
    """In how many of these it was a suspect."""
    probability_wrong: Number
    """The mean probability that its label is wrong, over the repeats that judged it."""


class RepeatedRows(Resource):
    """The suspects over the repeats."""

    repeats: int
    """How many repeats judged labels, and still have their files; of many on large tables, the first that together have
    five million rows.
    """
    total: int
    """How many rows were a suspect in one of them at least."""
    items: list[RepeatedRow]
    """The rows, first those with the largest share of repeats as suspect, then by mean probability."""


class RepeatedStrength(Resource):
    """One strength over the repeats."""

    name: str
    """What is regularized: a feature, a layer or a weight."""
    penalty: str
    """`l2` or `l1`."""
    repeats: int
    """In how many repeats it was tuned."""
    strength: Number
    """e to the mean of λ: the geometric mean of the strengths."""
    lam: Spread
    """λ, the logarithm of the strength."""


class RepeatedStrengths(Resource):
    """The strengths over the repeats."""

    repeats: int
    """How many repeats tuned strengths, and still have their files; the first that together have five million."""
    items: list[RepeatedStrength]
    """The strengths, the strongest first."""
