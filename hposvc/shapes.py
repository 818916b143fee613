"""The shapes of a model's weight matrices: one rule for what a specification costs and for the model that is built.

A matrix is (inputs, outputs). That of a convolution has a row for each weight of the kernel, k²·c_in, and a column for
each channel that it makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

Shape = tuple[int, int]
Image = tuple[int, int, int]  # height, width, channels


def dense(widths: Sequence[int]) -> list[Shape]:
    """The matrices between layers of so many units, from the features to the outputs."""
    return list(pairwise(widths))


def convolutional(
    image: Image, channels: Sequence[int], kernel: int, hidden: Sequence[int], outputs: int
) -> list[Shape]:
    """The matrices of a CNN: its convolutions, then its dense layers."""
    convolutions = [(kernel**2 * a, b) for a, b in pairwise([image[2], *channels])]
    return [*convolutions, *dense([flattened(image, channels), *hidden, outputs])]


def pooled(image: Image, times: int) -> tuple[int, int]:
    """Height and width after so many halvings; an odd last row or column is left out."""
    return image[0] >> times, image[1] >> times


def halvings(image: Image) -> int:
    """How often an image can be halved before nothing is left."""
    return min(image[:2]).bit_length() - 1


def flattened(image: Image, channels: Sequence[int]) -> int:
    """How many numbers the last map of an image has."""
    height, width = pooled(image, len(channels))
    return height * width * channels[-1]


def parameters(shapes: Iterable[Shape]) -> int:
    """How many numbers the matrices and their biases have together."""
    return sum((inputs + 1) * outputs for inputs, outputs in shapes)
