"""Cases on the stand-in for CUDA, held against the CPU and float64: what the quick and the whole tests share."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support import stand_in

Compared = dict[str, Any]
"""What :mod:`tests.support.cuda_cases` says of one case."""

# float32 rounds to 6e-8; a hypergradient sums over rows and takes differences.
EXACT, DIFFERENCES = 1e-5, 3e-3


def compare(*names: str) -> dict[str, Compared]:
    """What the cases of these names found, or all cases."""
    command = [sys.executable, "-m", "tests.support.cuda_cases", *names]
    run = subprocess.run(command, env=stand_in.variables(), stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return {case["name"]: case for case in found}


def check(compared: dict[str, Compared]) -> None:
    """Each case is as near to float64 on CUDA as on the CPU, and where CUDA has left the state, the CPU goes on."""
    failed = {name: case["failed"] for name, case in compared.items() if "failed" in case}
    assert not failed
    for name, case in compared.items():
        print(f"{name}: CPU {case['cpu']:.1e}, CUDA {case['cuda']:.1e}, {case['launches']} launches")
        assert case["cuda"] < max(10 * case["cpu"], EXACT), name
        assert case["cuda"] < DIFFERENCES, name
        assert case["cuda_values"] < max(10 * case["cpu_values"], EXACT), name
        assert case["launches"] > 0, name
        assert case["back"] < max(20 * case["cpu"], EXACT), name
    errors = sorted(case["cuda"] for case in compared.values())
    print(f"{len(compared)} cases; errors of CUDA from {errors[0]:.1e} to {errors[-1]:.1e}")
