"""What a person says about the file that is uploaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["classification", "regression"]
Decimal = Literal[".", ","]
Unlabelled = Literal["refuse", "leave_out"]


@dataclass(frozen=True)
class Reading:
    """How the text of a file is to be read, where a person says it: what is None is found out.

    ``date_format`` is one of ``strptime``, ``decimal`` the point or comma of numbers, ``missing_values`` the texts that
    stand for a missing value beside an empty one, ``missing_in`` those of columns that are named, in the place of the
    others, ``encoding`` how characters became bytes. ``header``: whether the first line names the columns.
    ``image_shape`` is the height, width and channels to which pictures are brought; only a model says it.
    """

    date_format: str | None = None
    decimal: Decimal | None = None
    missing_values: tuple[str, ...] | None = None
    encoding: str | None = None
    missing_in: tuple[tuple[str, tuple[str, ...]], ...] = ()
    header: bool = True
    image_shape: tuple[int, int, int] | None = None

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Reading:
        """What ``asdict`` made, also by way of JSON."""
        missing = said.get("missing_values")
        named = tuple((column, tuple(texts)) for column, texts in said.get("missing_in", ()))
        return cls(**{**said, "missing_values": None if missing is None else tuple(missing), "missing_in": named})

    def missing_of(self, column: str) -> tuple[str, ...] | None:
        """The texts that stand for a missing value in a column; None: those that usually do."""
        return dict(self.missing_in).get(column, self.missing_values)


@dataclass(frozen=True)
class UploadOptions:
    """Which column is to be predicted and which one names the rows, and whether classes or numbers are predicted.

    ``unlabelled``: whether rows without a label are left out of jobs, or the file is refused.
    """

    label: str | None = None
    id_column: str | None = None
    task: Task | None = None
    unlabelled: Unlabelled = "refuse"
    reading: Reading = field(default_factory=Reading)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> UploadOptions:
        """What ``asdict`` made, also by way of JSON."""
        return cls(**{**said, "reading": Reading.from_dict(said["reading"])})
