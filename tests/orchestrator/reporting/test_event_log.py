"""A sweep seen through the log of a driver on a cluster looks as it does on the driver's own console."""

import io
import math
from dataclasses import fields
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.reporting import event_log
from orchestrator.reporting.console import Board, LivePanel, PlainLines
from orchestrator.reporting.event_log import EVENTS, PREFIX, EventLog, replay
from tests.support.consoles import screen

BEGAN = 1_700_000_000.0  # unix seconds: long ago

trials = st.sampled_from(["0001", "0002", "0003"])
numbers = st.floats(allow_nan=True, allow_infinity=True)
shares = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])
words = st.text(max_size=8)
configs = st.dictionaries(words, st.one_of(st.integers(), numbers, words, st.none(), st.booleans()), max_size=3)
metrics = st.fixed_dictionaries({"m": numbers, "other": numbers})
statuses = st.sampled_from(["completed", "stopped", "diverged", "failed"])
epochs = st.tuples(st.just("epoch"), trials, st.integers(1, 9), metrics)
starts = st.tuples(st.just("trial_started"), trials, configs, words)
ends = st.tuples(st.just("trial_ended"), trials, statuses, st.none() | words, metrics)
pauses = st.tuples(st.just("trial_paused"), trials)
resumes = st.tuples(st.just("trial_resumed"), trials)
rows = st.fixed_dictionaries(
    {
        "node": st.sampled_from(["gpu1", "gpu2", "gpu3"]),
        "cpus": st.integers(1, 64),
        "gpus": st.integers(0, 8),
        "busy": st.integers(0, 8),
        "trials": st.lists(trials, max_size=2),
    }
)
events = st.one_of(
    starts,
    resumes,
    epochs,
    pauses,
    ends,
    st.tuples(st.just("trial_within"), trials, st.integers(1, 9), shares, st.sampled_from([5.0, 31.0, 62.0, 90.0])),
    st.tuples(st.just("trial_noticed"), trials, words),
    st.tuples(st.just("nodes"), st.lists(rows, max_size=3, unique_by=lambda row: row["node"])),
    st.tuples(st.just("drawing"), st.integers(0, 5), st.just(5)),
    st.tuples(st.just("sweep_ended"), st.just("finished"), metrics, st.just({})),
)
recalls = st.tuples(
    st.just("recall"), st.lists(starts | resumes | epochs | pauses | ends), st.lists(trials, max_size=2)
)
steps = st.lists(st.tuples(st.integers(0, 4000), events), max_size=30)


class Clock:
    """Time that passes when it is told to, in quarters of a second, which add up exactly."""

    def __init__(self):
        self.now = BEGAN

    def __call__(self) -> float:
        return self.now


def played(views, recall, steps, clock) -> None:
    for name, *values in [recall] if recall else []:
        [getattr(view, name)(*values) for view in views]
    for quarters, (name, *values) in steps:
        clock.now += quarters / 4
        [getattr(view, name)(*values) for view in views]


def board(**more) -> Board:
    return Board("a sweep", "m", "max", 3, 12.5, **more)


def state(board: Board) -> str:
    """All that is known but the clock; as text, in which nan equals nan."""
    return repr({field.name: getattr(board, field.name) for field in fields(board) if field.name != "clock"})


def told(log: str):
    """What a replay of the log prints, its boards, and the lines that it says as they are."""
    console, printed = screen()
    boards, said = [], []

    def view(board: Board) -> PlainLines:
        boards.append(board)
        return PlainLines(board, console)

    replay(log.split("\n")[:-1], view, said.append)
    return printed(), boards, said


WITHIN = (0, ("trial_within", "0001", 5, 0.0, 5.0))
SAID_AGAIN = [WITHIN, (0, ("epoch", "0001", 1, {"m": 0.0, "other": 0.0})), WITHIN]


@settings(deadline=None)
@given(st.none() | recalls, steps)
@example(None, SAID_AGAIN)
def test_a_log_replayed_at_once_shows_what_a_view_on_the_spot_has_shown(recall, steps):
    clock, stream = Clock(), io.StringIO()
    console, printed = screen()
    direct = PlainLines(board(clock=clock, started=BEGAN), console)
    played([direct, EventLog(board(), stream, clock)], recall, steps, clock)
    shown, [replayed], said = told(stream.getvalue())
    assert shown == printed()
    assert state(replayed) == state(direct.board)
    assert said == []


@settings(deadline=None)
@given(st.none() | recalls, steps, st.data())
def test_no_damage_to_a_log_ends_its_replay_and_all_that_is_no_event_is_said(recall, steps, data):
    clock, stream = Clock(), io.StringIO()
    played([EventLog(board(), stream, clock)], recall, steps, clock)
    board_line, *lines = stream.getvalue().split("\n")[:-1]
    foreign = []
    for at in sorted(data.draw(st.sets(st.integers(0, len(lines) - 1)) if lines else st.just(set()))):
        lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at]) - 1))]
        foreign.append(lines[at])
    _, [_], said = told("\n".join([board_line, *lines, ""]))
    assert said == foreign


def test_the_time_shown_is_that_of_the_driver_however_late_its_log_is_read(monkeypatch):
    clock, stream = Clock(), io.StringIO()
    log = EventLog(board(), stream, clock)
    log.trial_started("0001", {}, "")
    clock.now += 90
    log.trial_ended("0001", "completed", None, {})
    printed, [replayed], _ = told(stream.getvalue())
    assert "1:30 gone" in printed
    now = replayed.clock()
    monkeypatch.setattr(event_log.time, "monotonic", count(event_log.time.monotonic() + 60).__next__)
    assert replayed.clock() >= now + 60  # it goes on while nothing happens
    assert replayed.started == BEGAN


def test_a_panel_that_is_fed_from_a_log_ends_as_one_on_the_spot():
    clock, stream = Clock(), io.StringIO()
    shown = [screen(width=90, force_terminal=True, color_system=None)[0] for _ in range(2)]
    direct = LivePanel(board(clock=clock, started=BEGAN), shown[0])
    steps = [
        (0, ("nodes", [{"node": "gpu1", "cpus": 8, "gpus": 1, "busy": 1, "trials": ["0001"]}])),
        (4, ("trial_started", "0001", {"beta": 1.0}, "")),
        (400, ("epoch", "0001", 1, {"m": 0.5})),
        (400, ("trial_within", "0001", 2, 0.25, 31.0)),
    ]
    played([direct, EventLog(board(), stream, clock)], None, steps, clock)
    direct.close()
    panels = []
    replay(
        stream.getvalue().split("\n")[:-1], lambda board: panels.append(LivePanel(board, shown[1])) or panels[0], print
    )
    panels[0].board.clock.stop_at(clock.now)
    frames = []
    for console, panel in zip(shown, [direct, *panels], strict=True):
        with console.capture() as captured:
            console.print(panel.render())
        frames.append(captured.get())
    assert frames[0] == frames[1]
    assert "3:21 gone" in frames[0]
    assert "gpu1  1/1 GPUs  0001" in frames[0]


def test_lines_of_others_are_said_and_those_with_an_event_behind_them_are_parted(tmp_path):
    stream = io.StringIO()
    stream.write("Running entrypoint\n")
    log = EventLog(board(), stream, Clock())
    stream.write("no end of line")
    log.trial_started("0001", {"a": 1}, "")
    log.close()
    log.trial_resumed("0001")
    stream.write("checkpoint   /there\n")
    printed, _, said = told(stream.getvalue())
    assert printed == "a sweep: 3 trials\n0001 started: a=1\n"
    after = said[2]
    assert said == ["Running entrypoint", "no end of line", after, "checkpoint   /there"]
    assert '"trial_resumed"' in after  # the view was closed


@pytest.mark.parametrize(
    "line",
    [
        PREFIX,
        f"{PREFIX}[1]",
        f"{PREFIX}{{}}",
        f'{PREFIX}{{"time": 1, "event": "board", "values": ["a"]}}',
        f'{PREFIX}{{"time": 1, "event": "__init__", "values": []}}',
        f'{PREFIX}{{"time": "x", "event": "close", "values": []}}',
        f'{PREFIX}{{"time": 1, "event": "close", "values": null}}',
        f'{PREFIX}{{"time": 1, "event": ["close"], "values": []}}',
        f'{PREFIX}{{"time": 1, "event": "trial_resumed", "values": ["0001"]}}',  # of no sweep
    ],
)
def test_a_line_that_only_looks_like_an_event_is_said(line):
    said = []
    replay([line], board, said.append)
    assert said == [line]


def test_a_driver_that_begins_again_has_a_new_board():
    stream, clock = io.StringIO(), Clock()
    EventLog(board(), stream, clock).trial_started("0001", {}, "")
    log = EventLog(board(), stream, clock)
    log.recall([("trial_started", "0002", {}, ""), ("epoch", "0002", 1, {"m": 1.0})], ["0002"])
    _, [first, second], _ = told(stream.getvalue())
    assert first.states == {"0001": "running"}
    assert second.states == {"0002": "paused"}
    assert (second.epochs, second.recalled) == (1, 1)


def test_a_view_is_closed_where_the_log_ends_or_breaks_off():
    stream, closed = io.StringIO(), []
    EventLog(board(), stream)

    class Shown(PlainLines):
        def close(self):
            closed.append(True)

    def broken():
        yield stream.getvalue().strip()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(broken(), lambda board: Shown(board, screen()[0]), print)
    assert closed == [True]


def test_each_event_is_one_line_of_ascii_and_written_once_when_it_repeats():
    stream = io.StringIO()
    log = EventLog(board(), stream, Clock())
    log.trial_started("0001", {"näme\n": "a\u2028\udc80"}, "\x85")
    log.epoch("0001", 1, {"m": math.nan, "other": 1.0})
    for _ in range(3):
        log.trial_within("0001", 2, 0.5, 30.0)
        log.nodes([{"node": "gpu1", "cpus": 8, "gpus": 1, "busy": 1, "trials": ["0001"]}])
        log.drawing(0, 5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert all(line.startswith(PREFIX) and line.isascii() for line in lines)
    assert "other" not in lines[2]


def test_every_event_is_one_of_every_view():
    for name in EVENTS.keys() - {"board"}:
        assert all(callable(getattr(view, name)) for view in (EventLog, PlainLines, LivePanel))
