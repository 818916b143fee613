"""Linear models of all folds at once, and their paths over sizes of a penalty, for squared and log loss.

The lower problem of fold k, with w (d, c) and free biases:

    w_k = argmin_w  mean loss on the rows outside fold k  +  Σ_j l1_jk |w_j|  +  ½ l2 Σ_j |w_j|²

Solved in float64 by NumPy: the models stand beside each other, so that one product with the features serves all.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TEMPERATURE = 3.0  # τ: held-out rows of different folds were predicted by models that share most of their rows
NEGLIGIBLE = 1e-3  # held-out likelihood, relative to the best size, at which a path ends
ROUNDS = 5  # of looking for further features at a size
STEPS = 200  # of the proximal gradient in each round; most need fewer
TOLERANCE = 3e-4  # change of w per step, relative to the largest weight


class FoldModels:
    """Rows, folds, and the mean losses of the models of all folds and of all rows (the last) at once.

    Weights of all models stand beside each other: (d + 1, B, M, c) for B = K + 1 row subsets and M forms; the last row
    is the bias.
    """

    def __init__(self, x: Floats, y: NDArray[np.generic], fold: NDArray[np.int64]) -> None:
        n, d = x.shape
        self.k = int(fold.max()) + 1
        self.classes = int(y.max()) + 1 if np.issubdtype(y.dtype, np.integer) else 0
        self.c = 1 if self.classes <= 2 else self.classes
        self.x = np.hstack([x, np.ones((n, 1))])
        self.fold = fold
        inside = np.hstack([fold[:, None] != np.arange(self.k), np.ones((n, 1), bool)])
        self.share = inside / inside.sum(0)  # (n, B): the weight of each row in each mean
        self.target = np.eye(self.classes)[y.astype(int)] if self.classes > 2 else y.astype(float)[:, None]
        self.gram: Floats | None = None
        if not self.classes and d < n:
            self.gram = np.stack([(self.x * s[:, None]).T @ self.x for s in self.share.T])
            self.moment = np.stack([(self.x * s[:, None]).T @ self.target for s in self.share.T])
        curvature = {0: 1.0, 2: 0.25}.get(self.classes, 0.5)
        self.lipschitz = curvature * np.array([self._largest(b) for b in range(self.k + 1)])

    def restricted(self, active: NDArray[np.bool_]) -> FoldModels:
        """The same with the ``active`` (d + 1,) columns only; the bounds of all columns hold for these."""
        part = copy(self)
        part.x = self.x[:, active]
        if self.gram is not None:
            part.gram, part.moment = self.gram[:, active][:, :, active], self.moment[:, active]
        return part

    def _largest(self, b: int) -> float:
        v = np.ones(self.x.shape[1])
        for _ in range(30):
            v = v / np.linalg.norm(v)
            v = self.gram[b] @ v if self.gram is not None else self.x.T @ (self.share[:, b] * (self.x @ v))
        return 1.05 * float(np.linalg.norm(v))

    def gradient(self, w: Floats) -> Floats:
        """Of the mean losses, for each model."""
        p, b, m, c = w.shape
        if self.gram is not None:
            flat = w.transpose(1, 0, 2, 3).reshape(b, p, m * c)
            return np.asarray(
                (self.gram @ flat - self.moment).reshape(b, p, m, c).transpose(1, 0, 2, 3), dtype=np.float64
            )
        out = (self.x @ w.reshape(p, -1)).reshape(-1, b, m, c)
        error = (probabilities(out, self.classes) - self.target[:, None, None]) * self.share[:, :, None, None]
        return np.asarray((self.x.T @ error.reshape(len(error), -1)).reshape(w.shape), dtype=np.float64)

    def solve(self, w: Floats, right: Floats, ridge: float) -> Floats:
        """H_SS u = right_S by conjugate gradient, for all models at once; S is where ``w`` is not 0, and the biases."""
        support = w != 0
        support[-1] = True
        rows = support.any((1, 2, 3))
        part, support = self.restricted(rows), support[rows]
        slopes = part.curvature(w[rows])
        u = np.zeros_like(w)
        v = np.zeros_like(support, float)
        r = np.where(support, right[rows], 0)
        p, square, first = r, (r * r).sum((0, 3), keepdims=True), (r * r).sum()
        for _ in range(100):
            product = slopes(p)
            product[:-1] += (ridge + 1e-6) * p[:-1]
            product = np.where(support, product, 0)
            curved = (p * product).sum((0, 3), keepdims=True)
            rate = np.where(curved > 1e-10 * (p * p).sum((0, 3), keepdims=True), square / np.maximum(curved, 1e-300), 0)
            v, r = v + rate * p, r - rate * product
            before, square = square, (r * r).sum((0, 3), keepdims=True)
            if square.sum() <= 1e-10 * first:
                break
            p = r + square / np.maximum(before, 1e-300) * p
        u[rows] = v
        return u

    def curvature(self, w: Floats) -> Callable[[Floats], Floats]:
        """V ↦ (Hessian of the mean losses at w) v."""
        n, (p, b, m, c) = len(self.x), w.shape
        prediction = probabilities((self.x @ w.reshape(p, -1)).reshape(n, b, m, c), self.classes)

        def product(v: Floats) -> Floats:
            if self.gram is not None:
                return (
                    (self.gram @ v.transpose(1, 0, 2, 3).reshape(b, p, m * c)).reshape(b, p, m, c).transpose(1, 0, 2, 3)
                )
            out = (self.x @ v.reshape(p, -1)).reshape(n, b, m, c)
            if self.classes == 2:
                out = prediction * (1 - prediction) * out
            elif self.classes:
                out = prediction * (out - (prediction * out).sum(-1, keepdims=True))
            return np.asarray(
                (self.x.T @ (out * self.share[:, :, None, None]).reshape(n, -1)).reshape(w.shape), dtype=np.float64
            )

        return product

    def null(self) -> Floats:
        """The models without any feature: (d + 1, B, 1, c)."""
        w = np.zeros((self.x.shape[1], self.k + 1, 1, self.c))
        mean = self.share.T @ self.target
        w[-1, :, 0] = mean if not self.classes else np.log(mean / (1 - mean if self.classes == 2 else 1) + 1e-12)
        return w

    def held_out(self, w: Floats) -> Floats:
        """The outputs of each row by the models that have not seen it: (n, M, c)."""
        out = np.empty((len(self.x), *w.shape[2:]))
        for k in range(self.k):
            rows = self.fold == k
            out[rows] = np.tensordot(self.x[rows], w[:, k], 1)
        return out

    def loss(self, out: Floats) -> Floats:
        """The mean loss of outputs (n, ..., c): shaped (...)."""
        return mean_loss(out, self.target, self.classes)


def probabilities(out: Floats, classes: int) -> Floats:
    """What the targets are compared with: outputs, σ(output), or softmax."""
    if not classes:
        return out
    if classes == 2:
        return 1 / (1 + np.exp(-np.clip(out, -500, 500)))
    e = np.exp(out - out.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True), dtype=np.float64)


def mean_loss(out: Floats, target: Floats, classes: int) -> Floats:
    """Over rows, the first axis."""
    return np.asarray(row_losses(out, target, classes).mean(0), dtype=np.float64)


def row_losses(out: Floats, target: Floats, classes: int) -> Floats:
    """Squared error, or log loss, of outputs (n, ..., c): (n, ...)."""
    t = target.reshape(len(target), *[1] * (out.ndim - 2), -1)
    if not classes:
        return np.asarray(((out - t) ** 2).sum(-1), dtype=np.float64)
    if classes == 2:
        return np.asarray((np.logaddexp(0, out) - t * out).sum(-1), dtype=np.float64)
    top = out.max(-1)
    return np.asarray(top + np.log(np.exp(out - top[..., None]).sum(-1)) - (t * out).sum(-1), dtype=np.float64)


def ridge_path(data: FoldModels, sizes: Floats) -> Floats:
    """Exact ridges, (S, d + 1, B, 1, c): closed form for squared loss, otherwise by :func:`proximal_path`."""
    p, b = data.x.shape[1], data.k + 1
    if data.gram is None:
        return proximal_path(data, np.zeros((p, b, 1)), np.ones(1), sizes[:, None])
    out = np.empty((len(sizes), p, b, 1, data.c))
    diagonal = np.arange(p - 1)
    for i, size in enumerate(sizes):
        a = data.gram.copy()
        a[:, diagonal, diagonal] += size
        out[i, :, :, 0] = np.linalg.solve(a, data.moment).transpose(1, 0, 2)
    return out


def proximal_path(data: FoldModels, l1: Floats, l2: Floats, sizes: Floats) -> Floats:
    """Solutions (S, d + 1, B, M, c) for descending ``sizes`` (S, M), l1 templates (d + 1, B, M), ridges r (M,).

    Accelerated proximal gradient (Beck and Teboulle, 2009) with restarts (O'Donoghue and Candès, 2015), each size from
    the last, on the features that are in use or want to be. The path ends where the held-out likelihood of every form
    has.
    """
    p, b, m = l1.shape
    w = np.zeros((p, b, m, data.c))
    path: list[Floats] = []
    losses: list[Floats] = []
    for size in sizes:
        w = solved(data, w, l1 * size, size * l2)
        path.append(w)
        losses.append(data.loss(data.held_out(w)))
        lowest = np.min(losses, axis=0)
        if (likelihood(losses[-1], lowest, lowest, data) < NEGLIGIBLE).all():
            break
    return np.stack(path)


def solved(data: FoldModels, w: Floats, l1: Floats, l2: Floats) -> Floats:
    """The solution (d + 1, B, M, c) at strengths l1 (d + 1, B, M), l2 (M,), from ``w``."""
    threshold = l1[..., None].copy()
    threshold[-1] = 0
    active = np.zeros(len(w), bool)
    for _ in range(ROUNDS):
        slope = data.gradient(w)
        wanting = (w != 0).any((1, 2, 3)) | (np.abs(slope) > threshold).any((1, 2, 3))
        wanting[-1] = True
        if (wanting <= active).all():
            break
        active |= wanting
        w = w.copy()
        w[active] = minimized(data.restricted(active), w[active], threshold[active], l2)
    return w


def minimized(data: FoldModels, w: Floats, threshold: Floats, l2: Floats) -> Floats:
    """The weights at one size, from ``w``; the last row of ``w`` is the bias, which has no penalty."""
    ridge = np.broadcast_to(l2[None, None, :, None], (len(w), 1, len(l2), 1)).copy()
    ridge[-1] = 0
    rate = 1 / (data.lipschitz[None, :, None, None] + l2[None, None, :, None])
    z, t = w, np.ones((1, *w.shape[1:3], 1))
    for _ in range(STEPS):
        u = z - rate * (data.gradient(z) + ridge * z)
        new = u - np.clip(u, -rate * threshold, rate * threshold)
        step = new - w
        restart = ((z - new) * step).sum((0, 3), keepdims=True) > 0
        following = (1 + np.sqrt(1 + 4 * t * t)) / 2
        z = new + np.where(restart, 0, (t - 1) / following) * step
        t = np.where(restart, 1.0, following)
        w = new
        if np.abs(step).max() <= TOLERANCE * np.abs(new).max():
            break
    return w


def likelihood(losses: Floats, lowest: Floats, noise: Floats | float, data: FoldModels) -> Floats:
    """exp(−n (losses − lowest) / (τ σ²)), with σ² = 2 noise for squared loss (Gaussian errors), 1 for log loss."""
    spread = 1.0 if data.classes else 2 * np.maximum(noise, 1e-300)
    return np.exp(-len(data.x) * (losses - lowest) / (TEMPERATURE * spread))
