"""How much to smooth the labels of each class (label smoothing: Szegedy et al., CVPR 2016), learned.

f(w, λ) = −mean Σ_c t_c(y_i; λ) log q_c(x_i; w),   t(y; λ) = (1 − s_y) e_y + s_y / k,   s = σ(λ)
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hposvc.bilevel import ModuleProblem, jt
from hposvc.problems import Plugin, Result, Table
from hposvc_examples.digits import parts

CLASSES = 10


class Parameters(BaseModel):
    """What a job may say."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(300, ge=50, le=1000, description="Training rows of the digits.")
    noise: float = Field(0.2, ge=0, lt=1, description="Fraction of them whose label is made wrong.")
    start: float = Field(0.1, gt=0, lt=1, description="Smoothing of every class at the start.")


def log_probabilities(model, x):
    """Logarithms of the probabilities of the classes, (n, k)."""
    return jt.nn.log_softmax(model(x), dim=1)


class LabelSmoothing(Plugin[Parameters]):
    """Learns how much to smooth the labels of each class, on handwritten digits with wrong labels."""

    parameters = Parameters
    defaults = {"stop": {"iterations": 200}}

    def problem(self, parameters, *, seed, dtype):
        """A linear classifier below, ten logits of the smoothing above."""
        self.data = parts(parameters.rows, parameters.noise, seed)
        classes = np.eye(CLASSES)
        train, validation = (
            {"x": part["x"], "classes": classes[part["y"]]} for part in (self.data.train, self.data.validation)
        )

        def lower_loss(model, lam, batch):
            smoothing = (jt.sigmoid(lam["smoothing"]) * batch["classes"]).sum(1).unsqueeze(1)
            targets = batch["classes"] - smoothing * batch["classes"] + smoothing / CLASSES
            return -(targets * log_probabilities(model, batch["x"])).sum(1).mean()

        def upper_loss(model, lam, batch):
            return -(batch["classes"] * log_probabilities(model, batch["x"])).sum(1).mean()

        return ModuleProblem(
            model=jt.nn.Linear(64, CLASSES),
            hyperparameters={"smoothing": np.full(CLASSES, np.log(parameters.start / (1 - parameters.start)))},
            lower_loss=lower_loss,
            upper_loss=upper_loss,
            lower_data=train,
            upper_data=validation,
            convex=True,
            smooth=True,
            dtype=dtype,
        )

    def result(self, solved):
        """The smoothing of each class."""
        smoothing = 1 / (1 + np.exp(-solved.hyperparameters["smoothing"]))
        wrong = [self.data.wrong[self.data.train["y"] == c].mean() for c in range(CLASSES)]
        rows = [(str(c), smoothing[c], wrong[c]) for c in range(CLASSES)]
        return Result(
            sentence=f"The labels are smoothed by {smoothing.min():.2f} to {smoothing.max():.2f}; "
            f"{self.data.wrong.mean():.0%} of them are wrong.",
            tables=[Table("The smoothing of each class", ("class", "smoothing", "wrong labels"), rows)],
        )
