"""What an experiment found, from what is kept of its trials."""

from __future__ import annotations

from collections.abc import Sequence

from hposvc.experiments import repeated
from hposvc.experiments.trials import Trial
from hposvc.schema.experiment_spec import ExperimentSpec, RepeatsPlan
from hposvc.schema.experiments import BestTrial, ExperimentResult
from hposvc.schema.figures import number, percent, plural


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial of the lowest loss, the first of equal ones."""
    found = [trial for trial in trials if trial.value is not None]
    return min(found, key=lambda trial: (trial.value, trial.number), default=None)


def result(spec: ExperimentSpec, trials: Sequence[Trial]) -> ExperimentResult:
    """What the trials that have ended show."""
    succeeded = sum(trial.state == "succeeded" for trial in trials)
    with_job = [trial for trial in trials if trial.job_id is not None]
    iterations = sum(int(trial.summary.get("iteration", 0)) for trial in with_job)
    planned = sum(int(trial.summary.get("iterations", 0)) for trial in with_job)
    best, together = None, None
    if isinstance(spec.plan, RepeatsPlan):
        together = repeated.together(trials)
        text = repeated.sentence(together)
    else:
        found = best_of(trials)
        if found is not None and found.value is not None:
            best = BestTrial(number=found.number, job=found.job_id, value=found.value, parameters=found.parameters)
        text = _best_of_n(trials, found, iterations, planned)
    return ExperimentResult(
        sentence=text,
        succeeded=succeeded,
        iterations=iterations,
        planned_iterations=planned,
        best=best,
        repeated=together,
    )


def _best_of_n(trials: Sequence[Trial], best: Trial | None, iterations: int, planned: int) -> str:
    if best is None:
        return "No trial succeeded."
    compared = sum(trial.value is not None for trial in trials)
    loss = best.summary.get("compared_by", "selection loss")
    text = f"Trial {best.number} has the lowest {loss} of {compared}, {number(best.value)}."
    tuned = next((model for model in best.summary.get("models", []) if model["name"] == "tuned"), None)
    if compared > 1:
        text += f" Being the best of {compared}, it is partly luck"
        if tuned is not None and isinstance(tuned["test_loss"], int | float):
            text += f": quote its test loss, {number(tuned['test_loss'])}, on rows that did not choose it"
        text += "."
    pruned = sum(trial.state == "pruned" for trial in trials)
    if pruned:
        saved = percent(1 - iterations / max(planned, 1), 0)
        many = plural(pruned, "trial was", "trials were")
        text += f" {many} stopped early, which saved {saved} of the iterations."
    return text
