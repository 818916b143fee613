"""Regularization of linear models by strengths per feature that have few hyperparameters, for squared and log loss.

Lower problem of fold k (w: (d, c), biases free; the last "fold" is all rows, for the model handed over):

    w_k(θ) = argmin_w  mean loss on the rows outside fold k  +  a Σ_j s_jk |w_j|_1  +  ½ r Σ_j |w_j|²,   θ = (log a, γ,
    log r)

with s_jk = max(|ŵ_jk| / mean_j |ŵ_jk|, δ)^−γ, the adaptive lasso (Zou, "The adaptive lasso and its oracle properties",
2006; γ = 0: lasso and elastic net; a = 0: ridge). ŵ_k is the ridge solution *of the same fold*: what is held out stays
held out. As |w| = min_η ½ (w²/η + η), each is a ridge with a strength per feature, λ_j = a s_j / |w_j| + r, of which
three numbers are tuned.

Upper problem: the mean held-out loss over the folds. Tried are a path of ridges, of lassos, and of adaptive lassos with
γ = 1, and from the best of the last two θ goes on by L-BFGS with implicit hypergradients (:func:`tuned`). The answer is
the average of all that was tried, by :func:`shares`: the loss is flat and noisy about its minimum. An average of linear
models is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hposvc.strengths.fold_models import (
    Floats,
    FoldModels,
    likelihood,
    probabilities,
    proximal_path,
    ridge_path,
    row_losses,
    solved,
)

DELTA = 1e-3  # δ: bounds how much more a feature without influence is penalized than others
DRAWS = 200  # of row weights


class Form(NamedTuple):
    """Strengths s_j = max(|ŵ_j| / mean |ŵ|, δ)^−γ of the l1 penalty."""

    name: str
    gamma: float


FORMS = (Form("lasso", 0.0), Form("adaptive lasso", 1.0))


@dataclass(frozen=True)
class Model:
    """Outputs are x @ weights + bias: (d, c), (c,). Two classes have one output, the log odds of class 1."""

    weights: Floats
    bias: Floats
    two_classes: bool = False


@dataclass(frozen=True)
class Candidate:
    """A form with the size that is best on what was held out, and its ``share`` of the answer over all its sizes."""

    form: str
    size: float
    loss: float
    model: Model
    share: float


@dataclass(frozen=True)
class Average:
    """The average of all that was tried, as one model; its held-out ``loss``; ``evaluations`` of it were made."""

    model: Model
    candidates: list[Candidate]
    loss: float
    evaluations: int


def tuned(data: FoldModels, log_norms: Floats, start: tuple[float, float], w: Floats) -> tuple[Floats, Floats, int]:
    """θ = (log a, γ, log r) by L-BFGS on the held-out loss F; strengths a e^(−γ log_norms) |w| + ½ r w², log_norms (d,
    B).

    Implicit differentiation on the support S of the solution (Bertrand et al., "Implicit differentiation of Lasso-type
    models", 2020), where H is the Hessian of the lower problem: H_SS u = ∂F/∂w_S, dF/dθ = −⟨u, ∂(penalty
    gradient)_S/∂θ⟩. From (log a, γ) = ``start`` and its solution ``w`` (d + 1, B, 1, c); returns the solution there, θ,
    and the evaluations of F.
    """
    log_a, gamma = start
    factor = 1.0 if data.classes else 2.0
    current, evaluations = w, 0

    def strengths(theta: Floats) -> tuple[Floats, Floats]:
        l1 = np.zeros(w.shape[:3])
        l1[:-1, :, 0] = np.exp(theta[0] - theta[1] * log_norms)
        return l1, np.exp(theta[2:])

    def objective(theta: Floats) -> tuple[float, Floats]:
        nonlocal current, evaluations
        evaluations += 1
        l1, l2 = strengths(theta)
        current = solved(data, current, l1, l2)
        out = data.held_out(current)[:, 0]
        error = factor * (probabilities(out, data.classes) - data.target) / len(out)
        slope = np.zeros_like(current)
        for k in range(data.k):
            slope[:, k, 0] = data.x[data.fold == k].T @ error[data.fold == k]
        u = data.solve(current, slope, float(l2[0]))[:-1]
        inside = current[:-1]
        pull = l1[:-1, ..., None] * np.sign(inside)
        pulls = (pull, -log_norms[:, :, None, None] * pull, l2[0] * inside)
        return float(data.loss(out)), -np.array([(u * p).sum() for p in pulls])

    found = minimize(
        objective,
        np.array([log_a, gamma, log_a - 4]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 15, "maxfun": 25},
        bounds=[(log_a - 3, log_a + 3), (0, 2), (log_a - 8, log_a + 3)],
    )
    theta = found.x if np.isfinite(found.fun) else np.array([log_a, gamma, log_a - 4])
    return solved(data, np.nan_to_num(current), *strengths(theta)), theta, evaluations


def as_model(w: Floats, *, two_classes: bool) -> Model:
    """The model of weights (d + 1, c), the last row being the bias."""
    return Model(w[:-1], w[-1], two_classes)


def shares(losses: Floats, data: FoldModels, seed: int = 0) -> Floats:
    """The share of each solution from the held-out ``losses`` of rows (n, S): the mean, over draws of row weights, of

        exp(−n (L_s − min L) / (τ σ²)) / Σ, L = Σ_i g_i losses_i, g ~ Dirichlet(1, …, 1): pseudo-BMA+

    (Yao et al., "Using stacking to average Bayesian predictive distributions", 2018): a few rows decide nothing alone.
    """
    weights = np.random.default_rng(seed).exponential(size=(DRAWS, len(losses)))
    drawn = weights / weights.sum(1, keepdims=True) @ losses
    share = likelihood(drawn, drawn.min(1, keepdims=True), float(losses.mean(0).min()), data)
    return np.asarray((share / share.sum(1, keepdims=True)).mean(0), dtype=np.float64)


def assign_folds(y: NDArray[np.generic], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row: of equal size to within one row, as evenly as possible by class."""
    order = np.random.default_rng(seed).permutation(len(y))
    if np.issubdtype(y.dtype, np.integer):
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % folds
    return fold


class Path(NamedTuple):
    """Solutions of a form, (S, d + 1, B, c), for its sizes (S,)."""

    form: str
    sizes: Floats
    w: Floats


def paths(data: FoldModels, sizes: int) -> tuple[list[Path], Floats]:
    """Of every form, by falling size; and log(|ŵ_j| / mean |ŵ|) of the best ridge, (d, B), for the adaptive one."""
    d, b = data.x.shape[1] - 1, data.k + 1
    ridge_sizes = np.geomspace(1e2, 1e-2 / len(data.x), sizes)
    w = ridge_path(data, ridge_sizes)[:, :, :, 0]
    ridge_sizes = ridge_sizes[: len(w)]
    best = data.loss(data.held_out(w.transpose(1, 2, 0, 3))).argmin()
    norms = np.sqrt((w[best, :-1] ** 2).sum(-1))
    norms = norms / norms.mean(0)
    l1 = np.ones((d + 1, b, len(FORMS)))
    for m, form in enumerate(FORMS):
        l1[:-1, :, m] = np.maximum(norms, DELTA) ** -form.gamma
    reach = np.abs(data.gradient(data.null())[:-1]).max(3)  # (d, B, 1): the l1 at which a weight leaves zero
    l1_sizes = (reach / l1[:-1]).max((0, 1)) * np.geomspace(1, 1e-3, sizes)[:, None]
    other = proximal_path(data, l1, np.zeros(len(FORMS)), l1_sizes)
    l1_sizes = l1_sizes[: len(other)]
    found = [Path(f.name, l1_sizes[:, m], other[:, :, :, m]) for m, f in enumerate(FORMS)]
    return [Path("ridge", ridge_sizes, w), *found], np.log(np.maximum(norms, DELTA))


def average(x: Floats, y: NDArray[np.generic], *, folds: int = 10, seed: int = 0, sizes: int = 20) -> Average:
    """``x`` (n, d) standardized, without the rows for the test; ``y`` floats, or integers 0, 1, ... for classes."""
    data = FoldModels(x, y, assign_folds(y, folds, seed))
    found, log_norms = paths(data, sizes)
    losses = [data.loss(data.held_out(path.w.transpose(1, 2, 0, 3))) for path in found]
    i = min(range(1, len(found)), key=lambda m: losses[m].min())
    at = int(losses[i].argmin())
    start = float(np.log(found[i].sizes[at])), FORMS[i - 1].gamma
    last, theta, evaluations = tuned(data, log_norms, start, found[i].w[at][:, :, None])
    found.append(Path("tuned", np.exp(theta[:1]), last[None, :, :, 0]))
    w = np.concatenate([path.w for path in found]).transpose(1, 2, 0, 3)  # (d + 1, B, S, c)
    rows = row_losses(data.held_out(w), data.target, data.classes)
    share, loss = shares(rows, data), rows.mean(0)
    candidates, first = [], 0
    for path in found:
        here = slice(first, first := first + len(path.sizes))
        best = int(loss[here].argmin())
        candidates.append(
            Candidate(
                path.form,
                float(path.sizes[best]),
                float(loss[here][best]),
                as_model(path.w[best, :, -1], two_classes=data.classes == 2),
                float(share[here].sum()),
            )
        )
    model = as_model(np.einsum("psc,s->pc", w[:, -1], share), two_classes=data.classes == 2)
    together = np.einsum("pbsc,s->pbc", w, share)[:, :, None]
    held_out_loss = float(data.loss(data.held_out(together))[0])
    return Average(model, candidates, held_out_loss, evaluations)


def as_parameters(model: Model) -> list[Floats]:
    """Weights (d, k) and bias (k,) with an output for each class, as ``hposvc.bilevel.models.Linear`` has them."""
    if model.bias.shape == (1,) and model.two_classes:
        return [np.column_stack([np.zeros(len(model.weights)), model.weights[:, 0]]), np.array([0.0, model.bias[0]])]
    return [model.weights, model.bias]
