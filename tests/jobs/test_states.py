import pytest

from hposvc.schema.states import HELD, MOVES, TERMINAL, Action, IllegalTransition, State, move, sources


def test_terminal_is_final_for_everything_but_a_persons_retry() -> None:
    for action, moves in MOVES.items():
        for source, target in moves.items():
            if source in TERMINAL and target != source:
                assert action is Action.RETRY
                assert source in (State.FAILED, State.CANCELLED)


def test_from_cancelling_a_job_goes_only_to_its_end() -> None:
    targets = {moves[State.CANCELLING] for moves in MOVES.values() if State.CANCELLING in moves}
    assert targets == TERMINAL | {State.CANCELLING}


def test_every_state_is_reached_from_queued_and_reaches_an_end() -> None:
    reached = {State.QUEUED}
    while True:
        further = {target for moves in MOVES.values() for source, target in moves.items() if source in reached}
        if further <= reached:
            break
        reached |= further
    assert reached == set(State)
    ending = set(TERMINAL)
    while True:
        earlier = {source for moves in MOVES.values() for source, target in moves.items() if target in ending}
        if earlier <= ending:
            break
        ending |= earlier
    assert ending == set(State)


def test_a_worker_that_is_lost_leaves_no_job_held() -> None:
    assert sources(Action.RELEASE) == set(HELD)
    assert not {move("job_1", state, Action.RELEASE) for state in HELD} & set(HELD)


@pytest.mark.parametrize("action", [Action.CANCEL, Action.PAUSE, Action.RESUME, Action.RETRY])
@pytest.mark.parametrize("state", list(State))
def test_a_request_that_was_granted_may_be_repeated(action: Action, state: State) -> None:
    if state in sources(action):
        target = move("job_1", state, action)
        assert move("job_1", target, action) == target


def test_an_illegal_move_names_the_job_the_state_and_the_states_that_would_do() -> None:
    with pytest.raises(IllegalTransition, match="cannot pause job job_1: it is succeeded; pause is possible while"):
        move("job_1", State.SUCCEEDED, Action.PAUSE)
