"""The states of a job and the one table of legal moves between them; everything else asks it."""

from __future__ import annotations

from enum import StrEnum

from hposvc.copyable import Copyable


class State(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What can happen to a job: a person asks, the worker that holds it acts, or the sweeper finds it abandoned."""

    # A person asks.
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    FINISH = "finish"  # no more iterations: the result of those that are done
    # The worker that holds the attempt acts.
    CLAIM = "claim"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    STOPPED = "stopped"  # the runner stopped because it was asked to pause or to cancel
    # The worker hands the job back, or is lost: the next attempt begins.
    RELEASE = "release"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
# A worker holds the job: it has a lease, and its runner may be alive.
HELD = (State.STARTING, State.RUNNING, State.PAUSING, State.CANCELLING)

# (action, state) → the state after it. What is not here is illegal. A move onto the same state is a request that
# was granted before: it changes nothing, which makes requests safe to repeat.
MOVES: dict[Action, dict[State, State]] = {
    Action.CANCEL: {
        State.QUEUED: State.CANCELLED,
        State.PAUSED: State.CANCELLED,
        State.STARTING: State.CANCELLING,
        State.RUNNING: State.CANCELLING,
        State.PAUSING: State.CANCELLING,
        State.CANCELLING: State.CANCELLING,
        State.CANCELLED: State.CANCELLED,
    },
    Action.PAUSE: {
        State.QUEUED: State.PAUSED,
        State.STARTING: State.PAUSING,
        State.RUNNING: State.PAUSING,
        State.PAUSING: State.PAUSING,
        State.PAUSED: State.PAUSED,
    },
    Action.RESUME: {
        State.PAUSED: State.QUEUED,
        State.QUEUED: State.QUEUED,
        State.STARTING: State.STARTING,
        State.RUNNING: State.RUNNING,
    },
    Action.RETRY: {
        State.FAILED: State.QUEUED,
        State.CANCELLED: State.QUEUED,
        State.QUEUED: State.QUEUED,
        State.STARTING: State.STARTING,
        State.RUNNING: State.RUNNING,
    },
    Action.FINISH: {
        State.QUEUED: State.QUEUED,
        State.STARTING: State.STARTING,
        State.RUNNING: State.RUNNING,
        State.PAUSED: State.QUEUED,
    },
    Action.CLAIM: {State.QUEUED: State.STARTING},
    Action.START: {State.STARTING: State.RUNNING, State.PAUSING: State.PAUSING, State.CANCELLING: State.CANCELLING},
    Action.SUCCEED: dict.fromkeys(HELD, State.SUCCEEDED),
    Action.FAIL: dict.fromkeys(HELD, State.FAILED),
    Action.STOPPED: {State.PAUSING: State.PAUSED, State.CANCELLING: State.CANCELLED},
    Action.RELEASE: {
        State.STARTING: State.QUEUED,
        State.RUNNING: State.QUEUED,
        State.PAUSING: State.PAUSED,
        State.CANCELLING: State.CANCELLED,
    },
}


class IllegalTransition(Copyable, Exception):
    """The job's state does not allow the action. Carries ``job_id``, ``state`` and ``action``."""

    def __init__(self, job_id: str, state: State, action: Action) -> None:
        self.job_id = job_id
        self.state = state
        self.action = action
        legal = ", ".join(MOVES[action])
        super().__init__(f"cannot {action} job {job_id}: it is {state}; {action} is possible while it is {legal}")


def move(job_id: str, state: State, action: Action) -> State:
    """The state that ``action`` takes a job to. Raises IllegalTransition."""
    try:
        return MOVES[action][state]
    except KeyError:
        raise IllegalTransition(job_id, state, action) from None


def sources(action: Action, target: State | None = None) -> frozenset[State]:
    """The states in which ``action`` is legal; with ``target``, only those that it takes there."""
    return frozenset(source for source, end in MOVES[action].items() if target in (None, end))
