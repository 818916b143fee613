"""The PyTorch branch of the seed, boat-torch: its ``FD`` operation with one lower step, upper optimizer Adam."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boat_torch
import torch
from contender import Arrays, Iterate, layers, serve
from torch.nn.functional import cross_entropy, relu


class Model(torch.nn.Module):
    """A module that holds the list of weights and biases."""

    def __init__(self, w: list[Any]) -> None:
        super().__init__()
        self.w = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(array.copy())) for array in w])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = list(self.parameters())
        for weight, bias in zip(w[:-2:2], w[1:-2:2], strict=True):
            x = relu(torch.addmm(bias, x, weight))
        return torch.addmm(w[-1], x, w[-2])


class Hyperparameters(torch.nn.Module):
    def __init__(self, lam: Any) -> None:
        super().__init__()
        self.lam = torch.nn.Parameter(torch.from_numpy(lam.copy()))


def lower(feed: dict[str, Any], above: Any, below: Any, **_: Any) -> torch.Tensor:
    losses = cross_entropy(below(feed["data"]), feed["target"], reduction="none")
    return (torch.sigmoid(above.lam) * losses).mean()


def upper(feed: dict[str, Any], above: Any, below: Any, **_: Any) -> torch.Tensor:
    loss = cross_entropy(below(feed["data"]), feed["target"])
    upper_losses.append(loss.detach())
    return loss


upper_losses: list[torch.Tensor] = []


def prepare(arrays: Arrays, case: dict[str, Any]) -> Iterate:
    torch.set_num_threads(case["threads"])
    below, above = Model(layers(arrays)), Hyperparameters(arrays["lam"])
    config = {
        "gm_op": ["NGD"], "na_op": ["FD"], "fo_op": None,
        "lower_level_model": below, "upper_level_model": above,
        "lower_level_var": list(below.parameters()), "upper_level_var": list(above.parameters()),
        "lower_level_opt": torch.optim.SGD(below.parameters(), lr=case["lower_learning_rate"]),
        "upper_level_opt": torch.optim.Adam(above.parameters(), lr=case["upper_learning_rate"]),
        "lower_iters": 1, "FD": {"r": case["radius"]}, "RGT": {"truncate_iter": 0},
        "GDA": {"alpha_init": 0.0, "alpha_decay": 0.9},
        "DI": {"lr": 0.1}, "accumulate_grad": False, "return_grad": False, "copy_last_param": True,
        "device": "cpu", "loss_log_path": str(Path(mkdtemp()) / "loss.json"),
    }  # fmt: skip
    functions = {
        "lower_level_loss": {"function": f"{__name__}.lower", "params": {}},
        "upper_level_loss": {"function": f"{__name__}.upper", "params": {}},
    }
    problem = boat_torch.Problem(config, functions)
    problem.build_ll_solver()
    problem.build_ul_solver()
    below_feed, above_feed = (
        {"data": torch.from_numpy(arrays[x]), "target": torch.from_numpy(arrays[y])}
        for x, y in (("X", "y"), ("Xv", "yv"))
    )

    norms: list[torch.Tensor] = []  # noted before the step, after which the gradient is dropped
    config["upper_level_opt"].register_step_pre_hook(lambda *_: norms.append(above.lam.grad.norm()))

    def iterate(count: int) -> tuple[float, float]:
        for index in range(count):
            problem._log_results.clear()
            norms.clear()
            upper_losses.clear()
            problem.run_iter(below_feed, above_feed, index)
        return float(upper_losses[-1]), float(norms[-1])

    return iterate


if __name__ == "__main__":
    serve(prepare)
