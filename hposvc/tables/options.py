"""What a person says about the file that is uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class UploadOptions:
    """Which column is to be predicted and which one names the rows, and whether classes or numbers are predicted."""

    label: str | None = None
    id_column: str | None = None
    task: Task | None = None
