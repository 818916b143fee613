"""How many threads OpenMP uses, and whether oneDNN's products depend on it: on some processors they do."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

COUNTS = (1, 2, 3)


@contextmanager
def using(count: int | None) -> Iterator[None]:
    """``count`` threads of OpenMP within the block; None leaves them as they are."""
    openmp = ctypes.CDLL("libgomp.so.1")
    before = openmp.omp_get_max_threads()
    if count is not None:
        openmp.omp_set_num_threads(count)
    try:
        yield
    finally:
        openmp.omp_set_num_threads(before)


def products_keep_bits() -> bool:
    """Whether float32 products have the same bits with any number of threads on this processor."""
    from hposvc.bilevel.runtime import jt

    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(40, 70)).astype(np.float32), rng.normal(size=(70, 48)).astype(np.float32)
    products = []
    for count in COUNTS:
        with using(count):
            products.append(jt.matmul(jt.array(left), jt.array(right)).numpy().copy())
    return all(np.array_equal(products[0], other) for other in products[1:])
