"""A convolutional network as a pure function of a list of parameters (see :mod:`hposvc.bilevel.models`).

Images are (n, H, W, C), channels last. A convolution is written as Jittor's meta-operators, which it recognizes and
hands to oneDNN in float32: forward, backward for the image, and backward for the kernel, whichever of them a first or
second derivative turns out to be. Against products with unfolded patches (im2col) that took half to two thirds of the
time from 16 channels on, and it spares the memory of k² copies of each image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hposvc import shapes
from hposvc.bilevel import fused
from hposvc.bilevel.arrays import Arrays, Var, constant
from hposvc.bilevel.models import (
    ACTIVATIONS,
    Activation,
    Kept,
    Model,
    Outputs,
    dropped,
    kept_units,
    random_layers,
)
from hposvc.bilevel.runtime import jt


@dataclass(frozen=True)
class CNN(Model):
    """Convolutions that keep the image's size, each followed by the activation and by pooling; then dense layers.

    ``image`` is (H, W, C), the rows of x being flattened images. Each convolution has stride 1, an odd ``kernel`` and
    zeros beyond the border. Its activations are averaged over 2 × 2 pixels, an odd last row or column being left out:
    unlike the maximum, the average is linear, so it adds no kinks between w ± ηp and no term to second derivatives.
    ``dropout`` thins the inputs of the dense layers only: neighbouring pixels of a map repeat each other, so that
    dropping single ones takes little away (Tompson et al., 2015).

    w holds a convolution as a matrix (k²·c_in, c_out), its rows ordered by kernel row, kernel column and channel, and a
    bias; then the dense layers like an MLP, on maps flattened in the order (H, W, C).

    Raises:
        ValueError: the image is too small to be halved once for each convolution, or the kernel is even.
    """

    image: tuple[int, int, int]
    channels: tuple[int, ...] = (16, 32)
    kernel: int = 3
    hidden: tuple[int, ...] = (64,)
    activation: Activation = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        height, width, _ = self.image
        if len(self.channels) > shapes.halvings(self.image):
            raise ValueError(f"{len(self.channels)} convolutions halve {height} × {width} pixels to nothing: use fewer")
        if self.kernel % 2 == 0:
            raise ValueError(f"a kernel of {self.kernel} has no middle: use an odd one")

    @property
    def convex(self) -> bool:
        """It is not."""
        return False

    @property
    def smooth(self) -> bool:
        """Without relu, it is."""
        return self.activation != "relu"

    @property
    def flattened(self) -> int:
        """How many numbers the last map of an image has."""
        return shapes.flattened(self.image, self.channels)

    def initial(self, features: int, outputs: int, rng: np.random.Generator) -> Arrays:
        """As for an MLP; the fan-in of a convolution is k²·c_in."""
        if features != math.prod(self.image):
            raise ValueError(f"images of {self.image} have {math.prod(self.image)} pixels, not {features}")
        matrices = shapes.convolutional(self.image, self.channels, self.kernel, self.hidden, outputs)
        return random_layers(matrices, self.activation, rng)

    def lift(self, w: list[Var], x: Var) -> list[Var]:
        """``[x ∗ W₀, *w]``, the first of shape (n, H, W, c)."""
        return [convolve(x.reshape([x.shape[0], *self.image]), w[0], self.kernel), *w]

    def outputs(self, u: list[Var], kept: Kept = ()) -> Outputs:
        """The layers after the first convolution."""
        z, _, bias, *deeper = map(fused.as_array, u)
        activate = ACTIVATIONS[self.activation]
        split = 2 * len(self.channels) - 2
        maps = average(activate(z + bias))
        for weight, bias in zip(deeper[:split:2], deeper[1:split:2], strict=True):
            maps = average(activate(convolve(maps, weight, self.kernel) + bias))
        a = maps.reshape([maps.shape[0], self.flattened])
        for layer, (weight, bias) in enumerate(zip(deeper[split::2], deeper[split + 1 :: 2], strict=True)):
            z = jt.matmul(dropped(a, kept, layer, self.dropout), weight)
            a = activate(z + bias)  # of the last layer nobody asks it
        return Outputs(z, bias)

    def draw(self, rows: int, rng: np.random.Generator) -> Arrays:
        """Which inputs of the dense layers are kept for each row."""
        return kept_units(self.dropout, rows, (self.flattened, *self.hidden), rng)

    def row_names(self, layer: int, rows: int, features: Sequence[str]) -> Sequence[str]:
        """Rows and columns from the middle of the kernel, with the channel; then the units of the layer before."""
        if layer >= len(self.channels):
            return [f"layer {layer - 1} unit {i}" for i in range(rows)]
        around = range(-(self.kernel // 2), self.kernel // 2 + 1)
        channels = range(rows // self.kernel**2)
        source = f"layer {layer - 1}" if layer else "pixel"
        return [f"{source} ({y:+d}, {x:+d}) channel {c}" for y in around for x in around for c in channels]


def convolve(image: Var, weight: Var, kernel: int) -> Var:
    """Cross-correlation of ``image`` (n, H, W, c) with ``weight`` (k²·c, o), zeros beyond the border: (n, H, W, o)."""
    n, height, width, channels = image.shape
    shape = [n, height, width, kernel, kernel, channels, weight.shape[1]]
    reach = kernel // 2
    seen = image.reindex(shape, ["i0", f"i1*1-{reach}+i3*1", f"i2*1-{reach}+i4*1", "i5"])
    weights = weight.reshape([kernel, kernel, channels, weight.shape[1]]).broadcast(shape, [0, 1, 2])
    return (seen * weights).sum([3, 4, 5])


def average(maps: Var) -> Var:
    """Means over 2 × 2 pixels: (n, H, W, c) to (n, ⌊H/2⌋, ⌊W/2⌋, c)."""
    n, height, width, channels = maps.shape
    h, w = height // 2, width // 2
    if (height, width) != (2 * h, 2 * w):
        maps = maps.reindex([n, 2 * h, 2 * w, channels], ["i0", "i1", "i2", "i3"])
    sums = maps.reshape([n, h, 2, w, 2, channels]).sum([2, 4])
    return constant(0.25, sums) * sums
