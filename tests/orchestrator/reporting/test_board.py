"""What the board of a running sweep counts: the best so far, how much is done, how long is left."""

import math

import pytest

from orchestrator.reporting.console import Board


def board_of(mode="max", trials=4, epochs=10):
    return Board("a", "m", mode, trials=trials, expected_epochs=epochs)


@pytest.mark.parametrize(("mode", "best"), [("max", (3.0, "2", 1)), ("min", (-1.0, "1", 2))])
def test_the_best_so_far_is_finite_and_the_first_of_equal_ones(mode, best):
    board = board_of(mode)
    told = [("1", 1, math.nan), ("2", 1, 3.0), ("1", 2, -1.0), ("2", 2, 3.0), ("3", 1, -1.0), ("3", 2, math.inf)]
    for trial, epoch, value in told:
        board.epoch(trial, epoch, value)
    board.epoch("3", 3, -math.inf)
    assert board.best == best
    assert board.epochs == 7


def test_a_sweep_is_done_when_every_trial_has_ended_and_never_before():
    board = board_of(trials=2, epochs=4)
    assert board.share() == 0.0
    for epoch in range(1, 7):
        board.begin("1", {})
        board.epoch("1", epoch, 1.0)
    assert board.share() == 0.99  # more epochs than were expected
    board.states |= {"1": "completed", "2": "paused"}
    assert board.share() == 0.99
    board.states["2"] = "stopped"
    assert board.share() == 1.0
