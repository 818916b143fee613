"""Optuna behind three functions: the values of the next trial, which trials to stop, how much each setting matters.

A study is rebuilt from our trials each time, in memory, with a seed for each trial: what is drawn depends on the trials
alone, not on which process draws, or on what died before. See docs/decisions/experiments.md.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hposvc.experiments.curves import FIRST_LOOK, SLICES
from hposvc.experiments.trials import Trial
from hposvc.schema.experiment_spec import Choices, Parameters, Range, SearchPlan

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

FACTOR = 3  # of successive halving and hyperband
STARTUP = 5  # trials that the median waits for
LEAST_FOR_IMPORTANCE = 4  # trials
MOST_FOR_FANOVA = 200  # trials: its time grows faster than their number, to 19 s of a processor for 1,000
FANOVA_TREES = 32
Evaluator = Literal["fanova", "mean_decrease_impurity"]
NAME = "experiment"  # hyperband draws the start of a trial from the name of the study


def ask(plan: SearchPlan, number: int, past: Sequence[Trial], at_once: int) -> Parameters:
    """The values of trial ``number``: drawn from what is known of the trials up to ``number - at_once``.

    Later ones count as running, whether they have ended or not, so that the same search draws the same values however
    fast its trials are.
    """
    study = _study(plan, _sampler(plan, number))
    distributions = _distributions(plan)
    if plan.sampler == "tpe":
        for trial in past:
            known = trial.number <= number - at_once
            study.add_trial(_frozen(trial, distributions, known=known))
    drawn = study.ask(fixed_distributions=distributions).params
    return {path: _outside(plan.parameters[path], drawn[path]) for path in plan.parameters}


def poor(plan: SearchPlan, trials: Sequence[Trial], before: Mapping[int, int]) -> set[int]:
    """The numbers of the open trials that the pruner stops.

    ``before`` has how many slices of each open trial were looked at already: a trial is judged once at each.
    """
    if plan.pruner == "none":
        return set()
    from optuna.trial import TrialState

    study = _study(plan, None)
    distributions = _distributions(plan)
    for trial in trials:
        study.add_trial(_frozen(trial, distributions, known=False))
        old = len(trial.curve) if not trial.is_open else before.get(trial.number, 0)
        _judge(study, trial, range(1, old + 1))
        if trial.state == "succeeded" and trial.value is not None:
            study.tell(trial.number, trial.value)
        elif not trial.is_open:
            study.tell(trial.number, state=TrialState.FAIL)
    return {
        trial.number
        for trial in trials
        if trial.is_open and _judge(study, trial, range(before.get(trial.number, 0) + 1, len(trial.curve) + 1))
    }


def importance(plan: SearchPlan, trials: Sequence[Trial], evaluator: Evaluator) -> tuple[int, dict[str, float]]:
    """How many trials it rests on, and the share of each setting in their differences; none for too few trials.

    fANOVA looks at MOST_FOR_FANOVA trials at most, evenly spread over the search.
    """
    from optuna.importance import (
        FanovaImportanceEvaluator,
        MeanDecreaseImpurityImportanceEvaluator,
        get_param_importances,
    )

    found = [trial for trial in trials if trial.state == "succeeded" and trial.value is not None]
    if len(found) < LEAST_FOR_IMPORTANCE or len({trial.value for trial in found}) == 1:
        return len(found), {}
    if evaluator == "fanova":
        found = found[:: math.ceil(len(found) / MOST_FOR_FANOVA)]
    study, distributions = _study(plan, None), _distributions(plan)
    for trial in found:
        study.add_trial(_frozen(trial, distributions, known=True))
    if evaluator == "fanova":
        shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=FANOVA_TREES, seed=plan.seed))
    else:
        shares = get_param_importances(study, evaluator=MeanDecreaseImpurityImportanceEvaluator(seed=plan.seed))
    return len(found), {path: share for path, share in shares.items() if math.isfinite(share)}


def _judge(study: optuna.Study, trial: Trial, steps: range) -> bool:
    """Whether the pruner stops a trial at one of these slices. It notes in the study how far the trial has come."""
    stops = False
    for step in steps:
        frozen = study.get_trials(deepcopy=False)[trial.number]
        frozen.intermediate_values = dict(enumerate(trial.curve[:step], 1))
        stops = study.pruner.prune(study, frozen) or stops
    return stops


def _study(plan: SearchPlan, sampler: optuna.samplers.BaseSampler | None) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(study_name=NAME, sampler=sampler, pruner=_pruner(plan))


def _sampler(plan: SearchPlan, number: int) -> optuna.samplers.BaseSampler:
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _pruner(plan: SearchPlan) -> optuna.pruners.BasePruner:
    import optuna

    if plan.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=FACTOR)
    if plan.pruner == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST_LOOK, reduction_factor=FACTOR)
    if plan.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=SLICES, reduction_factor=FACTOR)
    return optuna.pruners.NopPruner()


def _distributions(plan: SearchPlan) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for path, setting in plan.parameters.items():
        if isinstance(setting, Choices):
            found[path] = CategoricalDistribution(list(dict.fromkeys(_text(value) for value in setting.choices)))
        elif setting.whole:
            found[path] = IntDistribution(int(setting.low), int(setting.high), log=setting.log)
        else:
            found[path] = FloatDistribution(setting.low, setting.high, log=setting.log)
    return found


def _frozen(trial: Trial, distributions: dict[str, BaseDistribution], *, known: bool) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    params = {
        path: _text(value) if hasattr(distributions[path], "choices") else value
        for path, value in trial.parameters.items()
    }
    state, value = TrialState.RUNNING, None
    if known and trial.state == "succeeded" and trial.value is not None:
        state, value = TrialState.COMPLETE, trial.value
    elif known and trial.state == "pruned" and trial.curve:
        state = TrialState.PRUNED
    elif known:
        state = TrialState.FAIL
    curve = dict(enumerate(trial.curve, 1)) if known else {}
    return create_trial(state=state, value=value, params=params, distributions=distributions, intermediate_values=curve)


def _text(value: Any) -> str:
    """A choice as Optuna keeps it: its choices are texts and numbers, ours are any JSON."""
    return json.dumps(value, sort_keys=True)


def _outside(setting: Choices | Range, value: Any) -> Any:
    return json.loads(value) if isinstance(setting, Choices) else value
