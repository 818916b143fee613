"""What the examination found, as data and for a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hposvc.machine.causes import Cause

MARKS = {"good": ("✓", "green"), "note": ("•", "yellow"), "fault": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``good``, a ``note`` that stops nothing, or a ``fault`` with its ``remedy``.

    ``cause`` names what is wrong, for scripts; None when nothing is.
    """

    name: str
    status: Literal["good", "note", "fault"]
    message: str
    remedy: str = ""
    cause: Cause | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def good(name: str, message: str) -> Finding:
    """Nothing is wrong."""
    return Finding(name, "good", message)


def note(name: str, cause: Cause, message: str, remedy: str) -> Finding:
    """Something is not as it could be, and stops nothing."""
    return Finding(name, "note", message, remedy, cause)


def fault(name: str, cause: Cause, message: str, remedy: str) -> Finding:
    """Something keeps the service from running."""
    return Finding(name, "fault", message, remedy, cause)


def table(findings: list[Finding]) -> Group:
    """The findings for a person, each with its remedy below it, and what they come to."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark, style = MARKS[finding.status]
        message = Text(finding.message)
        if finding.remedy:
            message.append(f"\n{finding.remedy}", style="dim")
        rows.add_row(Text(mark, style), finding.name, message)
    return Group(rows, "", _summary(findings))


def _summary(findings: list[Finding]) -> Text:
    faults = [finding.name for finding in findings if finding.status == "fault"]
    notes = sum(finding.status == "note" for finding in findings)
    besides = f" {notes} note{'s' if notes > 1 else ''}, which stop nothing." if notes else ""
    if faults:
        return Text(f"{len(faults)} to mend before the service runs here: {', '.join(faults)}.{besides}", "red")
    return Text(f"The service can run here.{besides}", "green")
