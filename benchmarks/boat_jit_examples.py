"""Make ``tests/bilevel/fixtures/boat_jit_examples.npz``: what boat-jit 1.1.1 computes for its own two examples.

``make peers``, then ``.peers/boat-jit/bin/python benchmarks/boat_jit_examples.py OUT.npz``, never in the project's own
environment. The examples are those of ``tests/support/boat_examples.py``. The file holds the first hypergradient of
each, λ, w and the upper loss after each of five iterations, and what docs/from-boat.md shows of wrong numbers.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

os.environ.setdefault("nvcc_path", "")
os.environ.setdefault("use_mpi", "0")
os.environ.setdefault("use_parallel_op_compiler", "0")
import jittor as jt
import numpy as np

signal.signal(signal.SIGINT, signal.default_int_handler)
import boat_jit

ITERATIONS = 5
SHARED = Path(__file__).parent.parent / "tests" / "support" / "boat_examples.py"
LOSSES: dict[str, Any] = {}


def _examples() -> Any:
    spec = importlib.util.spec_from_file_location("boat_examples", SHARED)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["boat_examples"] = module
    spec.loader.exec_module(module)
    return module


def lower(feed: Any, above: Any, below: Any, **_: Any) -> Any:
    return LOSSES["lower"](below, above, feed)


def upper(feed: Any, above: Any, below: Any, **_: Any) -> Any:
    return LOSSES["upper"](below, above, feed)


class Problem:
    """An example as boat-jit solves it."""

    def __init__(
        self, example: Any, *, operation: str = "RAD", steps: int = 1, return_grad: bool = False, adam: bool = False
    ) -> None:
        LOSSES.update(lower=example.lower_loss, upper=example.upper_loss)
        self.example = example
        self.lam, self.w = list(example.above.parameters()), list(example.below.parameters())
        self.w = [array for array in self.w if not array.is_stop_grad()]
        below_optimizer = jt.nn.SGD(
            self.w, lr=example.lower_rate, momentum=example.momentum, weight_decay=example.weight_decay
        )
        above_optimizer = jt.nn.Adam(self.lam, lr=0.01) if adam else jt.nn.SGD(self.lam, lr=example.upper_rate)
        config = {
            "gm_op": ["NGD"], "na_op": [operation], "fo_op": None,
            "lower_level_model": example.below, "upper_level_model": example.above,
            "lower_level_var": self.w, "upper_level_var": self.lam,
            "lower_level_opt": below_optimizer, "upper_level_opt": above_optimizer,
            "lower_iters": steps, "FD": {"r": 0.01}, "RGT": {"truncate_iter": 0}, "CG": {"k": 10, "tolerance": 1e-10},
            "GDA": {"alpha_init": 0.5, "alpha_decay": 0.9}, "DI": {"lr": 0.1},
            "accumulate_grad": False, "return_grad": return_grad, "copy_last_param": True,
            "device": "cpu", "loss_log_path": str(Path(mkdtemp()) / "loss.json"),
        }  # fmt: skip
        functions = {
            "lower_level_loss": {"function": f"{__name__}.lower", "params": {}},
            "upper_level_loss": {"function": f"{__name__}.upper", "params": {}},
        }
        self._problem = boat_jit.Problem(config, functions)
        self._problem.build_ll_solver()
        self._problem.build_ul_solver()
        self._feeds = [
            {name: jt.array(array) for name, array in feed.items()} for feed in (example.lower_data, example.upper_data)
        ]
        self._iteration = 0

    def iterate(self) -> Any:
        """What ``run_iter`` returns, without what it prints."""
        with contextlib.redirect_stdout(io.StringIO()):
            returned, _ = self._problem.run_iter(*self._feeds, self._iteration)
        self._iteration += 1
        return returned

    @property
    def upper_loss(self) -> float:
        """The loss that the last iteration reported."""
        return float(self._problem.loss_history[-1]["ul_loss"])


def flat(arrays: list[Any]) -> Any:
    return np.concatenate([np.asarray(array.numpy()).ravel() for array in arrays])


def main() -> None:
    out: dict[str, Any] = {}
    for name, make in _examples().EXAMPLES.items():
        out[f"{name}/hypergradient"] = flat(Problem(make(jt), return_grad=True).iterate())
        problem, path = Problem(make(jt)), []
        for _ in range(ITERATIONS):
            problem.iterate()
            path.append([flat(problem.lam), flat(problem.w), np.array([problem.upper_loss])])
        for place, kept in enumerate(("lambda", "w", "upper_loss")):
            out[f"{name}/{kept}"] = np.stack([each[place] for each in path])
    l2 = _examples().l2
    out["wrong/five_steps"] = flat(Problem(l2(jt), operation="FD", steps=5, return_grad=True).iterate())
    twice = Problem(l2(jt), operation="FD", return_grad=True)
    out["wrong/once"] = flat(twice.iterate())
    out["wrong/twice"] = flat(twice.iterate())
    with_adam = Problem(l2(jt), adam=True)
    with_adam.iterate()
    out["wrong/adam"] = flat(with_adam.lam)
    np.savez_compressed(sys.argv[1], **out)
    for name, array in out.items():
        print(name, array.shape, f"norm {np.linalg.norm(array):.6g}")


if __name__ == "__main__":
    main()
