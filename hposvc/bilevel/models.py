"""Models as pure functions of a list of parameters.

Every model is ``head(lift(w, x))`` where ``lift`` is *linear* in the parameters: it holds the pre-activations of the
first layer beside the parameters themselves. A perturbation w ± ηp of the parameters is then a perturbation
``lift(w) ± η·lift(p)`` that needs one product with the data for p and none for either sign, and that never rounds
w ± ηp before a product (see docs/speed.md for what that is worth on tensor cores).

Shapes: x is (n, d); w alternates weight matrices and biases, ``[W₀ (d, h), b₀ (h,), W₁ (h, k), b₁ (k,), …]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import numpy as np

from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Arrays, Var, constant
from hposvc.bilevel.runtime import jt

Activation = Literal["relu", "gelu", "tanh"]

Kept = Sequence[Var]
"""Which units of each thinned layer are kept, (n, units) of booleans; empty where nothing is dropped."""


class Outputs(NamedTuple):
    """Outputs (n, k) = ``z`` + ``bias``, which the loss adds on its way."""

    z: Var | fused.Moved
    bias: Var | fused.Moved

    def total(self) -> Var:
        """Z + bias."""
        return fused.as_array(self.z) + fused.as_array(self.bias)

    def correct(self, labels: Var) -> Var:
        """Ones for the rows whose largest output is that of their label and zeros for the others, (n,)."""
        if fused.usable():
            return fused.correct(fused.as_array(self.z), fused.as_array(self.bias), labels)
        outputs = self.total()
        return (jt.argmax(outputs, 1)[0] == labels).cast(outputs.dtype)


class Model(Protocol):
    """What the problems need of a model."""

    @property
    def dropout(self) -> float:
        """The probability that a unit is dropped in a lower step."""

    @property
    def convex(self) -> bool:
        """Whether a loss that is convex in the outputs is convex in the parameters, too."""

    @property
    def smooth(self) -> bool:
        """Whether it has second derivatives everywhere."""

    def initial(self, features: int, outputs: int, rng: np.random.Generator) -> Arrays:
        """Fresh parameters, as float64 arrays."""

    def lift(self, w: list[Var], x: Var) -> list[Var]:
        """A linear map of ``w``: the first pre-activations, without bias, then ``w`` itself."""

    def outputs(self, u: list[Var], kept: Kept = ()) -> Outputs:
        """Outputs (n, k) from lifted parameters, without their bias: logits of k classes, or k = 1 prediction.

        The first of ``u`` may be :class:`hposvc.bilevel.fused.Moved`. ``kept`` are the units of one lower step, from
        :meth:`draw`; everything that judges a model leaves it out.
        """

    def head(self, u: list[Var], kept: Kept = ()) -> Var:
        """Outputs (n, k) from lifted parameters: :meth:`outputs` with their bias."""
        return self.outputs(u, kept).total()

    def draw(self, rows: int, rng: np.random.Generator) -> Arrays:
        """The units that a lower step on ``rows`` rows keeps, (rows, units) of booleans per thinned layer."""

    def row_names(self, layer: int, rows: int, features: Sequence[str]) -> Sequence[str]:
        """What the ``rows`` rows of a layer's weight matrix take in, given the names of the features."""


@dataclass(frozen=True)
class Linear(Model):
    """One affine map: softmax regression or linear regression. It has no unit that could be dropped."""

    @property
    def dropout(self) -> float:
        """Zero."""
        return 0.0

    @property
    def convex(self) -> bool:
        """It is."""
        return True

    @property
    def smooth(self) -> bool:
        """It is."""
        return True

    def initial(self, features: int, outputs: int, rng: np.random.Generator) -> Arrays:
        """Zeros: the loss is convex."""
        return [np.zeros((features, outputs)), np.zeros(outputs)]

    def lift(self, w: list[Var], x: Var) -> list[Var]:
        """``[x W₀, *w]``."""
        return [jt.matmul(x, w[0]), *w]

    def outputs(self, u: list[Var], kept: Kept = ()) -> Outputs:
        """``x W₀`` and ``b₀``."""
        z, _, bias = u
        return Outputs(z, bias)

    def draw(self, rows: int, rng: np.random.Generator) -> Arrays:
        """Nothing."""
        return []

    def row_names(self, layer: int, rows: int, features: Sequence[str]) -> Sequence[str]:
        """The features."""
        return features


@dataclass(frozen=True)
class MLP(Model):
    """Fully connected layers with one activation between them, whose hidden units ``dropout`` thins."""

    hidden: tuple[int, ...] = (256,)
    activation: Activation = "relu"
    dropout: float = 0.0

    @property
    def convex(self) -> bool:
        """It is not."""
        return False

    @property
    def smooth(self) -> bool:
        """Without relu, it is."""
        return self.activation != "relu"

    def initial(self, features: int, outputs: int, rng: np.random.Generator) -> Arrays:
        """Weights N(0, 2/fan-in) for relu and gelu (He et al., 2015), N(0, 1/fan-in) for tanh; biases zero."""
        return random_layers(pairwise((features, *self.hidden, outputs)), self.activation, rng)

    def lift(self, w: list[Var], x: Var) -> list[Var]:
        """``[x W₀, *w]``."""
        return [jt.matmul(x, w[0]), *w]

    def outputs(self, u: list[Var], kept: Kept = ()) -> Outputs:
        """The layers after the first product."""
        if any(isinstance(array, fused.Moved) for array in u[1:]):
            return self._outputs_moved(u, kept)
        z, _, bias, *deeper = u
        for layer, (weight, following) in enumerate(zip(deeper[::2], deeper[1::2], strict=True)):
            if fused.usable() and not kept:
                z = fused.hidden_layer(z, bias, weight, self.activation)
            else:
                active = ACTIVATIONS[self.activation](fused.as_array(z) + bias)
                z = jt.matmul(dropped(active, kept, layer, self.dropout), weight)
            bias = following
        return Outputs(z, bias)

    def _outputs_moved(self, u: list[fused.Moved], kept: Kept) -> Outputs:
        """The same where every parameter is moved, with no product of a moved array but of differences.

        A product of moved activations with moved weights, rounded as on tensor cores, would lose the move in the
        rounding of what was there before. With a = α(z) before the move and a + d after it, W moving by s V,

            (a + d)(W + s V) = a W + (d W + s (a + d) V)

        of which the first is the same on either side, and cancels, and the rest is rounded relative to itself.
        """
        z, _, bias, *deeper = u
        base, step, activate = z.base, z.step, ACTIVATIONS[self.activation]
        difference = step * z.along
        for layer, (weight, following) in enumerate(zip(deeper[::2], deeper[1::2], strict=True)):
            before = activate(base + bias.base)
            after = activate(base + difference + fused.as_array(bias))
            before, after = (dropped(a, kept, layer, self.dropout) for a in (before, after))
            base = jt.matmul(before, weight.base)
            difference = jt.matmul(after - before, weight.base) + step * jt.matmul(after, weight.along)
            bias = following
        return Outputs(base + difference, fused.as_array(bias))

    def draw(self, rows: int, rng: np.random.Generator) -> Arrays:
        """Which hidden units are kept for each row."""
        return kept_units(self.dropout, rows, self.hidden, rng)

    def row_names(self, layer: int, rows: int, features: Sequence[str]) -> Sequence[str]:
        """The features, then the units of the layer before."""
        return features if layer == 0 else [f"layer {layer - 1} unit {i}" for i in range(rows)]


def random_layers(shapes: Iterable[tuple[int, int]], activation: Activation, rng: np.random.Generator) -> Arrays:
    """Weights N(0, 2/rows), or N(0, 1/rows) for tanh, each matrix followed by zero biases."""
    gain = 1.0 if activation == "tanh" else 2.0
    w: Arrays = []
    for rows, columns in shapes:
        w += [rng.normal(0.0, math.sqrt(gain / rows), (rows, columns)), np.zeros(columns)]
    return w


def kept_units(dropout: float, rows: int, widths: Sequence[int], rng: np.random.Generator) -> Arrays:
    """Each unit kept with probability 1 − ``dropout``, independently: (rows, width) of booleans per layer."""
    if not dropout:
        return []
    return [rng.random((rows, width), dtype=np.float32) >= dropout for width in widths]


def dropped(a: Var, kept: Kept, layer: int, dropout: float) -> Var:
    """Inverted dropout (Srivastava et al., 2014): kept units divided by 1 − p, so that expectations stay."""
    return a * kept[layer] * constant(1 / (1 - dropout), a) if kept else a


def relu(z: Var) -> Var:
    """max(z, 0), as a product: Jittor's own relu is a branch that does not vectorize."""
    return z * (z > 0)


def gelu(z: Var) -> Var:
    """The tanh form of z·Φ(z), ½z(1 + tanh y) = z·σ(2y) (Hendrycks and Gimpel, 2016, arXiv:1606.08415)."""
    slope, cubic = constant(math.sqrt(8 / math.pi), z), constant(0.044715, z)
    return z * jt.sigmoid(slope * (z + cubic * (z * z * z)))


def tanh(z: Var) -> Var:
    """2σ(2z) − 1. Jittor differentiates its own tanh as 1/cosh², which is NaN as soon as cosh² overflows (z > 44)."""
    return 2 * jt.sigmoid(2 * z) - 1


ACTIVATIONS = {"relu": relu, "gelu": gelu, "tanh": tanh}
