"""The same one-step loop in PyTorch: finite differences and double backward by hand, and by higher and TorchOpt.

Usage: ``python torch_contender.py CASE_JSON``, with ``variant`` one of fd, exact, higher, torchopt in the JSON.
"""

from __future__ import annotations

from typing import Any

import torch
from contender import Arrays, Iterate, batches, layers, serve
from torch.nn.functional import cross_entropy, relu

Tensors = list[torch.Tensor]


def forward(w: Tensors, x: torch.Tensor) -> torch.Tensor:
    for weight, bias in zip(w[:-2:2], w[1:-2:2], strict=True):
        x = relu(torch.addmm(bias, x, weight))
    return torch.addmm(w[-1], x, w[-2])


def prepare(arrays: Arrays, case: dict[str, Any]) -> Iterate:
    torch.set_num_threads(case["threads"])
    x, xv = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["Xv"])
    y, yv = torch.from_numpy(arrays["y"]), torch.from_numpy(arrays["yv"])
    w = [torch.from_numpy(value).clone().requires_grad_() for value in layers(arrays)]
    lam = torch.from_numpy(arrays["lam"]).clone().requires_grad_()
    upper = torch.optim.Adam([lam], lr=case["upper_learning_rate"])
    step, radius = case["lower_learning_rate"], case["radius"]
    following = batches(len(x), case["batch"])

    def lower_loss(w: Tensors, lam: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        part, label = (x, y) if rows is None else (x[rows], y[rows])
        if case["kind"] == "regularization_tuning":
            return cross_entropy(forward(w, part), label) + 0.5 * (lam.exp() * w[0].square().sum(1)).sum()
        losses = cross_entropy(forward(w, part), label, reduction="none")
        return (torch.sigmoid(lam if rows is None else lam[rows]) * losses).mean()

    def upper_loss(w: Tensors) -> torch.Tensor:
        return cross_entropy(forward(w, xv), yv)

    def exact(rows: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, Tensors]:
        gradient = torch.autograd.grad(lower_loss(w, lam, rows), w, create_graph=True)
        following_w = [p - step * g for p, g in zip(w, gradient, strict=True)]
        loss = upper_loss(following_w)
        return loss, torch.autograd.grad(loss, lam)[0], following_w

    def finite_difference(rows: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, Tensors]:
        gradient = torch.autograd.grad(lower_loss(w, lam.detach(), rows), w)
        following_w = [(p - step * g).detach().requires_grad_() for p, g in zip(w, gradient, strict=True)]
        loss = upper_loss(following_w)
        v = torch.autograd.grad(loss, following_w)
        eta = radius / torch.sqrt(sum(part.square().sum() for part in v))
        side = [
            torch.autograd.grad(
                lower_loss([(p + sign * eta * d).detach() for p, d in zip(w, v, strict=True)], lam, rows), lam
            )[0]
            for sign in (1, -1)
        ]
        return loss, -step * (side[0] - side[1]) / (2 * eta), following_w

    def with_higher(rows: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, Tensors]:
        import higher

        model = _Net(w)
        with higher.innerloop_ctx(model, torch.optim.SGD(model.parameters(), lr=step)) as (functional, optimizer):
            optimizer.step(lower_loss(list(functional.parameters()), lam, rows))
            following_w = list(functional.parameters())
            loss = upper_loss(following_w)
            return loss, torch.autograd.grad(loss, lam)[0], following_w

    def with_torchopt(rows: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, Tensors]:
        import torchopt

        optimizer = torchopt.FuncOptimizer(torchopt.sgd(lr=step))
        following_w = list(optimizer.step(lower_loss(w, lam, rows), tuple(w)))
        loss = upper_loss(following_w)
        return loss, torch.autograd.grad(loss, lam)[0], following_w

    variant = {"fd": finite_difference, "exact": exact, "higher": with_higher, "torchopt": with_torchopt}
    hypergradient = variant[case["variant"]]

    def iterate(count: int) -> tuple[float, float]:
        nonlocal w
        norms, losses = [], []
        for _ in range(count):
            rows = following()
            loss, gradient, following_w = hypergradient(None if rows is None else torch.from_numpy(rows))
            lam.grad = gradient
            upper.step()
            w = [p.detach().requires_grad_() for p in following_w]
            losses.append(loss.detach())
            norms.append(gradient.norm())
        return float(losses[-1]), float(norms[-1])

    return iterate


class _Net(torch.nn.Module):
    """A module that only holds the list, since higher patches modules."""

    def __init__(self, w: Tensors) -> None:
        super().__init__()
        self.w = torch.nn.ParameterList([torch.nn.Parameter(p.detach()) for p in w])


if __name__ == "__main__":
    serve(prepare)
