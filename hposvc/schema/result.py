"""The result of a job: written by the run that made it, and read by everything that shows it.

Results stay in the database for years. What an older release wrote is read as far as it goes: a field that is missing,
or is of another type, has its default, and nothing else is lost.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic.functional_validators import field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, ValidationInfo

from hposvc.schema.numbers import Number

Text = Annotated[str | None, BeforeValidator(lambda value: value if value is None else str(value))]
Count = int | None


class ResultPart(BaseModel):
    """A part of a result, as it was stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_for_what_does_not_fit(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].get_default(call_default_factory=True, validated_data={})


class Ends(ResultPart):
    """A number at the first and at the last iteration."""

    first: Number | None = None
    """At the first iteration."""
    last: Number | None = None
    """At the last iteration."""


class LossEnds(Ends):
    """A loss at the first and at the last iteration, and its lowest value."""

    best: Number | None = None
    """The lowest finite value of all iterations."""


class Candidate(ResultPart):
    """A way to train the model, trained from scratch, with its losses and its score."""

    name: Text = None
    """Which candidate: `tuned` is the model that is handed over, whichever candidate that turned out to be. Where it is
    another one, `tuned_lambda` is the model of the tuned λ.
    """
    label: Text = None
    """The candidate in words."""
    train_loss: Number | None = None
    """Mean loss on the training rows, with the labels that they came with."""
    selection_loss: Number | None = None
    """Mean loss on trusted rows that this candidate had not seen. null: it was not compared on them."""
    test_loss: Number | None = None
    """Mean loss on the test rows."""
    test_score: Number | None = None
    """Accuracy (0 to 1) or R² on the test rows."""


class Suspect(ResultPart):
    """A row whose label is probably wrong."""

    rank: Count = None
    """Its place, from 1: the most suspicious row."""
    row_id: Text = None
    """The id of the row."""
    label: Text = None
    """The label that it was given."""
    weight: Number | None = None
    """How much the row counts, 0 to 1."""
    predicted: Text = None
    """What the model says, which `opinion` of the result names."""
    predicted_probability: Number | None = None
    """The probability of that class, 0 to 1. null for numbers."""
    probability_wrong: Number | None = None
    """The probability that the label is wrong, 0 to 1. null where `per` is row, class or group."""


class Noise(ResultPart):
    """How well the suspects match the wrong labels that were planted."""

    planted: Count = None
    """Wrong labels that were planted."""
    flagged: Count = None
    """Suspects."""
    precision: Number | None = None
    """Share of the suspects that are wrong, 0 to 1."""
    recall: Number | None = None
    """Share of the wrong rows that are suspects, 0 to 1."""
    f1: Number | None = None
    """Harmonic mean of precision and recall, 0 to 1."""
    auc: Number | None = None
    """Area under the ROC curve of the ranking, 0 to 1: the chance that a wrong row ranks before a right one."""


class WrongRows(ResultPart):
    """How many labels are wrong, among the rows that were not checked."""

    expected: Number | None = None
    """The expected number: the sum of all probabilities."""
    low: Number | None = None
    """The lower end of the 90 % interval."""
    high: Number | None = None
    """The upper end of the 90 % interval: `rows` where the features say too little about the labels to tell."""
    rows: Count = None
    """How many rows were not checked."""
    suspect_above: Number | None = None
    """A row is a suspect if the probability that its label is wrong exceeds this, at most ½."""

    @property
    def cannot_be_told(self) -> bool:
        """Whether any number of them may be wrong, as far as the features tell."""
        return self.rows is not None and (self.high or 0) >= self.rows


class Tried(ResultPart):
    """A kind of λ that `per: auto` tried."""

    per: Text = None
    """The kind of λ."""
    hyperparameters: Count = None
    """How many hyperparameters it has."""
    held_out_loss: Number | None = None
    """The lowest loss on trusted rows that were held out while it was tried."""


class GroupWeight(ResultPart):
    """A class or group of rows, or a cell of the noise matrix, with its weight."""

    name: Text = None
    """The class or group; for a noise matrix `a → b`: rows of class a that were given b."""
    rows: Count = None
    """How many training rows it has."""
    lam: Number | None = None
    """λ, the logit of the weight."""
    weight: Number | None = None
    """The weight σ(λ), 0 to 1; for a noise matrix the share of b among the labels a and b of rows of class a."""


class Strength(ResultPart):
    """How strongly something is regularized."""

    name: Text = None
    """The feature, layer or weight."""
    penalty: Text = None
    """`l2` or `l1`."""
    lam: Number | None = None
    """λ, the logarithm of the strength."""
    strength: Number | None = None
    """The strength e^λ."""


class OwnNumber(ResultPart):
    """A number of the result of an own problem."""

    name: Text = None
    """What it is."""
    value: Number | None = None
    """The number."""


class OwnTable(ResultPart):
    """A table of the result of an own problem."""

    title: Text = None
    """What it shows."""
    columns: list[str] = Field(default_factory=list)
    """The names of its columns."""
    rows: list[list[str | Number | None]] = Field(default_factory=list)
    """Its rows, a cell for each column."""


class Column(ResultPart):
    """What was done to a column of the data set."""

    name: Text = None
    """The column."""
    treatment: Text = None
    """What was done to it, in words."""


def _parts(value: Any) -> Any:
    """Those members of a list that can be read at all."""
    return [item for item in value if isinstance(item, dict | BaseModel)] if isinstance(value, list) else []


def _some_parts(value: Any) -> Any:
    return None if value is None else _parts(value)


class JobResult(ResultPart):
    """What a finished job found."""

    stopped_by: Text = None
    """The rule that ended the iterations: `iterations`, `max_seconds`, `patience`, `hypergradient_tolerance`,
    `zero_hypergradient`, or `request`: somebody asked to finish early.
    """
    iterations: Count = None
    """How many iterations were done."""
    oracle: Literal["finite_difference", "exact"] | None = None
    """How the last hypergradient was computed, which `solver.oracle: auto` leaves to the solver. null: of a release
    that did not say.
    """
    best_iteration: Count = None
    """The iteration whose λ is the tuned one: lowest selection loss, or upper loss without selection rows."""
    seconds: Number | None = None
    """Seconds that the solver took, refits not included."""
    task: Literal["classification", "regression"] | None = None
    """Whether labels are classes or numbers."""
    score_name: Text = None
    """What `test_score` is: `accuracy` or `r2`."""
    upper_loss: LossEnds = LossEnds()
    """The upper loss over the iterations."""
    hypergradient_norm: Ends = Ends()
    """The norm of the hypergradient over the iterations."""
    selection_loss: LossEnds | None = None
    """The loss on the selection rows over the iterations. null: there are none."""
    rows: Count = None
    """Training rows."""
    strengths: Annotated[list[Strength] | None, BeforeValidator(_some_parts)] = None
    """The strongest penalties, at most 50. null unless strengths were tuned."""
    groups: Annotated[list[GroupWeight] | None, BeforeValidator(_some_parts)] = None
    """The groups with the smallest weights, or the largest shares of a noise matrix, at most 50. null unless λ belongs
    to groups of rows.
    """
    columns: Annotated[list[Column] | None, BeforeValidator(_some_parts)] = None
    """What was done to each column. null for bundled data sets."""
    sentence: Text = None
    """The result in two or three sentences."""
    problem: Text = None
    """The name of the own problem. null: a built-in kind."""
    numbers: Annotated[list[OwnNumber], BeforeValidator(_parts)] = Field(default_factory=list)
    """Numbers that an own problem returned."""
    tables: Annotated[list[OwnTable], BeforeValidator(_parts)] = Field(default_factory=list)
    """Tables that an own problem returned, of at most 200 rows each."""
    models: Annotated[list[Candidate], BeforeValidator(_parts)] = Field(default_factory=list)
    """The model that is handed over first, then the candidates that it was compared with."""
    handed_over: Text = None
    """The candidate that is handed over. null: an older release wrote the result."""
    best_rival: Text = None
    """The best candidate that needs no tuning: by score, ties by loss; by loss alone where strengths were tuned."""
    per: Text = None
    """The kind of λ that was tuned: what `auto` chose, where it chose."""
    tried: Annotated[list[Tried], BeforeValidator(_parts)] = Field(default_factory=list)
    """The kinds of λ that `auto` tried, in order of their loss."""
    wrong_rows: WrongRows | None = None
    """How many labels are wrong. null where that was not estimated."""
    suspects_total: Count = None
    """How many rows are suspects."""
    suspects: Annotated[list[Suspect] | None, BeforeValidator(_some_parts)] = None
    """The most suspicious rows, at most 50. null where rows have no weights of their own."""
    opinion: Text = None
    """Which model predicts the suspects, and the training rows of `rows.parquet`, in words. null: no suspects."""
    check_next: list[str] = Field(default_factory=list)
    """Ids of the rows whose check by a person would tell most, where few or no rows are known to be right."""
    noise: Noise | None = None
    """How well planted wrong labels were found. null: none were planted."""
    warnings: list[str] = Field(default_factory=list)
    """What somebody should know before acting on the result."""

    @property
    def compared(self) -> list[Candidate]:
        """``models`` without the candidate that stands first already, as the one that is handed over."""
        return [model for model in self.models if model.name in (None, "tuned") or model.name != self.handed_over]

    @property
    def missing(self) -> list[str]:
        """What every result of this release has, and this one has not, in words."""
        parts: dict[str, object] = {
            "its sentence": self.sentence,
            "what it was compared with": self.models or self.problem,
            "how many iterations it took": self.iterations,
        }
        return [name for name, value in parts.items() if not value]


def read_result(stored: Any) -> JobResult:
    """The result that was stored, as far as it can be read."""
    return JobResult.model_validate(stored if isinstance(stored, dict) else {})


class _DescribedAsResult:
    """Describes a mapping as a :class:`JobResult` in JSON schemas."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema
        return handler(JobResult.__pydantic_core_schema__)


StoredResult = Annotated[dict[str, Any], _DescribedAsResult]
"""A result as it was stored, whichever release wrote it: :func:`read_result` makes a :class:`JobResult` of it."""
