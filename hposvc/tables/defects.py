"""What is wrong with data, said so that a person can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hposvc.copyable import Copyable


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong: ``field`` is its dotted place in the request, ``remedy`` says how to mend it."""

    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}; {self.remedy}"


class DataError(Copyable, ValueError):
    """The spec cannot be run on its data. ``defects`` holds everything that was found, not only the first."""

    def __init__(self, defects: Iterable[Defect]) -> None:
        self.defects = list(defects)
        super().__init__("\n".join(str(defect) for defect in self.defects))


def for_shell(text: str) -> str:
    """``text`` in quotes, to be typed after an option."""
    return "'" + text.replace("'", "'\"'\"'") + "'"
