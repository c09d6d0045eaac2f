"""Passes a sweep's events to its listeners: the tracker, which logs them, and the console, which shows them.

The events come from `SweepState.take_news`, in plain values.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from orchestrator.storage import layout, within_epoch
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.state import Event, SweepState

LOOK_S = 2.0  # between looks at how far the trials are within an epoch
TRACKERS = ("trial_started", "epoch", "trial_ended")  # events for both listeners; all others are for the console alone


class Listeners:
    """Notifies tracker and console of each event once.

    Both have `trial_started(id, params, name)`, `epoch(id, epoch, metrics)` and `trial_ended(id, status, reason,
    best)`; the tracker also `pictures(id, epoch, paths)` and `ended(id, params)`, the console `trial_paused(id)`,
    `trial_resumed(id)`, `trial_noticed(id, text)`, `trial_within(id, epoch, share, seconds)`, `nodes(rows)`,
    `drawing(done, total)` and `recall(news, paused)`.
    """

    def __init__(self, results_file: ResultsFile, tracker, console, clock: Callable[[], float] = time.monotonic):
        self.results_file, self.tracker, self.console = results_file, tracker, console
        self.clock, self.looked = clock, clock()

    def notify(self, news: Iterable[Event]) -> None:
        """Notify both of `news`, and update results.json. Raises OSError."""
        for name, *values in news:
            getattr(self.console, name)(*values)
            self._record(name, *values)
            if name == "trial_ended":
                self.results_file.write_if_due()

    def look(self, state: SweepState, nodes: Callable[[], list[dict]] = list) -> None:
        """Notify the console, every LOOK_S at most, how far the trials are within a long epoch, and of the `nodes`."""
        if self.clock() - self.looked < LOOK_S:
            return
        self.looked = self.clock()
        for trial in [trial for trial, paused in state.standing.items() if not paused]:
            found = within_epoch.read(Path(self.results_file.trials[trial]["folder"]))
            if found and found[0] == self.results_file.entries[trial]["epochs"] + 1:
                self.console.trial_within(trial, *found)
        if rows := nodes():
            self.console.nodes(rows)

    def recall(self, state: SweepState) -> None:
        """Pass on what earlier processes did: a kill may have come between an event and its notification.

        The tracker drops what it has recorded; the console adds all to its table and prints nothing.
        """
        news = state.take_news()
        if news:
            self.console.recall(news, [trial for trial, paused in state.standing.items() if paused])
        begun = {trial for _, trial, *_ in news}
        known = {trial for trial in begun if self._is_known(trial)}
        for name, trial, *values in news:
            if trial not in known:  # else the tracker would start the ended trial again
                self._record(name, trial, *values)

    def _is_known(self, trial: str) -> bool:
        """Whether the tracker knows all of a trial that has ended."""
        params = self.results_file.trials[trial]["parameters"]
        return bool(self.results_file.entries[trial]["status"]) and self.tracker.ended(trial, params)

    def _record(self, name: str, trial: str, *values) -> None:
        if name in TRACKERS:
            getattr(self.tracker, name)(trial, *values)
        if name in ("epoch", "trial_paused"):
            epoch = self.results_file.entries[trial]["epochs"] if name == "trial_paused" else values[0]
            self.drawn(trial, epoch)

    def drawn(self, trial: str, epoch: int) -> None:
        """Notify the tracker of the pictures of a trial's epoch, if there are some. Raises OSError."""
        folder = layout.pictures_folder(Path(self.results_file.trials[trial]["folder"]), epoch)
        if paths := sorted(folder.glob("*.png")):
            self.tracker.pictures(trial, epoch, paths)
