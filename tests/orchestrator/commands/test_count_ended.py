"""What the panel of a sweep says at its end."""

from pathlib import Path

import pytest

from orchestrator.commands.sweep import count_ended
from orchestrator.execution.run import Outcome
from orchestrator.reporting.console import Board


@pytest.mark.parametrize(
    ("results", "stop", "counts"),
    [
        ({}, None, "2 done"),
        ({"budget": {"used_up": False}}, None, "2 done"),
        ({"budget": {"used_up": True}}, None, "2 waiting, 2 done"),
        ({}, KeyboardInterrupt(), "2 waiting, 2 done"),
    ],
)
def test_a_sweep_that_has_come_to_its_end_waits_for_no_trial(results, stop, counts):
    board = Board("a", "val/elbo", "max", trials=4, expected_epochs=8.0)
    for trial in ("0001", "0002"):
        board.begin(trial, {})
        board.states[trial] = "completed"
    count_ended(board, Outcome(Path("a"), results, stop))
    assert board.counts() == counts
    assert (board.share() == 1.0) == (counts == "2 done")
