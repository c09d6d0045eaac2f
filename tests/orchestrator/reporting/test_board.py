"""What the board of a running sweep counts: the best so far, how much is done, how long is left."""

import math

import pytest

from orchestrator.reporting.console import Board, LivePanel, PlainLines
from tests.support.consoles import screen


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


def node(name, **facts):
    return {"node": name, "cpus": 8, "gpus": 0, "busy": 0, "trials": []} | facts


def panel_of(*rows) -> str:
    """What a panel shows of a sweep with one trial, on a cluster with such nodes."""
    console, written = screen(width=60, force_terminal=True, color_system=None)
    board = board_of(trials=1)
    board.started = board.clock()
    panel = LivePanel(board, console)
    panel.trial_started("0001", {"beta": 1.0}, "")
    if rows:
        panel.nodes(rows)
    panel.close()
    return written()


def test_a_panel_says_how_many_of_the_best_are_drawn_and_lines_say_it_once():
    console, written = screen(width=60, force_terminal=True, color_system=None)
    panel = LivePanel(board_of(), console)
    panel.drawing(1, 5)
    panel.close()
    assert "pictures of 1 of the 5 best trials are drawn" in written()
    console, written = screen(width=60)
    lines = PlainLines(board_of(), console)
    for done in range(6):
        lines.drawing(done, 5)
    assert written().splitlines() == ["a: 4 trials", "drawing the pictures of 5 trials"]


def test_a_panel_has_a_row_for_each_node_and_none_without_a_cluster():
    shown = panel_of(node("gpu1", gpus=2, busy=1.5, trials=["0001", "0002"]), node("[red]cpu1", busy=3))
    assert "gpu1       1.5/2 GPUs  0001 0002" in shown
    assert "[red]cpu1  3/8 CPUs" in shown
    alone = panel_of()
    assert "GPUs" not in alone
    assert "CPUs" not in alone


def test_a_panel_counts_the_nodes_that_it_has_no_room_for():
    shown = panel_of(*(node(f"n{number}") for number in range(30)))
    assert "n11 " in shown
    assert "n12 " not in shown
    assert "and 18 more nodes" in shown


def test_plain_lines_say_which_nodes_join_and_leave_and_nothing_else_of_them():
    console, written = screen()
    view = PlainLines(board_of(), console)
    view.nodes([node("gpu2"), node("gpu1")])
    view.nodes([node("gpu1", busy=1, trials=["0001"]), node("gpu2")])
    view.nodes([node("gpu1"), node("gpu3")])
    assert written() == "a: 4 trials\nnode gpu1 joined\nnode gpu2 joined\nnode gpu3 joined\nnode gpu2 lost\n"


def test_the_first_epoch_may_be_done_when_the_clock_says_zero():
    times = iter([0.0, 5.0])
    board = Board("a", "m", "max", 1, 10, clock=times.__next__, started=0.0)
    board.epoch("1", 1, 1.0)
    board.epoch("1", 2, 1.0)
    assert board.first_epoch == 0.0
    assert next(times) == 5.0
