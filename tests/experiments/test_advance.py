"""Experiments on real databases: made, carried on by several at once, steered, ended, told, deleted."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from hposvc.access.tenants import Quotas, stored_bytes
from hposvc.db.engine import read, write
from hposvc.db.tables import experiment_trials, experiments, jobs, webhook_deliveries
from hposvc.experiments import queries, trials
from hposvc.experiments.errors import ExperimentChanged, ExperimentConflict, ExperimentNotFound, KeyReused
from hposvc.jobs.queries import METRICS
from hposvc.schema.experiments import ExperimentState
from hposvc.schema.paging import InvalidPageToken
from hposvc.schema.states import State
from hposvc.webhooks import service as webhooks
from tests.support.experimenting import DECAY, REPEATS, SEARCH, Laboratory, by_decay, experiment, found


@pytest.fixture
def lab(engine: sa.Engine) -> Laboratory:
    return Laboratory(engine)


def recorded(iteration: int, upper: float, selection: float) -> dict[str, float | None]:
    """What an iteration records."""
    return dict.fromkeys(METRICS) | {"iteration": iteration, "upper_loss": upper, "selection_loss": selection}


def test_a_search_ends_with_the_best_of_its_trials(lab: Laboratory) -> None:
    webhooks.Webhooks(lab.engine).add("default", "https://example.org/hook", secret=None, private=True)
    begun = lab.experiments.submit(experiment(SEARCH, name="decay", tags=["a"], at_once=3))
    assert (begun.state, begun.trials.planned, begun.trials.made) == ("running", 8, 0)
    ended = lab.run(begun.id, by_decay)
    trials = lab.trials(begun.id)
    best = min(trials, key=lambda trial: trial.value or 9)
    assert (ended.state, ended.trials.made, ended.trials.ended) == ("succeeded", 8, 8)
    assert [trial.number for trial in trials] == list(range(8))
    assert len({trial.job for trial in trials}) == 8
    assert ended.best is not None
    assert (ended.best.number, ended.best.job, ended.best.parameters) == (best.number, best.job, best.parameters)
    assert ended.result is not None
    assert ended.result.best == ended.best
    assert "Being the best of 8, it is partly luck" in ended.result.sentence
    assert (ended.result.iterations, ended.result.planned_iterations) == (8 * 54, 8 * 54)
    assert all(len(trial.curve) == 27 and trial.curve == sorted(trial.curve, reverse=True) for trial in trials)
    assert best.test_score == max(trial.test_score or 0 for trial in trials)
    job = lab.jobs_of(best)
    assert (job.experiment, job.name, job.tags) == (begun.id, f"decay · {best.number}", ["a"])
    assert job.spec.solver.lower.weight_decay == best.parameters[DECAY]
    history = queries.events(lab.engine, begun.id).items
    assert [event.seq for event in history] == list(range(1, 19))
    assert (history[0].data, history[-1].data) == ({"state": "running"}, {"state": "succeeded"})
    of_the_best = [event.data for event in history if event.data.get("number") == best.number]
    assert of_the_best == [
        {"number": best.number, "state": "queued", "job": best.job},
        {"number": best.number, "state": "succeeded", "job": best.job, "value": best.value},
    ]
    assert queries.events(lab.engine, begun.id, after=17).items == history[17:]
    with read(lab.engine) as connection:
        told = connection.execute(
            webhook_deliveries.select().where(webhook_deliveries.c.experiment_id.is_not(None))
        ).all()
    assert [(row.type, row.job_id, row.body["data"]["best"]["number"]) for row in told] == [
        ("experiment.succeeded", None, best.number)
    ]


def test_at_most_so_many_at_once_whoever_carries_it_on(lab: Laboratory) -> None:
    """Two at once, again and again: no trial is made twice, none is left out, never more than three are open."""
    others = [Laboratory(lab.engine) for _ in range(2)]
    begun = lab.experiments.submit(experiment(SEARCH | {"jobs": 12}, at_once=3))
    for _ in range(100):
        threads = [threading.Thread(target=each.advancing.advance) for each in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        waiting = lab.waiting(begun.id)
        assert len(waiting) <= 3
        if not waiting:
            break
        lab.play(waiting[-1], by_decay)  # the newest first
    assert lab.get(begun.id).finished_at is not None
    trials = lab.trials(begun.id)
    assert [trial.number for trial in trials] == list(range(12))
    with read(lab.engine) as connection:
        made = connection.execute(sa.select(jobs.c.id).where(jobs.c.experiment_id == begun.id)).scalars().all()
    assert sorted(made) == sorted(trial.job or "" for trial in trials)
    in_order = lab.experiments.submit(experiment(SEARCH | {"jobs": 12}, at_once=3))
    lab.run(in_order.id, by_decay)
    assert [trial.parameters for trial in lab.trials(in_order.id)] == [trial.parameters for trial in trials]


def test_a_trial_that_is_made_while_somebody_looks_belongs_to_the_next_look(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = lab.experiments.submit(experiment(SEARCH | {"jobs": 4}, at_once=2))
    lab.advancing.advance()
    lab.play(lab.waiting(begun.id)[0], by_decay)
    other, all_ = Laboratory(lab.engine), trials.all_

    def late(connection: sa.Connection, experiment_id: str) -> list[trials.Trial]:
        monkeypatch.setattr(trials, "all_", all_)
        other.advancing.advance()
        assert len(lab.trials(begun.id)) == 3
        return all_(connection, experiment_id)

    monkeypatch.setattr(trials, "all_", late)
    lab.advancing.advance()
    assert caplog.records == []
    assert lab.run(begun.id, by_decay).trials.ended == 4


def test_repeats_are_told_together(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(REPEATS, at_once=2))
    ended = lab.run(begun.id, lambda spec: found(test_score=0.95 + 0.001 * spec.solver.seed))
    assert ended.best is None
    assert ended.result is not None
    assert ended.result.repeated is not None
    rival = ended.result.repeated.rivals[0]
    assert (rival.name, rival.better, rival.repeats) == ("trusted_only", 4, 4)
    assert rival.score is not None
    assert rival.score.mean == pytest.approx(0.0515)
    assert "better than the best rival, trusted rows only, in 4 of 4, by 5.1" in ended.result.sentence


def test_pause_resume_and_cancel_reach_the_jobs(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(SEARCH, at_once=2))
    lab.advancing.advance()
    lab.experiments.pause(begun.id)
    lab.experiments.pause(begun.id)  # asked twice
    lab.advancing.advance()
    lab.advancing.advance()
    assert [trial.state for trial in lab.trials(begun.id)] == ["paused", "paused"]
    assert lab.experiments.resume(begun.id).state == "running"
    lab.advancing.advance()
    assert [trial.state for trial in lab.trials(begun.id)] == ["queued", "queued"]
    lab.play(lab.waiting(begun.id)[0], by_decay)
    assert lab.experiments.cancel(begun.id).state == "cancelling"
    lab.advancing.advance()
    lab.advancing.advance()
    ended = lab.get(begun.id)
    assert (ended.state, ended.trials.made, ended.trials.ended) == ("cancelled", 2, 2)
    assert [trial.state for trial in lab.trials(begun.id)] == ["succeeded", "cancelled"]
    assert ended.result is not None
    assert ended.result.best is not None
    assert lab.experiments.cancel(begun.id).state == "cancelled"
    with pytest.raises(ExperimentConflict, match="it is cancelled; that is possible while it is running or paused"):
        lab.experiments.pause(begun.id)


def test_deletion_takes_the_jobs_along(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(SEARCH | {"jobs": 2}))
    with pytest.raises(ExperimentConflict, match="cancel it first"):
        lab.experiments.delete(begun.id)
    ended = lab.run(begun.id, by_decay)
    with pytest.raises(ExperimentChanged):
        lab.experiments.delete(begun.id, version=ended.version - 1)
    with pytest.raises(ExperimentNotFound):
        lab.experiments.delete(begun.id, tenant="others")
    lab.experiments.delete(begun.id, version=ended.version)
    with pytest.raises(ExperimentNotFound):
        lab.get(begun.id)
    with read(lab.engine) as connection:
        assert connection.execute(sa.select(jobs.c.id).where(jobs.c.tenant_id == "default")).all() == []
        assert connection.execute(sa.select(experiment_trials.c.number)).all() == []
        assert stored_bytes(connection, "default") == 0


def test_a_quota_keeps_trials_waiting_and_says_so(engine: sa.Engine) -> None:
    lab = Laboratory(engine, Quotas(queued_jobs=1))
    begun = lab.experiments.submit(experiment(SEARCH | {"jobs": 3}, at_once=3))
    lab.advancing.advance()
    stands = lab.get(begun.id)
    assert stands.trials.made == 1
    assert stands.notice == "the next trial waits: the quota queued_jobs is used up: 1 of 1"
    ended = lab.run(begun.id, by_decay)
    assert (ended.state, ended.trials.ended, ended.notice) == ("succeeded", 3, None)


def test_what_cannot_be_combined_is_refused_and_the_others_go_on(lab: Laboratory) -> None:
    grid = {
        "type": "grid",
        "parameters": {
            "solver.estimator": {"choices": ["implicit", "one_step"]},
            "solver.lower.steps": {"choices": [1, 5]},
        },
    }
    begun = lab.experiments.submit(experiment(grid))
    ended = lab.run(begun.id, lambda _: found())
    states = [trial.state for trial in lab.trials(begun.id)]
    assert states == ["succeeded", "succeeded", "succeeded", "refused"]
    assert ended.state == "succeeded"
    refused = lab.trials(begun.id)[3]
    assert refused.job is None
    assert "one_step" in (refused.error or "")


def test_a_failed_or_deleted_job_counts_as_a_trial_without_a_loss(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(SEARCH | {"jobs": 2}))
    lab.advancing.advance()
    for trial in lab.trials(begun.id):
        assert trial.job is not None
        lab.jobs.cancel(trial.job)
    lab.jobs.delete(lab.trials(begun.id)[1].job or "")
    lab.advancing.advance()
    ended = lab.get(begun.id)
    assert (ended.state, [trial.state for trial in lab.trials(begun.id)]) == ("failed", ["cancelled", "cancelled"])
    assert lab.trials(begun.id)[1].error == "its job was deleted"
    told = [event.data for event in queries.events(lab.engine, begun.id).items if event.data["state"] == "cancelled"]
    assert [(data["number"], data.get("error"), "value" in data) for data in told] == [
        (0, None, False),
        (1, "its job was deleted", False),
    ]
    assert ended.result is not None
    assert ended.result.sentence == "No trial succeeded."


def test_poor_trials_are_stopped(lab: Laboratory) -> None:
    plan = SEARCH | {"pruner": "successive_halving", "sampler": "random", "jobs": 6}
    begun = lab.experiments.submit(experiment(plan, at_once=6))
    lab.advancing.advance()
    attempts = [lab.worker.take(lab.jobs_of(trial)) for trial in lab.waiting(begun.id)]
    for level, attempt in enumerate(attempts):
        rows = [recorded(at, level + 1.0 / at, level + 2.0 / at) for at in range(1, 19)]
        attempt.record(rows)
        lab.advancing.advance()
    lab.advancing.advance()
    trials = lab.trials(begun.id)
    assert [trial.state for trial in trials] == ["running", *["cancelling"] * 5]
    assert trials[0].curve == pytest.approx([2 / at for at in range(2, 19, 2)])
    for attempt in attempts[1:]:
        attempt.stopped()
    attempts[0].record([recorded(at, 1.0 / at, 2.0 / at) for at in range(19, 55)])
    attempts[0].succeed(found(selection_loss=0.04), [])
    lab.advancing.advance()
    ended = lab.get(begun.id)
    assert [trial.state for trial in lab.trials(begun.id)] == ["succeeded", *["pruned"] * 5]
    assert ended.result is not None
    assert "5 trials were stopped early, which saved 56 % of the iterations" in ended.result.sentence


def test_what_died_before_a_poor_trial_was_stopped_stops_it_later(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = lab.experiments.submit(
        experiment(SEARCH | {"pruner": "successive_halving", "sampler": "random"}, at_once=2)
    )
    lab.advancing.advance()
    good, poor = (lab.worker.take(lab.jobs_of(trial)) for trial in lab.waiting(begun.id))
    good.record([recorded(at, 1.0, 2.0) for at in range(1, 19)])
    lab.advancing.advance()
    poor.record([recorded(at, 5.0, 6.0) for at in range(1, 19)])
    with monkeypatch.context() as patch:
        patch.setattr(lab.jobs, "cancel", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("died")))
        lab.advancing.advance()
    assert lab.trials(begun.id)[1].state == "running"
    lab.advancing.advance()
    assert [trial.state for trial in lab.trials(begun.id)[:2]] == ["running", "cancelling"]


def test_no_trial_begins_after_the_minutes_are_over(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(SEARCH | {"minutes": 10.0}, at_once=2))
    lab.advancing.advance()
    with write(lab.engine) as connection:
        connection.execute(experiments.update().values(created_at=experiments.c.created_at - 601))
    ended = lab.run(begun.id, by_decay)
    assert (ended.state, ended.trials.planned, ended.trials.ended) == ("succeeded", 2, 2)


def test_one_key_is_one_experiment(lab: Laboratory) -> None:
    first = lab.experiments.submit(experiment(SEARCH), idempotency_key="k")
    assert lab.experiments.submit(experiment(SEARCH), idempotency_key="k").id == first.id
    with pytest.raises(KeyReused, match=first.id):
        lab.experiments.submit(experiment(REPEATS), idempotency_key="k")
    second = lab.experiments.submit(experiment(SEARCH))
    assert [item.id for item in queries.list_(lab.engine).items] == [second.id, first.id]
    page = queries.list_(lab.engine, limit=1)
    assert page.next_page is not None
    rest = queries.list_(lab.engine, limit=1, page_token=page.next_page)
    assert ([item.id for item in rest.items], rest.next_page) == ([first.id], None)
    assert queries.list_(lab.engine, state=ExperimentState.PAUSED).items == []
    for token in ("x", "WyJhIl0=", "W3RydWUsICJhIl0="):
        with pytest.raises(InvalidPageToken):
            queries.list_(lab.engine, page_token=token)


def test_a_job_that_a_person_paused_stays_paused(lab: Laboratory) -> None:
    begun = lab.experiments.submit(experiment(SEARCH, at_once=2))
    lab.advancing.advance()
    job = lab.trials(begun.id)[0].job or ""
    lab.jobs.pause(job)
    lab.advancing.advance()
    assert lab.jobs_of(lab.trials(begun.id)[0]).state is State.PAUSED


def test_an_experiment_that_cannot_be_carried_on_holds_up_no_other(
    lab: Laboratory, caplog: pytest.LogCaptureFixture
) -> None:
    broken = lab.experiments.submit(experiment(SEARCH, name="broken"))
    whole = lab.experiments.submit(experiment(REPEATS, name="whole"))
    with write(lab.engine) as connection:
        connection.execute(experiments.update().where(experiments.c.id == broken.id).values(spec={"plan": "none"}))
    lab.run(whole.id, lambda _: found())
    assert lab.get(whole.id).state is ExperimentState.SUCCEEDED
    assert f"experiment {broken.id} cannot be carried on" in caplog.text
