"""Whether losses of one's own can be used: each is tried at the start, before a run finds out the hard way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hposvc.bilevel.arrays import Arrays, Var, constant, device_array
from hposvc.bilevel.loss_error import LossError
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.trees import Tree, leaves

if TYPE_CHECKING:
    from hposvc.bilevel.module_problem import ModuleProblem

Loss = Callable[[list[Var], list[Var]], Var]

# Two calls may differ by this many roundings of the loss: sums in another order are the same loss.
ROUNDINGS = 100

# A gradient may vanish at the start by chance, as at zeros, so it is looked at beside it, too.
BESIDE = 0.1


class _Gradients(NamedTuple):
    """Those of a loss, of w and of λ."""

    w: Arrays
    lam: Arrays


def check(problem: ModuleProblem) -> bool:
    """Try the losses of ``problem`` on all rows. Returns whether the lower loss draws random numbers.

    Raises:
        LossError: a loss is not one number, is not finite, differs from one call to the next, changes what it is given,
            or does not depend on what it has to depend on.
    """
    feed, upper_data = problem.lower_batch(None, (0, 0, 2)), problem.upper_on_device

    def lower(w: list[Var], lam: list[Var]) -> Var:
        return problem.lower_loss(w, lam, feed)

    below = _tried(problem, "lower_loss", lower, feed.data)
    above = _tried(problem, "upper_loss", lambda w, lam: problem.upper(w, lam).loss, upper_data)
    mixed = problem.aggregated_loss
    if mixed is not None:
        data = [feed.data, upper_data]
        _tried(problem, "aggregated_loss", lambda w, lam: mixed(w, lam, feed, constant(0.5, w[0])), data)
    _depends(
        "lower_loss",
        "w",
        [gradients.w for gradients in below],
        "nothing would be trained; compute it with the model that it is given",
    )
    _depends(
        "lower_loss",
        "λ",
        [gradients.lam for gradients in below],
        "the trained model would be the same for every λ; use the hyperparameters that it is given",
    )
    _depends(
        "upper_loss",
        "w",
        [gradients.w for gradients in above],
        "it would not judge what was trained; compute it with the model that it is given",
    )
    return feed.draws.used


def _tried(problem: ModuleProblem, name: str, loss: Loss, data: Tree) -> list[_Gradients]:
    """The gradients of ``loss`` at the start and beside it. Raises LossError for what one loss alone can do wrong."""
    start = problem.initial_w(np.random.default_rng(0)), problem.initial_lambda()
    w, lam = _arrays(problem, *start)
    given = [*w, *lam, *(leaf for _, leaf in leaves(data) if isinstance(leaf, jt.Var))]
    before = [array.numpy() for array in given]
    try:
        value = loss(w, lam)
    except LossError:
        raise
    except Exception as error:
        error.add_note(f"{name} of a ModuleProblem raised this when it was tried on all rows.")
        raise
    if str(value.dtype) != problem.dtype:
        raise LossError(
            name,
            f"is computed in {value.dtype}, not in {problem.dtype}",
            f"make the constants in it with dtype={problem.dtype!r}",
        )
    gradients = _gradients(value, w, lam)
    again = float(loss(w, lam).numpy()[0])
    number = float(value.numpy()[0])
    if any((array.numpy() != values).any() for array, values in zip(given, before, strict=True)):
        raise LossError(
            name,
            "changes the arrays that it is given",
            "make new ones instead: a += b changes a, a = a + b does not",
        )
    if not np.isfinite(number) or not all(np.isfinite(g).all() for g in (*gradients.w, *gradients.lam)):
        what = f"is {number:g}" if not np.isfinite(number) else "has a gradient that is not finite"
        raise LossError(name, f"{what} at the start", "look for a logarithm, a root or a quotient at zero")
    if abs(again - number) > ROUNDINGS * np.finfo(problem.dtype).eps * max(abs(number), abs(again)):
        raise LossError(
            name,
            f"is {number:.9g} in one call and {again:.9g} in the next, with the same arguments",
            "let it keep nothing from one call to the next, and draw random numbers in it only from jittor, "
            "numpy.random or random",
        )
    rng = np.random.default_rng(1)
    beside = _arrays(problem, *(_beside(arrays, rng) for arrays in start))
    return [gradients, _gradients(loss(*beside), *beside)]


def _depends(name: str, what: str, gradients: list[Arrays], consequence: str) -> None:
    if not any(np.nan_to_num(g, nan=1.0).any() for arrays in gradients for g in arrays):
        raise LossError(name, f"does not depend on {what}", consequence)


def _gradients(value: Var, w: list[Var], lam: list[Var]) -> _Gradients:
    found = [g.numpy() for g in jt.grad(value, [*w, *lam])]
    return _Gradients(found[: len(w)], found[len(w) :])


def _arrays(problem: ModuleProblem, w: Arrays, lam: Arrays) -> tuple[list[Var], list[Var]]:
    made = [[device_array(array, problem.dtype) for array in arrays] for arrays in (w, lam)]
    return made[0], made[1]


def _beside(arrays: Arrays, rng: np.random.Generator) -> Arrays:
    """``arrays``, each number moved at random, about a tenth of its size or of one."""
    return [array + BESIDE * (1 + np.abs(array)) * rng.normal(size=array.shape) for array in arrays]
