"""The two examples of boat-jit, small: one L2 strength for each feature, and a search for an architecture.

Both are given as modules of Jittor, losses of (model, λ, batch), and arrays, so that boat-jit and hposvc run the same
code. This module imports neither: the Jittor of whoever runs it comes as ``jt``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Loss = Callable[[Any, Any, Any], Any]
Feeds = dict[str, NDArray[Any]]

FEATURES, CLASSES = 20, 4
SIDE, CHANNELS, OPERATIONS, EDGES = 6, 4, 4, 2
DECAY = 3e-4


@dataclass(frozen=True)
class Example:
    """A problem of both: modules below and above, losses, feeds, and the settings that its configuration names."""

    below: Any
    above: Any
    lower_loss: Loss
    upper_loss: Loss
    lower_data: Feeds
    upper_data: Feeds
    lower_rate: float
    momentum: float
    upper_rate: float
    weight_decay: float = 0.0


def l2(jt: Any, seed: int = 0) -> Example:
    """A linear classifier; λ are the logarithms of one strength for each feature. Half of the features are noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(FEATURES, CLASSES)) * (np.arange(FEATURES) < FEATURES // 2)[:, None]

    class Below(jt.nn.Module):
        def __init__(self) -> None:
            start = rng.normal(size=(FEATURES, CLASSES)) * (2 / CLASSES) ** 0.5
            self.y = jt.array(start.astype(np.float32))

        def execute(self) -> Any:
            return self.y

    class Above(jt.nn.Module):
        def __init__(self) -> None:
            self.x = jt.zeros(FEATURES)

        def execute(self) -> Any:
            return self.x

    def upper_loss(below: Any, above: Any, feed: Any) -> Any:
        return jt.nn.cross_entropy_loss(feed["data"] @ below(), feed["target"])

    def lower_loss(below: Any, above: Any, feed: Any) -> Any:
        penalty = (below().sqr() * jt.exp(above()).unsqueeze(1)).mean() * 0.5
        return upper_loss(below, above, feed) + penalty

    def feed(rows: int) -> Feeds:
        data = rng.normal(size=(rows, FEATURES)).astype(np.float32)
        return {"data": data, "target": (data @ truth + rng.normal(size=(rows, CLASSES))).argmax(1).astype(np.int32)}

    return Example(Below(), Above(), lower_loss, upper_loss, feed(60), feed(40), 0.5, 0.0, 10.0)


def _layers(jt: Any, rng: np.random.Generator) -> tuple[Callable[..., Any], Callable[[int, int, int], Any]]:
    """What makes an array of normal numbers, and a convolution that keeps the size of its images."""

    def array(*shape: int, scale: float) -> Any:
        return jt.array((scale * rng.normal(size=shape)).astype(np.float32))

    def convolution(inputs: int, outputs: int, size: int) -> Any:
        layer = jt.nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        layer.weight = array(outputs, inputs, size, size, scale=(2 / (inputs * size**2)) ** 0.5)
        return layer

    return array, convolution


def architecture(jt: Any, seed: int = 1) -> Example:
    """A convolutional network whose edges mix four operations; λ are the logits of the mixtures (DARTS)."""
    rng = np.random.default_rng(seed)
    array, convolution = _layers(jt, rng)

    class Edge(jt.nn.Module):
        """A mixture of: nothing, the input, its means over 3 × 3 pixels, and a convolution."""

        def __init__(self) -> None:
            self.convolution = convolution(CHANNELS, CHANNELS, 3)
            self.norm = jt.nn.BatchNorm(CHANNELS, affine=False)

        def execute(self, x: Any, weights: Any) -> Any:
            means = jt.nn.pool(x, 3, "mean", padding=1, stride=1)
            filtered = self.norm(self.convolution(jt.nn.relu(x)))
            return weights[0] * x * 0.0 + weights[1] * x + weights[2] * means + weights[3] * filtered

    class Below(jt.nn.Module):
        def __init__(self) -> None:
            self.stem = convolution(1, CHANNELS, 3)
            self.norm = jt.nn.BatchNorm(CHANNELS, affine=False)
            self.edge0, self.edge1 = Edge(), Edge()
            self.last = jt.nn.Linear(CHANNELS, CLASSES)
            self.last.weight = array(CLASSES, CHANNELS, scale=0.5)
            self.last.bias = array(CLASSES, scale=0.1)

        def execute(self, x: Any, logits: Any) -> Any:
            weights = jt.nn.softmax(logits, dim=-1)
            x = self.norm(self.stem(x))
            x = self.edge1(self.edge0(x, weights[0]), weights[1])
            return self.last(jt.nn.relu(x).mean([2, 3]))

    class Above(jt.nn.Module):
        def __init__(self) -> None:
            self.logits = array(EDGES, OPERATIONS, scale=0.5)

        def execute(self) -> Any:
            return self.logits

    def loss(below: Any, above: Any, feed: Any) -> Any:
        return jt.nn.cross_entropy_loss(below(feed["data"], above()), feed["target"])

    def feed(rows: int) -> Feeds:
        patterns = np.random.default_rng(seed).normal(size=(CLASSES, 1, SIDE, SIDE))
        target = np.arange(rows) % CLASSES
        data = patterns[target] + 0.5 * rng.normal(size=(rows, 1, SIDE, SIDE))
        return {"data": data.astype(np.float32), "target": target.astype(np.int32)}

    return Example(Below(), Above(), loss, loss, feed(24), feed(16), 0.025, 0.9, 3.0, DECAY)


EXAMPLES: dict[str, Callable[[Any], Example]] = {"l2": l2, "architecture": architecture}
