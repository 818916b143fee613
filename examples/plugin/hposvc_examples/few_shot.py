"""A learned start for few examples of a new task (implicit MAML: Rajeswaran et al., NeurIPS 2019).

    f(w, λ) = mean over tasks t of  loss of w_t on its examples + (ρ/2) ‖w_t − λ‖²
    F(w)    = mean over tasks t of  loss of w_t on its other examples

The tasks are sine waves of random height and phase (Finn, Abbeel and Levine, ICML 2017). All of them are trained at
once: each array of w has the tasks as its first axis.
"""

import io

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hposvc.bilevel import ModuleProblem, jt
from hposvc.problems import Plugin, Result, Table

STEPS, RATE = 20, 0.05  # of plain gradient descent on a new task


class Parameters(BaseModel):
    """What a job may say."""

    model_config = ConfigDict(extra="forbid")

    tasks: int = Field(100, ge=2, le=500, description="Tasks to learn the start from.")
    shots: int = Field(5, ge=1, le=100, description="Examples of each task.")
    units: int = Field(20, ge=1, le=200, description="Hidden units of the network.")
    proximity: float = Field(0.5, gt=0, le=100, description="ρ: how strongly a task is held near the start.")


def waves(tasks, shots, seed):
    """Examples of ``tasks`` sine waves: inputs and outputs (tasks, shots, 1)."""
    rng = np.random.default_rng(seed)
    height, phase = rng.uniform(0.5, 2, (tasks, 1, 1)), rng.uniform(0, np.pi, (tasks, 1, 1))
    x = rng.uniform(-3, 3, (tasks, 2 * shots, 1))
    y = height * np.sin(x + phase)
    return {"x": x[:, :shots], "y": y[:, :shots]}, {"x": x[:, shots:], "y": y[:, shots:]}


def error(w, batch):
    """The mean squared error of each task, (tasks,)."""
    hidden = jt.nn.bmm(batch["x"], w["in"]) + w["bias"]
    outputs = jt.nn.bmm(2 * jt.sigmoid(2 * hidden) - 1, w["out"])
    return (outputs - batch["y"]).sqr().mean(dims=(1, 2))


def near(w, start):
    """Half the squared distance of each task's network from the start, summed over tasks."""
    return 0.5 * sum((w[name] - start[name]).sqr().sum() for name in w)


def adapted(start, batch, proximity):
    """The start after some steps of gradient descent on each task of ``batch``."""
    tasks = len(batch["x"])
    start = {name: jt.array(np.repeat(array[None], tasks, 0).astype("float32")) for name, array in start.items()}
    w = start
    for _ in range(STEPS):
        gradients = jt.grad(error(w, batch).sum() + proximity * near(w, start), list(w.values()))
        w = {name: (w[name] - RATE * g).detach() for name, g in zip(w, gradients, strict=True)}
        jt.sync(list(w.values()))
    return w


class FewShot(Plugin[Parameters]):
    """Learns where a network starts, so that a few examples of a new task are enough."""

    parameters = Parameters
    defaults = {
        "solver": {"estimator": "unrolled", "lower": {"steps": 5}, "upper": {"learning_rate": 0.02}},
        "stop": {"iterations": 200},
    }

    def problem(self, parameters, *, seed, dtype):
        """The start above, a network for each task below."""
        rng, units = np.random.default_rng(seed), parameters.units
        self.random = {
            "in": rng.normal(0, 1, (1, units)),
            "bias": rng.normal(0, 1, (1, units)),
            "out": rng.normal(0, 1 / np.sqrt(units), (units, 1)),
        }
        support, query = waves(parameters.tasks, parameters.shots, seed)

        def lower_loss(w, start, batch):
            return error(w, batch).mean() + parameters.proximity / parameters.tasks * near(w, start)

        return ModuleProblem(
            model={name: np.repeat(array[None], parameters.tasks, 0) for name, array in self.random.items()},
            hyperparameters=self.random,
            lower_loss=lower_loss,
            upper_loss=lambda w, start, batch: error(w, batch).mean(),
            lower_data=support,
            upper_data=query,
            smooth=True,
            dtype=dtype,
        )

    def result(self, solved):
        """The error on new tasks, from the learned start and from the one at random."""
        support, query = waves(100, solved.parameters.shots, 10_000)
        batches = [{name: jt.array(a.astype("float32")) for name, a in part.items()} for part in (support, query)]
        errors = {
            name: float(error(adapted(start, batches[0], solved.parameters.proximity), batches[1]).mean().numpy()[0])
            for name, start in (("learned", solved.hyperparameters), ("random", self.random))
        }
        start = io.BytesIO()
        np.savez(start, **solved.hyperparameters)
        return Result(
            sentence=f"After {STEPS} steps on {solved.parameters.shots} examples of a new task, the error is "
            f"{errors['learned']:.3g} from the learned start, and {errors['random']:.3g} from a random one.",
            numbers={f"error from the {name} start": value for name, value in errors.items()},
            tables=[Table("Error on 100 new tasks", ("start", "squared error"), list(errors.items()))],
            files={"start.npz": start.getvalue()},
        )
