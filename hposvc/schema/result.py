"""The result of a job, read back: whatever release wrote it, what is there can be shown, and what is not is None."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler
from pydantic.functional_validators import field_validator
from pydantic_core.core_schema import ValidationInfo

Text = Annotated[str | None, BeforeValidator(lambda value: value if value is None else str(value))]
Number = float | None  # also NaN and the infinities, which are stored by name
Count = int | None


class Part(BaseModel):
    """Something that was stored as JSON. A field that is missing, or is of another type, has its default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_for_what_does_not_fit(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].get_default(call_default_factory=True, validated_data={})


class Ends(Part):
    """A number at the first and at the last iteration."""

    first: Number = None
    last: Number = None


class Candidate(Part):
    """One way to train, and how it did."""

    name: Text = None
    label: Text = None
    test_score: Number = None
    test_loss: Number = None
    selection_loss: Number = None
    train_loss: Number = None


class Suspect(Part):
    """A row that weighs little."""

    row_id: Text = None
    weight: Number = None
    label: Text = None
    predicted: Text = None
    predicted_probability: Number = None


class Noise(Part):
    """How well planted errors were found."""

    planted: Count = None
    flagged: Count = None
    precision: Number = None
    recall: Number = None
    f1: Number = None
    auc: Number = None


class GroupWeight(Part):
    """The weight of a group of rows."""

    name: Text = None
    rows: Count = None
    weight: Number = None


class Strength(Part):
    """How strongly something is regularized."""

    name: Text = None
    penalty: Text = None
    strength: Number = None


class Column(Part):
    """What was done to a column of the data set."""

    name: Text = None
    treatment: Text = None


def _list(value: Any) -> Any:
    """Those members of a list that can be read at all."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


class StoredResult(Part):
    """A result with every field that readers know."""

    sentence: Text = None
    warnings: list[str] = Field(default_factory=list)
    score_name: Text = None
    models: Annotated[list[Candidate], BeforeValidator(_list)] = Field(default_factory=list)
    rows: Count = None
    suspects_total: Count = None
    suspects: Annotated[list[Suspect], BeforeValidator(_list)] = Field(default_factory=list)
    noise: Noise | None = None
    groups: Annotated[list[GroupWeight], BeforeValidator(_list)] = Field(default_factory=list)
    strengths: Annotated[list[Strength], BeforeValidator(_list)] = Field(default_factory=list)
    columns: Annotated[list[Column], BeforeValidator(_list)] = Field(default_factory=list)
    iterations: Count = None
    best_iteration: Count = None
    stopped_by: Text = None
    upper_loss: Ends = Ends()
    hypergradient_norm: Ends = Ends()
    seconds: Number = None

    @property
    def missing(self) -> list[str]:
        """What every result of this release has, and this one has not, in words."""
        parts = {
            "its sentence": self.sentence,
            "what it was compared with": self.models,
            "how many iterations it took": self.iterations,
        }
        return [name for name, value in parts.items() if not value]


def read_result(stored: Any) -> StoredResult:
    """The result that was stored, as far as it can be read."""
    return StoredResult.model_validate(stored if isinstance(stored, dict) else {})
