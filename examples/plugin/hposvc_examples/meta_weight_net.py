"""Meta-Weight-Net (Shu et al., NeurIPS 2019): a small network weighs each row by its loss.

f(w, λ) = Σ_i V(ℓ_i; λ) ℓ_i / Σ_i V(ℓ_i; λ) over training rows        F(w) = mean of ℓ_i over trusted rows
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hposvc.bilevel import ModuleProblem, jt
from hposvc.problems import Plugin, Result, Table
from hposvc_examples.digits import parts


class Parameters(BaseModel):
    """What a job may say."""

    model_config = ConfigDict(extra="forbid")

    rows: int = Field(300, ge=50, le=1000, description="Training rows of the digits.")
    noise: float = Field(0.4, ge=0, lt=1, description="Fraction of them whose label is made wrong.")
    units: int = Field(16, ge=1, le=1000, description="Hidden units of the network that weighs.")


def losses(model, batch):
    """The cross-entropy of each row, (n,)."""
    return jt.nn.cross_entropy_loss(model(batch["x"]), batch["y"], reduction="none")


def weights(net, row_losses):
    """The weight of each row, 0 to 1, by its loss, (n,)."""
    return jt.sigmoid(net(row_losses.reshape([-1, 1]))).reshape([-1])


class MetaWeightNet(Plugin[Parameters]):
    """Finds a weight for each row as a function of its loss, on handwritten digits with wrong labels."""

    parameters = Parameters
    defaults = {"solver": {"upper": {"learning_rate": 0.03}}, "stop": {"iterations": 300}}

    def problem(self, parameters, *, seed, dtype):
        """A linear classifier below, the network of the weights above."""
        self.data = parts(parameters.rows, parameters.noise, seed)
        net = jt.nn.Sequential(jt.nn.Linear(1, parameters.units), jt.nn.Sigmoid(), jt.nn.Linear(parameters.units, 1))

        def lower_loss(model, net, batch):
            row_losses = losses(model, batch)
            shares = weights(net, row_losses.detach())
            return (shares * row_losses).sum() / shares.sum()

        def accuracy(model, net, batch):
            return (jt.argmax(model(batch["x"]), 1)[0] == batch["y"]).float32().mean()

        return ModuleProblem(
            model=jt.nn.Linear(64, 10),
            hyperparameters=net,
            lower_loss=lower_loss,
            upper_loss=lambda model, net, batch: losses(model, batch).mean(),
            score=accuracy,
            lower_data=self.data.train,
            upper_data=self.data.validation,
            convex=True,
            dtype=dtype,
        )

    def result(self, solved):
        """The accuracy on the test rows, and the weights by loss."""
        feeds = [
            {"x": jt.array(part["x"].astype("float32")), "y": jt.array(part["y"])}
            for part in (self.data.train, self.data.test)
        ]
        found = weights(solved.hyperparameters, losses(solved.model, feeds[0])).numpy()
        right = (jt.argmax(solved.model(feeds[1]["x"]), 1)[0] == feeds[1]["y"]).numpy().mean()
        wrong = self.data.wrong
        curve = np.linspace(0, 5, 11)
        by_loss = zip(curve, weights(solved.hyperparameters, jt.array(curve.astype("float32"))).numpy(), strict=True)
        return Result(
            sentence=f"The model that was trained with the learned weights has a test accuracy of {right:.3f}.",
            numbers={
                "test accuracy": right,
                "mean weight of wrong rows": found[wrong].mean(),
                "mean weight of right rows": found[~wrong].mean(),
            },
            tables=[Table("The weight of a row by its loss", ("loss", "weight"), list(by_loss))],
        )
