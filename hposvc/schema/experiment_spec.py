"""What people post to ask one question of many jobs: a job, and in what its copies differ."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, model_validator

from hposvc.schema.spec import Float, JobName, JobSpec, PositiveFloat, Seed, SpecModel, Tags

MOST_TRIALS = 10_000
Path = Annotated[str, Field(pattern=r"^[a-z_]+(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=200)]
Parameters = dict[str, Any]


class Choices(SpecModel):
    """A setting that takes one of several values."""

    choices: Annotated[list[Any], Field(min_length=1, max_length=1000)]
    """The values: numbers, texts, truth values, null, lists, or objects such as `{type: mlp, hidden: [64]}`."""


class Range(SpecModel):
    """A setting that takes numbers between two ends."""

    low: Float
    """The lowest value."""
    high: Float
    """The highest value."""
    log: StrictBool = False
    """Whether to draw evenly on a logarithmic scale; both ends must be positive."""
    whole: StrictBool = False
    """Whether to draw whole numbers only, for fields that take no others."""

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic scale needs low > 0")
        if self.whole and (self.low != round(self.low) or self.high != round(self.high)):
            raise ValueError("whole numbers need whole ends")
        return self


class RepeatsPlan(SpecModel):
    """The same job over several splits of the rows, or seeds: how much of a result is chance."""

    type: Literal["repeat"]
    """The same job several times."""
    repeats: Annotated[StrictInt, Field(ge=2, le=200)] = 5
    """How often."""
    over: Literal["split", "seed", "both"] = "both"
    """What differs. `split`: `dataset.split.seed`, which divides the rows. `seed`: `solver.seed`, which draws the first
    model and the batches. Each counts up from the value in the job. An own problem has no split: `both` is its seed.
    """


class GridPlan(SpecModel):
    """Every combination of some values."""

    type: Literal["grid"]
    """Every combination, the last setting changing fastest."""
    parameters: Annotated[dict[Path, Choices], Field(min_length=1, max_length=20)]
    """The settings: the path of a field of the job, such as `solver.lower.weight_decay`, with its values."""

    @property
    def size(self) -> int:
        """How many combinations there are."""
        total = 1
        for choices in self.parameters.values():
            total *= len(choices.choices)
        return total

    @model_validator(mode="after")
    def _not_too_many(self) -> GridPlan:
        if self.size > MOST_TRIALS:
            raise ValueError(f"parameters: {self.size:,} combinations are more than {MOST_TRIALS:,}; search instead")
        return self


class SearchPlan(SpecModel):
    """Values that Optuna draws, at random or by what the trials before have shown."""

    type: Literal["search"]
    """Values that a sampler draws."""
    parameters: Annotated[dict[Path, Range | Choices], Field(min_length=1, max_length=50)]
    """The settings: the path of a field of the job, such as `solver.lower.weight_decay`, with what it may be."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How values are drawn. `tpe`: by the tree-structured Parzen estimator, from the trials before; trial n knows the
    results of all trials up to n − `at_once`. `random`: each by itself.
    """
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "none"
    """Which trials are stopped early. `none`: no trial. `median`: those whose lowest loss so far is above the median of
    the others at the same share of the iterations. `successive_halving`: those outside the best third after a third of
    the iterations. `hyperband`: those outside the best third after 1/27, 1/9 and 1/3; trials differ in where this
    begins. It saves the most, and stops the best trial more often. A trial waits there until it was judged, up to half
    a second (`median`: after 4, 9 and 18 of 27 equal parts). Which trials are stopped depends on how fast they run, so
    a pruned search need not repeat itself exactly.
    """
    jobs: Annotated[StrictInt, Field(ge=1, le=MOST_TRIALS)] = 40
    """The most trials; each is one job."""
    minutes: PositiveFloat | None = None
    """No trial begins later than so many minutes after the submission. null: no limit."""
    seed: Seed = 0
    """Seed of the sampler."""


Plan = Annotated[RepeatsPlan | GridPlan | SearchPlan, Field(discriminator="type")]


class ExperimentSpec(SpecModel):
    """Many jobs as one question: a job, and in what its copies differ."""

    name: JobName | None = None
    """A name for people. null: none."""
    tags: Tags = Field([])
    """Short texts to find the experiment again by; its jobs have them, too. By default none."""
    job: JobSpec
    """The job that all trials start from."""
    plan: Plan
    """In what the trials differ: `type: repeat`, `grid` or `search`."""
    at_once: Annotated[StrictInt, Field(ge=1, le=100)] = 4
    """The most trials that wait or run at the same time."""

    @property
    def planned(self) -> int:
        """How many trials there are to be, unless the time is up before."""
        if isinstance(self.plan, RepeatsPlan):
            return self.plan.repeats
        return self.plan.size if isinstance(self.plan, GridPlan) else self.plan.jobs
