"""The view of a running sweep: a live panel on a terminal, plain lines elsewhere.

`sweep/events.py` notifies both of what happens to trials; where the sweep runs on a cluster, by way of `event_log.py`.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.storage.within_epoch import Lines, share_text
from orchestrator.terminal import cut, say
from orchestrator.text import listed, show, with_reason

STATES = ("running", "paused", "waiting", "stopped", "completed", "diverged", "failed")
SHOWN = {"completed": "done"}
BAR_WIDTH = 40
MOST_RUNNING = 12  # trials listed in the panel
MOST_NODES = 12  # nodes listed there

NodeRow = dict[str, Any]
"""A node of a cluster: `node` (its name), `cpus`, `gpus`, `busy` (GPUs in use, or CPUs where it has no GPU), `trials`
(the ids of those on it)."""


@dataclass
class Board:
    """What is known of a sweep at a moment. `expected_epochs` is an estimate for the whole sweep."""

    name: str
    metric: str
    mode: str
    trials: int
    expected_epochs: float
    states: dict[str, str] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest: dict[str, tuple[int, float]] = field(default_factory=dict)  # trial -> (epoch, objective)
    within: dict[str, float] = field(default_factory=dict)  # trial -> share of its epoch, if that takes long
    best: tuple[float, str, int] | None = None  # objective, trial, epoch
    epochs: int = 0
    recalled: int = 0  # epochs among these that were trained before this process
    nodes: dict[str, NodeRow] = field(default_factory=dict)  # by name; none where the sweep runs on this machine alone
    drawn: tuple[int, int] | None = None  # trials whose pictures are drawn, of those to be; once all have ended
    clock: Callable[[], float] = time.monotonic  # in seconds; `started` and `first_epoch` are its times
    started: float = field(default_factory=time.monotonic)
    first_epoch: float | None = None  # when the first epoch of this process was done

    def begin(self, trial: str, config: dict[str, Any]) -> None:
        self.states[trial], self.configs[trial] = "running", config

    def epoch(self, trial: str, epoch: int, value: float) -> None:
        if self.first_epoch is None:
            self.first_epoch = self.clock()
        self.epochs += 1
        self.within.pop(trial, None)
        self.latest[trial] = (epoch, value)
        sign = {"max": 1.0, "min": -1.0}[self.mode]
        if math.isfinite(value) and (self.best is None or sign * value > sign * self.best[0]):
            self.best = (value, trial, epoch)

    def counts(self) -> str:
        """Such as `2 running, 5 paused, 9 waiting`."""
        counts = Counter(self.states.values())
        counts["waiting"] = self.trials - len(self.states)
        return ", ".join(f"{counts[state]} {SHOWN.get(state, state)}" for state in STATES if counts[state])

    def drawing(self) -> str:
        """How many pictures are drawn; empty while trials train."""
        return "pictures of {} of the {} best trials are drawn".format(*self.drawn) if self.drawn else ""

    def share(self) -> float:
        """How much of the sweep is done, between 0 and 1."""
        ended = sum(state not in ("running", "paused") for state in self.states.values())
        if self.trials and ended == self.trials:
            return 1.0
        return min(0.99, self.epochs / self.expected_epochs) if self.expected_epochs else 0.0

    def times(self) -> str:
        """The time since the start and, once it can be estimated, the time left."""
        now = self.clock()
        gone = clock(now - self.started)
        if self.first_epoch is None or self.epochs < self.recalled + 2 or self.share() in (0.0, 1.0):
            return f"{gone} gone"
        seconds_per_epoch = (now - self.first_epoch) / (self.epochs - self.recalled - 1)
        return f"{gone} gone, about {clock(max(0.0, self.expected_epochs - self.epochs) * seconds_per_epoch)} left"

    def best_so_far(self) -> str:
        if self.best is None:
            return "none yet"
        value, trial, epoch = self.best
        return f"{self.metric} {value:.4g}, trial {trial} at epoch {epoch}: {listed(self.configs.get(trial, {}))}"


class View:
    """What both views share: they keep the board up to date."""

    def __init__(self, board: Board):
        self.board = board

    def recall(self, news: list[tuple], paused: list[str]) -> None:
        """Take in events from before this process, each as the name of a method and its values, and print nothing."""
        for name, *values in news:
            getattr(View, name)(self, *values)
        self.board.states.update(dict.fromkeys(paused, "paused"))
        self.board.first_epoch, self.board.recalled = None, self.board.epochs

    def trial_started(self, trial: str, config: dict[str, Any], name: str) -> None:
        self.board.begin(trial, config)

    def trial_resumed(self, trial: str) -> None:
        self.board.states[trial] = "running"

    def epoch(self, trial: str, epoch: int, metrics: dict[str, float]) -> None:
        self.board.epoch(trial, epoch, metrics[self.board.metric])

    def trial_within(self, trial: str, epoch: int, share: float, seconds: float) -> None:
        """The share of the trial's epoch that is done, and the seconds since it began."""
        self.board.within[trial] = share

    def trial_noticed(self, trial: str, text: str) -> None:
        """What happened to a trial; nothing of it stays on the board."""

    def trial_paused(self, trial: str) -> None:
        self.board.states[trial] = "paused"

    def trial_ended(self, trial: str, status: str, reason: str | None, best: dict[str, float]) -> None:
        self.board.states[trial] = status

    def nodes(self, rows: Sequence[NodeRow]) -> None:
        """The nodes of the cluster that are alive."""
        self.board.nodes = {row["node"]: row for row in rows}

    def drawing(self, done: int, total: int) -> None:
        """So many of `total` trials are drawn, now that all have ended."""
        self.board.drawn = (done, total)

    def sweep_ended(self, status: str, best_metrics: dict[str, float], tags: dict[str, str]) -> None:
        """Does nothing here: the verbs print the closing summary."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class PlainLines(View):
    """One line per event that changes a trial's state: for logs and pipes."""

    def __init__(self, board: Board, console: Console):
        super().__init__(board)
        self.console, self.lines = console, Lines()
        self.say(f"{board.name}: {board.trials} trials")

    def say(self, text: str) -> None:
        say(self.console, text)

    def trial_started(self, trial: str, config: dict[str, Any], name: str) -> None:
        known = trial in self.board.states  # it had ended, and goes on: `trial_resumed` says so
        super().trial_started(trial, config, name)
        if not known:
            self.say(f"{trial} started: {listed(config)}")

    def trial_resumed(self, trial: str) -> None:
        super().trial_resumed(trial)
        self.say(f"{trial} resumed")

    def trial_noticed(self, trial: str, text: str) -> None:
        self.say(f"{trial} {text}")

    def trial_within(self, trial: str, epoch: int, share: float, seconds: float) -> None:
        super().trial_within(trial, epoch, share, seconds)
        if self.lines.due(trial, epoch, share, seconds):
            self.say(f"{trial} {share_text(epoch, share, seconds)}")

    def trial_paused(self, trial: str) -> None:
        super().trial_paused(trial)
        epoch, value = self.board.latest.get(trial, (0, math.nan))
        self.say(f"{trial} paused at epoch {epoch}, {self.board.metric} {show(value)}")

    def trial_ended(self, trial: str, status: str, reason: str | None, best: dict[str, float]) -> None:
        super().trial_ended(trial, status, reason, best)
        self.say(f"{trial} {with_reason(status, reason)} | {self.board.counts()} | {self.board.times()}")

    def nodes(self, rows: Sequence[NodeRow]) -> None:
        before = self.board.nodes
        super().nodes(rows)
        for name in sorted(self.board.nodes.keys() - before.keys()):
            self.say(f"node {name} joined")
        for name in sorted(before.keys() - self.board.nodes.keys()):
            self.say(f"node {name} lost")

    def drawing(self, done: int, total: int) -> None:
        if self.board.drawn is None:
            self.say(f"drawing the pictures of {total} trials")
        super().drawing(done, total)

    def sweep_ended(self, status: str, best_metrics: dict[str, float], tags: dict[str, str]) -> None:
        self.say(f"{self.board.times()}, best so far: {self.board.best_so_far()}")


class LivePanel(PlainLines):
    """A panel that is redrawn until the sweep ends, and then stays; plain lines once its terminal is lost."""

    def __init__(self, board: Board, console: Console):
        self.board = board
        self.live = Live(console=console, get_renderable=self.render, refresh_per_second=4)  # it renders at once
        super().__init__(board, console)
        self.live.start()

    def close(self) -> None:
        self.live.stop()

    def say(self, text: str) -> None:
        """Nothing, as the panel shows it. Once the terminal is lost, print the line, which then goes to the log."""
        if not self.console.is_terminal:
            self.live.stop()
            super().say(text)

    def trial_noticed(self, trial: str, text: str) -> None:
        (super().say if self.console.is_terminal else self.say)(f"{trial} {text}")

    def render(self) -> Group:
        board = self.board
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=1.0, completed=board.share(), width=BAR_WIDTH)
        head.add_row(Text(board.name, style="bold"), bar, f"{board.share():.0%}", board.times())
        running = [trial for trial, state in list(board.states.items()) if state == "running"]
        rows = Table.grid(padding=(0, 2))
        for trial in running[:MOST_RUNNING]:
            epoch, value = board.latest.get(trial, (0, math.nan))
            share = board.within.get(trial)
            at = f"epoch {epoch}" if share is None else f"epoch {epoch + 1}: {share:.0%}"
            rows.add_row(trial, at, show(value), cut(listed(board.configs.get(trial, {}))))
        best = cut(f"best so far: {board.best_so_far()}")
        return Group(head, Text(board.drawing() or board.counts()), best, rows, *node_rows(board.nodes))


def node_rows(nodes: dict[str, NodeRow]) -> list[Table]:
    """A table with a row for each node: its name, how much of it is in use, its trials. No table without nodes."""
    if not nodes:
        return []
    table = Table.grid(padding=(0, 2))
    for name, row in list(nodes.items())[:MOST_NODES]:
        devices = f"{row['gpus']:g} GPUs" if row["gpus"] else f"{row['cpus']:g} CPUs"
        table.add_row(name, f"{row['busy']:g}/{devices}", cut(" ".join(row["trials"])))
    if len(nodes) > MOST_NODES:
        table.add_row(f"and {len(nodes) - MOST_NODES} more nodes")
    return [table]


def watch(board: Board, console: Console) -> PlainLines | LivePanel:
    """A LivePanel on a terminal, PlainLines elsewhere."""
    return LivePanel(board, console) if console.is_terminal else PlainLines(board, console)


def clock(seconds: float) -> str:
    """Such as `0:42`, `12:05` or `1:02:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
