"""What Tune calls: the source of trials, the scheduler, and the listener. They carry questions and answers, no more.

Tune starts whatever trial is PENDING as soon as it can. So a new trial is PAUSED from the first: then it is the
scheduler alone that decides which trial gets a slot, and when.
"""

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ray.tune import Callback
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from orchestrator import asha
from orchestrator.files import pictures_folder, write_whole
from orchestrator.ledger import Ledger, known_numbers

DECISIONS = {asha.CONTINUE: TrialScheduler.CONTINUE, asha.PAUSE: TrialScheduler.PAUSE, asha.STOP: TrialScheduler.STOP}
LONGEST_REASON = 300  # characters


class Source(SearchAlgorithm):
    """Gives Tune the trials of a list of slot configs.

    It is finished when the last trial has ended: until then Tune keeps a paused trial's actor for the next trial.
    """

    def __init__(self, configs: list[dict]):
        self.waiting, self.given = deque(configs), []

    def add_configurations(self, experiments: list[Experiment]) -> None:
        [self.experiment] = experiments

    def next_trial(self) -> Trial | None:
        if not self.waiting:
            return None
        config = self.waiting.popleft()
        spec = self.experiment.spec
        trial = Trial(
            spec["run"],
            config=config,
            trial_id=config["id"],
            storage=spec["storage"],
            placement_group_factory=spec["resources_per_trial"],
            max_failures=spec["max_failures"],
        )
        self.given.append(trial)
        return trial

    def is_finished(self) -> bool:
        return not self.waiting and all(trial.is_finished() for trial in self.given)


class Scheduler(TrialScheduler):
    """Asks `core` (asha.Asha or asha.RunAll) what to do, and keeps `slots` slots busy."""

    def __init__(self, core, slots: int):
        super().__init__()
        self.core, self.slots = core, slots
        self.trials: dict[int, Trial] = {}
        self.new: deque[Trial] = deque()  # never started
        self.promoted: Trial | None = None  # promoted, perhaps still writing its checkpoint

    def on_trial_add(self, tune_controller, trial: Trial) -> None:
        if number(trial) in self.trials:  # a retry: it has its slot, and Tune starts it again by itself
            return
        self.trials[number(trial)] = trial
        self.new.append(trial)
        trial.set_status(Trial.PAUSED)

    def on_trial_result(self, tune_controller, trial: Trial, result: dict) -> str:
        decision = self.core.report(number(trial), result["epoch"], result["value"])
        if decision == asha.CONTINUE and self.promoted is trial:
            self.promoted = None  # it was promoted and then failed while it wrote its checkpoint
        return DECISIONS[decision]

    def on_trial_complete(self, tune_controller, trial: Trial, result: dict) -> None:
        if result["diverged"]:
            self.core.abandon(number(trial))

    def on_trial_error(self, tune_controller, trial: Trial) -> None:
        if not trial.should_recover():
            self.core.abandon(number(trial))

    def on_trial_remove(self, tune_controller, trial: Trial) -> None:
        pass

    def choose_trial_to_run(self, tune_controller) -> Trial | None:
        busy = sum(trial.status in (Trial.RUNNING, Trial.PENDING) for trial in self.trials.values())
        if busy >= self.slots:
            return None
        trial = self._next()
        if not (trial or busy or self.promoted):
            for paused in [trial for trial in self.trials.values() if trial.status == Trial.PAUSED]:
                tune_controller.stop_trial(paused)
        return trial

    def _next(self) -> Trial | None:
        """A promoted trial, else a new one. None while the promoted one is not ready for its new slot."""
        if self.promoted is None and (promoted := self.core.next()) is not None:
            self.promoted = self.trials[promoted]
        if self.promoted is None:
            return self.new.popleft() if self.new else None
        trial, ready = self.promoted, self.promoted.status == Trial.PAUSED
        if ready or trial.is_finished():  # finished: it failed while it wrote its checkpoint
            self.promoted = None
        return trial if ready else None


class Listener(Callback):
    """Tells the ledger, the tracker and the console what happens, in plain values, each thing once.

    Both listeners have `trial_started(id, params, name)`, `epoch(id, epoch, metrics)` and `trial_ended(id, status,
    reason, best)`; the tracker also `pictures(id, epoch, paths)`, the console `trial_paused(id)`, `trial_resumed(id)`.
    """

    def __init__(self, ledger: Ledger, core, tracker, console):
        self.ledger, self.core, self.tracker, self.console = ledger, core, tracker, console
        self.heard: list[Callable[[], None]] = []  # in this step of Tune's loop

    def on_trial_start(self, iteration, trials, trial: Trial, **info) -> None:
        if not self._begin(trial):
            self._tell(self.console.trial_resumed, trial.config["id"])

    def on_trial_result(self, iteration, trials, trial: Trial, result: dict, **info) -> None:
        known = (trial.config["id"], result["epoch"], result["metrics"])
        if result["diverged"] is None and self.ledger.add(*known):
            self._tell(self.tracker.epoch, *known)
            self._tell(self.console.epoch, *known)
            self._pictures(trial, result["epoch"])

    def on_trial_save(self, iteration, trials, trial: Trial, **info) -> None:
        """Tune saves when a trial pauses, and only then."""
        self._pictures(trial, trial.last_result["epoch"])
        self._tell(self.console.trial_paused, trial.config["id"])

    def on_trial_complete(self, iteration, trials, trial: Trial, **info) -> None:
        last = trial.last_result
        if last["diverged"]:
            self._end(trial, "diverged", last["diverged"])
        elif last["finished"]:
            self._end(trial, "completed", None)
        else:
            self._end(trial, "stopped", self.core.reason(number(trial)))

    def on_trial_error(self, iteration, trials, trial: Trial, **info) -> None:
        self._begin(trial)  # its slot may have failed before it had it
        folder = Path(trial.config["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        text = Path(trial.error_file).read_text(encoding="utf-8")
        write_whole(folder / "error.txt", text)
        self._end(trial, "failed", reason_of(text))

    def on_step_end(self, iteration, trials, **info) -> None:
        """Pass on what was heard: here an error of a listener or of the disk ends the sweep, and is seen.

        In its other calls Tune takes an error for the trial's.
        """
        heard, self.heard = self.heard, []
        for tell in heard:
            tell()

    def _begin(self, trial: Trial) -> bool:
        """False if the trial began before."""
        config = trial.config
        new = self.ledger.begin(config["id"])
        if new:
            for listener in (self.tracker, self.console):
                self._tell(listener.trial_started, config["id"], config["config"], config["id"])
        return new

    def _pictures(self, trial: Trial, epoch: int) -> None:
        paths = sorted(pictures_folder(Path(trial.config["folder"]), epoch).glob("*.png"))
        if paths:
            self._tell(self.tracker.pictures, trial.config["id"], epoch, paths)

    def _end(self, trial: Trial, status: str, reason: str | None) -> None:
        entry = self.ledger.end(trial.config["id"], status, reason)
        self._tell(self.ledger.write)
        for listener in (self.tracker, self.console):
            self._tell(listener.trial_ended, entry["id"], status, reason, known_numbers(entry["best"]))

    def _tell(self, method: Callable, *values) -> None:
        self.heard.append(partial(method, *values))


def number(trial: Trial) -> int:
    """The trial's number in the sweep, by which the core knows it."""
    return trial.config["number"]


def reason_of(text: str) -> str:
    """One line of what Tune wrote of a trial's failures: the last exception, or how its process died."""
    last = re.split(r"^Failure # .*\n", text, flags=re.MULTILINE)[-1]
    after_frames = re.split(r'^  File ".*\n', last, flags=re.MULTILINE)[-1]
    lines = [line for line in after_frames.splitlines() if line.strip() and not line.startswith(" ")]
    return re.sub(r"^(\w+\.)+(?=\w+(:|$))", "", lines[0])[:LONGEST_REASON] if lines else "unknown"
