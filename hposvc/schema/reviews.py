"""What people decide about the labels of rows, as they send it and as the service returns it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictInt, model_validator

from hposvc.schema.resource import Resource

MOST_DECISIONS = 10_000  # in one request

Verdict = Literal["right", "relabel", "drop", "unsure"]
RowId = Annotated[str, Field(min_length=1, max_length=1000)]
NewLabel = Annotated[str, Field(min_length=1, max_length=1000, coerce_numbers_to_str=True)]
Column = Annotated[str, Field(min_length=1, max_length=200)]


class Sent(Resource):
    """Base of what is sent: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DecisionRequest(Sent):
    """What a person decided about the label of one row."""

    decision: Verdict
    """`right`: the label is right. `relabel`: it is wrong, and `relabelled_to` is right. `drop`: the row belongs to no
    class, or is broken. `unsure`: the person looked and could not tell.
    """
    relabelled_to: NewLabel | None = None
    """The right label: a class that the label column has, or a number. Only for `relabel`, which needs it."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> DecisionRequest:
        if (self.decision == "relabel") != (self.relabelled_to is not None):
            raise ValueError("relabelled_to: `relabel` needs it, and nothing else takes it")
        return self


class OneDecisionRequest(DecisionRequest):
    """What a person decided about the label of the row that the path names."""

    job: Annotated[str, Field(max_length=64)] | None = None
    """The job whose result was looked at. null: none."""
    label: Column | None = None
    """The column that was judged. null: the label of the job, or else of the data set."""


class RowDecision(DecisionRequest):
    """What a person decided about one of several rows."""

    row: RowId
    """The id of the row: the value of the data set's id column, or its number from 0."""
    version: Annotated[StrictInt, Field(ge=0)] | None = None
    """The version of the decision that this one replaces; 0: there was none. If another one counts by now, nothing of
    the request is kept. null: replace whichever there is.
    """


class DecisionsRequest(Sent):
    """Decisions about rows of a data set: all of them are kept, or none."""

    decisions: Annotated[list[RowDecision], Field(min_length=1, max_length=MOST_DECISIONS)]
    """The decisions, at most one for each row."""
    job: Annotated[str, Field(max_length=64)] | None = None
    """The job whose result was looked at. null: none."""
    label: Column | None = None
    """The column that was judged. null: the label of the job, or else of the data set."""


class Decision(Resource):
    """What somebody decided about the label of a row."""

    row: str
    """The id of the row: the value of the data set's id column, or its number from 0."""
    decision: Verdict
    """`right`, `relabel`, `drop` or `unsure`."""
    relabelled_to: str | None
    """The right label. null unless the decision is `relabel`."""
    version: int
    """Counts the decisions about this row, from 1."""
    decided_at: datetime
    """When it was made."""
    decided_by: str | None
    """The name of the key that was shown. null: the service asked for none."""
    job: str | None
    """The job whose result was looked at. null: none."""
    batch: str
    """The request that it came with: decisions of one request are undone together."""
    undone_at: datetime | None
    """When it was undone. null: it was not."""


class DecisionPage(Resource):
    """The decisions that count, in the order of the rows in the file."""

    items: list[Decision]
    """At most one decision for each row."""
    next_page: str | None = None
    """What to send as `page` to get the next page. null: this is the last one."""


class RowHistory(Resource):
    """All decisions about one row."""

    row: str
    """The id of the row."""
    version: int
    """The version of the decision that counts. 0: none does."""
    items: list[Decision]
    """The decisions, newest first, those that were undone included."""


class Decided(Resource):
    """Decisions that were kept."""

    batch: str
    """What to name to undo them."""
    items: list[Decision]
    """The decisions, in the order they were sent."""


class Undone(Resource):
    """What was undone of a batch."""

    batch: str
    """The batch."""
    undone: int
    """How many decisions count no more."""
    kept: int
    """How many were left alone, because they had been replaced by others."""
