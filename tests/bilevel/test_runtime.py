"""Starting Jittor leaves the process as it was: each looked at in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

CHECK = """
import os, random, signal, ssl, sys, resource
import numpy as np

def interrupted(number, frame):
    print("interrupted")

signal.signal(signal.SIGINT, interrupted)
random.seed(1); np.random.seed(1)

def look():
    return (
        {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        ssl._create_default_https_context, sys.exit, sys.excepthook, sys.getrecursionlimit(),
        resource.getrlimit(resource.RLIMIT_STACK)[0], random.getstate(), np.random.get_state()[1].tolist(),
    )

before = look()
from hposvc.bilevel import runtime
assert look() == before, "importing the package starts nothing"
assert "jittor" not in sys.modules
runtime.start()
assert look() == before
os.kill(os.getpid(), signal.SIGINT)
child = os.fork()
if child == 0:
    signal.pause()
os.kill(child, signal.SIGKILL)
print(os.waitpid(child, 0)[1])
from hposvc.bilevel.runtime import jt
print(jt.compile_extern.mkl_ops is not None, jt.compile_extern.use_mkl)
"""


FLOAT64 = """
import numpy as np
from hposvc.bilevel import ReweightingProblem, SolveConfig, hypergradient, initial_state
rng = np.random.default_rng(0)
rows = (rng.normal(size=(20, 3)), np.arange(20) % 3)
problem = ReweightingProblem(train=rows, upper_rows=rows, n_classes=3, dtype="float64")
config = SolveConfig(oracle="{oracle}")
print(*hypergradient(problem, config, initial_state(problem, config))[0].numpy())
"""

USED = """
import jittor, numpy
s = jittor.array(numpy.ones(1, dtype="float32")); a = jittor.ones((2, 3)); b = jittor.ones((3, 2))
jittor.sync([s * a, s * b])
"""


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"log_silent": "1", "nvcc_path": "", "use_mpi": "0", "cache_name": "default"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_jittor_may_be_imported_first() -> None:
    """As people who come from BOAT do. The numbers are those of a process that did not."""
    first, usual, exact = (
        in_a_process(before + FLOAT64.format(oracle=oracle))
        for before, oracle in (
            ("import jittor", "finite_difference"),
            ("", "finite_difference"),
            ("import jittor", "exact"),
        )
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == usual.stdout
    np.testing.assert_allclose(*(np.array(each.stdout.split(), float) for each in (first, exact)), rtol=1e-6)


def test_float64_is_refused_where_jittor_has_spoilt_it() -> None:
    done = in_a_process(USED + FLOAT64.format(oracle="exact"))
    assert "RuntimeStartError" in done.stderr
    assert "before the first use of jittor" in done.stderr


def test_the_process_is_left_as_found() -> None:
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["interrupted", "9", "True", "True"]
