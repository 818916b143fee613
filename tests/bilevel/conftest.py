"""The errors that these tests measure, as a table: ``pytest tests/bilevel --errors docs/errors.md`` writes it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from hposvc.machine.arithmetic import processor
from tests.support.references import Measured

PAGE = """# The errors of the hypergradients

A test in `tests/bilevel` asserts every number here. The same run wrote this page:

    .venv/bin/pytest tests/bilevel -m "long or not long" --errors docs/errors.md

An error is ‖h − reference‖ / ‖reference‖ unless its row says otherwise. K is the number of lower steps.
Measured on {date} with {processor}, {cores} cores, Python {python}.

Default runs leave everything to the solver, on the data sets of scikit-learn. Every tenth hypergradient, the whole of
it, is compared with the exact one in float64 at the same point. Strengths end where the two parts of their
hypergradient cancel, and what is left carries the rounding of float32; the error bar says how much. The row names the
oracle that the run ended with.

With products in bf16, the error stays below two percent for every model. What remains in wide networks with relu comes
from its kinks, and from the rounding of weights and activations themselves. If the lower level is badly conditioned,
convergence in K is slow. This is a limit of the unrolled estimator, not an error of the computation.

| what | errors | asserted below |
|---|---|---|
{rows}
"""


class Error(NamedTuple):
    what: str
    case: str
    value: float
    below: float


ERRORS = pytest.StashKey[list[Error]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--errors", metavar="FILE", type=Path, help="write the errors that were measured to this page")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ERRORS] = []


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Assert that ``error`` is ``below`` a bound, and note it for the table: ``measured(what, case, error, below)``."""
    errors = request.config.stash.setdefault(ERRORS, [])

    def note(what: str, case: str, error: float, below: float) -> None:
        errors.append(Error(what, case, error, below))
        print(f"{what}, {case}: {error:.1e}")
        assert error < below, f"{what}, {case}"

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    page: Path | None = config.getoption("--errors", default=None)
    if page is None:
        return
    rows = _rows(config.stash[ERRORS])
    terminalreporter.write_sep("=", f"errors, written to {page}")
    terminalreporter.write_line("\n".join(rows))
    page.write_text(
        PAGE.format(
            date=datetime.now(UTC).date(),
            processor=processor(),
            cores=len(os.sched_getaffinity(0)),
            python=platform.python_version(),
            rows="\n".join(rows),
        )
    )


def _rows(errors: list[Error]) -> list[str]:
    """A row for each thing that was measured, with its cases in the order of the tests."""
    grouped: dict[str, list[Error]] = {}
    for error in errors:
        grouped.setdefault(error.what, []).append(error)
    rows = []
    for what, found in grouped.items():
        cases = "; ".join(f"{error.case}: {error.value:.1e}" for error in found)
        bounds = ", ".join(dict.fromkeys(f"{error.below:g}" for error in found if error.below < float("inf")))
        rows.append(f"| {what} | {cases} | {bounds or 'shown for comparison'} |")
    return rows
