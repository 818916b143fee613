"""Independent results, in NumPy and float64, that the solver is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel import CNN

Array = NDArray[np.float64]
Measured = Callable[[str, str, float, float], None]  # the fixture ``measured`` of tests/bilevel/conftest.py


@dataclass(frozen=True)
class Ridge:
    """Linear regression with one L2 strength per feature, by hand.

    The lower loss is mean (Xw + b − y)² + ½ Σ e^{λ_j} w_j², a quadratic: its gradient is (A + D)θ − c with θ = (w, b).
    """

    x: Array
    y: Array
    x_upper: Array
    y_upper: Array

    def system(self, lam: Array) -> tuple[Array, Array]:
        ones = np.ones((len(self.x), 1))
        design = np.hstack([self.x, ones])
        strengths = np.append(np.exp(lam), 0.0)
        return 2 * design.T @ design / len(self.x) + np.diag(strengths), 2 * design.T @ self.y / len(self.x)

    def upper_gradient(self, theta: Array) -> Array:
        design = np.hstack([self.x_upper, np.ones((len(self.x_upper), 1))])
        return 2 * design.T @ (design @ theta - self.y_upper) / len(self.x_upper)

    def unrolled(
        self, lam: Array, theta: Array, rate: float, momentum: float, steps: int, truncate: int | None = None
    ) -> tuple[Array, Array]:
        """θ after ``steps`` steps and dF/dλ by forward accumulation over the last ``truncate`` of them."""
        matrix, vector = self.system(lam)
        d = len(lam)
        velocity, jacobian, jacobian_velocity = np.zeros(d + 1), np.zeros((d + 1, d)), np.zeros((d + 1, d))
        counted = steps if truncate is None else truncate
        for k in range(steps):
            gradient = matrix @ theta - vector
            if k >= steps - counted:
                explicit = np.zeros((d + 1, d))
                explicit[:d] = np.diag(np.exp(lam) * theta[:d])
                jacobian_velocity = momentum * jacobian_velocity + matrix @ jacobian + explicit
                jacobian = jacobian - rate * jacobian_velocity
            velocity = momentum * velocity + gradient
            theta = theta - rate * velocity
        return theta, jacobian.T @ self.upper_gradient(theta)

    def implicit(self, lam: Array, theta: Array) -> Array:
        """dF/dλ by the implicit function theorem with the inverse Hessian, at ``theta``."""
        matrix, _ = self.system(lam)
        q = np.linalg.solve(matrix, self.upper_gradient(theta))
        return -np.exp(lam) * theta[:-1] * q[:-1]

    def solution(self, lam: Array) -> Array:
        matrix, vector = self.system(lam)
        return np.linalg.solve(matrix, vector)


def ridge(seed: int = 0, rows: int = 40, features: int = 6) -> Ridge:
    rng = np.random.default_rng(seed)
    x, x_upper = rng.normal(size=(rows, features)), rng.normal(size=(rows // 2, features))
    w = rng.normal(size=features)
    return Ridge(x, x @ w + rng.normal(size=rows), x_upper, x_upper @ w + rng.normal(size=rows // 2))


def forward(model: CNN, w: Sequence[Array], x: Array, activate: Callable[[Array], Array] = np.tanh) -> Array:
    """The outputs of a convolutional network, pixel by pixel."""
    maps = x.reshape(-1, *model.image)
    k, layers = model.kernel, list(zip(w[::2], w[1::2], strict=True))
    for weight, bias in layers[: len(model.channels)]:
        n, height, width, channels = maps.shape
        padded = np.zeros((n, height + k - 1, width + k - 1, channels))
        padded[:, k // 2 : k // 2 + height, k // 2 : k // 2 + width] = maps
        kernel = weight.reshape(k, k, channels, -1)
        z = np.empty((n, height, width, kernel.shape[-1]))
        for row in range(height):
            for column in range(width):
                seen = padded[:, row : row + k, column : column + k]
                z[:, row, column] = np.einsum("nabc,abco->no", seen, kernel) + bias
        a = activate(z)
        height, width = height // 2 * 2, width // 2 * 2
        maps = (a[:, :height:2, :width:2] + a[:, 1:height:2, :width:2]) / 4
        maps = maps + (a[:, :height:2, 1:width:2] + a[:, 1:height:2, 1:width:2]) / 4
    z = maps.reshape(len(maps), -1)
    for i, (weight, bias) in enumerate(layers[len(model.channels) :]):
        z = (activate(z) if i else z) @ weight + bias
    return z


def relative_error(value: Array, reference: Array) -> float:
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
