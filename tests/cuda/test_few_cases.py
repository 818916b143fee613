"""The solver on the stand-in for CUDA, in minutes from a cold start: ``make cuda-fast``."""

from __future__ import annotations

import pytest

from tests.support.compared import check, compare

pytestmark = pytest.mark.cuda

CASES = ("reweighting, MLP tanh", "regularization, linear")


def test_the_usual_cases_are_as_near_to_float64_on_cuda_as_on_the_cpu() -> None:
    compared = compare(*CASES)
    assert {*compared} == {*CASES}
    check(compared)
