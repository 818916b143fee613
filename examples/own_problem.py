"""A model, losses and data of one's own, in a notebook: how much should each of 120 rows count?

python examples/own_problem.py
"""

import os

import numpy as np

from hposvc.bilevel import ModuleProblem, SolveConfig, Stop, initial_state, jt, solve

ITERATIONS = int(os.environ.get("ITERATIONS", "200"))

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 5))
y = np.sin(x @ rng.normal(size=(5, 1)))
y[:40] = rng.normal(size=(40, 1))  # the first 40 of the 120 training rows are wrong


def squares(model, batch):
    """The squared error of each row, (n,)."""
    return (model(batch["x"]) - batch["y"]).sqr().sum(1)


problem = ModuleProblem(
    model=jt.nn.Sequential(jt.nn.Linear(5, 16), jt.nn.LayerNorm(16), jt.nn.Sigmoid(), jt.nn.Linear(16, 1)),
    hyperparameters={"logits": np.zeros(120)},
    lower_loss=lambda model, lam, batch: (jt.sigmoid(lam["logits"]) * squares(model, batch)).mean(),
    upper_loss=lambda model, lam, batch: squares(model, batch).mean(),
    lower_data={"x": x[:120], "y": y[:120]},
    upper_data={"x": x[120:], "y": y[120:]},
)
config = SolveConfig(stop=Stop(iterations=ITERATIONS))
state = initial_state(problem, config)
iterations = [iteration for batch in solve(problem, config, state) for iteration in batch]
problem.store(state)

weights = 1 / (1 + np.exp(-problem.hyperparameters["logits"]))
print(
    f"upper loss {iterations[0].upper_loss:.3f}, and {iterations[-1].upper_loss:.3f} after {len(iterations)} iterations"
)
print(f"mean weight of wrong rows {weights[:40].mean():.2f}, of right rows {weights[40:].mean():.2f}")
