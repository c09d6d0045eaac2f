"""Shows a sweep whose driver runs on a cluster: there `EventLog` is its view, here `replay` reads the driver's log.

Each event is one line of the log, between whatever else the driver prints. So the log alone, from its beginning, makes
the view that a driver on this machine would have had.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from orchestrator.reporting.console import Board, NodeRow, View

PREFIX = "@vaeorch "  # before the JSON of an event
RAYS_OWN = re.compile(r"Running entrypoint for job |.*\bjob_manager\.py:\d+ -- ")  # lines that Ray adds to a job's log
EVENTS = {  # name -> how many values it has; all but `board` are methods of the views
    "board": 5,
    "recall": 2,
    "trial_started": 3,
    "trial_resumed": 1,
    "trial_noticed": 2,
    "trial_within": 4,
    "trial_paused": 1,
    "trial_ended": 4,
    "epoch": 3,
    "nodes": 1,
    "drawing": 2,
    "sweep_ended": 3,
    "close": 0,
}


class EventLog:
    """A view that writes each event as a line to `stream`, with its time in unix seconds. It prints nothing else."""

    def __init__(self, board: Board, stream: TextIO, clock: Callable[[], float] = time.time):
        self.metric, self.stream, self.clock = board.metric, stream, clock
        self.within: dict[str, tuple] = {}  # trial -> what was last written of its epoch
        self.rows: list[NodeRow] = []
        self.drawn: tuple[int, int] | None = None
        self._write("board", board.name, board.metric, board.mode, board.trials, board.expected_epochs)

    def recall(self, news: list[tuple], paused: list[str]) -> None:
        self._write("recall", [self._brief(*event) for event in news], paused)

    def trial_started(self, trial: str, config: dict[str, Any], name: str) -> None:
        self._write_of_trial("trial_started", trial, config, name)

    def trial_resumed(self, trial: str) -> None:
        self._write_of_trial("trial_resumed", trial)

    def trial_noticed(self, trial: str, text: str) -> None:
        self._write("trial_noticed", trial, text)

    def trial_within(self, trial: str, epoch: int, share: float, seconds: float) -> None:
        """Written when it has changed: it is looked at more often."""
        if self.within.get(trial) != (epoch, share, seconds):
            self.within[trial] = (epoch, share, seconds)
            self._write("trial_within", trial, epoch, share, seconds)

    def trial_paused(self, trial: str) -> None:
        self._write_of_trial("trial_paused", trial)

    def trial_ended(self, trial: str, status: str, reason: str | None, best: dict[str, float]) -> None:
        self._write_of_trial("trial_ended", trial, status, reason, best)

    def epoch(self, trial: str, epoch: int, metrics: dict[str, float]) -> None:
        self._write_of_trial(*self._brief("epoch", trial, epoch, metrics))

    def nodes(self, rows: Sequence[NodeRow]) -> None:
        """Written when they have changed."""
        if list(rows) != self.rows:
            self.rows = list(rows)
            self._write("nodes", self.rows)

    def drawing(self, done: int, total: int) -> None:
        """Written when it has changed: it is looked at more often."""
        if (done, total) != self.drawn:
            self.drawn = (done, total)
            self._write("drawing", done, total)

    def sweep_ended(self, status: str, best_metrics: dict[str, float], tags: dict[str, str]) -> None:
        self._write("sweep_ended", status, best_metrics, tags)

    def close(self) -> None:
        self._write("close")

    def _brief(self, name: str, *values: Any) -> tuple:
        """The event, of an epoch's metrics the objective alone: a log is read again from its beginning."""
        if name != "epoch":
            return (name, *values)
        trial, epoch, metrics = values
        return name, trial, epoch, {self.metric: metrics[self.metric]}

    def _write_of_trial(self, name: str, trial: str, *values: Any) -> None:
        """Write an event after which it is told anew how far the trial is in its epoch."""
        self.within.pop(trial, None)
        self._write(name, trial, *values)

    def _write(self, name: str, *values: Any) -> None:
        self.stream.write(f"{PREFIX}{json.dumps({'time': self.clock(), 'event': name, 'values': values})}\n")
        self.stream.flush()


class Read(NamedTuple):
    """An event of a log."""

    time: float
    name: str
    values: list[Any]


class HeadClock:
    """The time on the driver's node: that of the event that is passed on, or of the last one and what has gone since.

    So a log that is read late, and a clock that differs from this machine's, change no time that is shown.
    """

    def __init__(self, now: float):
        self.last, self.running_since = now, None

    def __call__(self) -> float:
        since = self.running_since
        return self.last if since is None else self.last + time.monotonic() - since

    def stop_at(self, now: float) -> None:
        self.running_since, self.last = None, max(now, self.last)

    def run(self) -> None:
        self.running_since = time.monotonic()


def replay(lines: Iterable[str], make_view: Callable[[Board], View], say: Callable[[str], None]) -> None:
    """Pass the events of a driver's log on to a view, as its lines come; say every other line as it is, but Ray's own.

    A view is made where a driver begins, and closed where it ends. A line that is damaged is no event.
    """
    view, clock = None, HeadClock(0.0)
    try:
        for line in lines:
            before, event = read(line)
            if event is None or (view is None and event.name != "board"):
                if not RAYS_OWN.match(line):
                    say(line)
                continue
            if before:  # what had been printed without an end of its line
                say(before)
            if event.name == "board":
                if view:
                    view.close()
                clock = HeadClock(event.time)
                view = make_view(Board(*event.values, clock=clock, started=event.time))
            else:
                clock.stop_at(event.time)
                getattr(view, event.name)(*event.values)
                view = None if event.name == "close" else view
            clock.run()
    finally:
        if view:
            view.close()


def read(line: str) -> tuple[str, Read | None]:
    """What stands before the event of a line, and the event; None if it has none, or a damaged one."""
    before, _, text = line.partition(PREFIX)
    try:
        found = json.loads(text)
        event = Read(float(found["time"]), found["event"], found["values"])
        whole = EVENTS[event.name] == len(event.values)
    except (ValueError, TypeError, KeyError):
        return line, None
    return (before, event) if whole else (line, None)
