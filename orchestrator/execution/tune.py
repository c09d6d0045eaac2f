"""What Tune calls: the source of trials, the scheduler, and the listener. They only pass on questions and answers.

`sweep/trial_queue.py` decides which trials there are, `sweep/state.py` what each of them does next.

Tune starts every PENDING trial as soon as it can. So a new trial is PAUSED from the start: then the scheduler alone
decides which trial gets a slot, and when.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Experiment, Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from orchestrator.clusters.connection import Connection, node_lost
from orchestrator.clusters.lease import StoreLost
from orchestrator.clusters.local import RayLost
from orchestrator.errors import UserError
from orchestrator.execution.handshake import NodeDiffers
from orchestrator.execution.oom import NO_ROOM, REFUSED, oom_kills
from orchestrator.schedulers import base
from orchestrator.signals import Deferred
from orchestrator.space.trials import trial_name
from orchestrator.storage import layout
from orchestrator.storage.disk import fault_in_text
from orchestrator.storage.json_files import write_whole
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.shared_slots import RETRIES
from orchestrator.sweep.state import GROUP, MEMORY, NODE, SLOT, SweepState
from orchestrator.sweep.trial_queue import TrialQueue

DECISIONS = {base.CONTINUE: TrialScheduler.CONTINUE, base.PAUSE: TrialScheduler.PAUSE, base.STOP: TrialScheduler.STOP}
LONGEST_REASON = 300  # characters
DIED = "died unexpectedly"  # Ray's words for a process that was killed
OOM_WORDS = (  # Ray's words when it has killed the process itself
    *("NODE_OUT_OF_MEMORY", "ray.exceptions.OutOfMemoryError"),
    "killed due to the node running low on memory",
)
OOM_REASON = "Its process was killed because memory ran out. Give a trial more of it, or run fewer at a time."
MEMORY_RETRIES = RETRIES[MEMORY]  # of a trial whose process Ray killed because memory was short
MEMORY_NOTICE = "Memory was short, so Ray killed its process. It goes on from its last epoch ({} of {} times)."
NODE_NOTICE = "Its node was lost. It goes on elsewhere from its last checkpoint."
METRICS = "metrics/"  # the prefix of their names in a result that Tune has flattened


class PatientTrial(Trial):
    """A trial whose retries are not used up by what may not be its fault: a shortage of memory, the loss of a node."""

    memory_kills = 0  # so far
    lost_nodes = 0

    def handle_error(self, exc: Exception | None = None) -> None:
        super().handle_error(exc)
        if node_lost(exc):
            self.lost_nodes += 1
            self.max_failures += 1
        elif any(word in str(exc) for word in OOM_WORDS) and self.memory_kills < MEMORY_RETRIES:
            self.memory_kills += 1
            self.max_failures += 1


class WrongNode(BaseException):
    """A node has other software than the driver: one line. No trial is to blame."""


@contextmanager
def node_faults_reported(cure: str) -> Iterator[None]:
    """Raises UserError, with `cure`, in place of WrongNode."""
    try:
        yield
    except WrongNode as error:
        raise UserError(f"{error} {cure}") from None


class Source(SearchAlgorithm):
    """Gives Tune a trial for each number that is left. `Scheduler` may find out later which trial has the number.

    It is finished when the last trial has ended: until then Tune keeps a paused trial's actor for the next trial.
    `place` is what a slot's config has besides the trial: how its files come to the driver.
    """

    def __init__(self, queue: TrialQueue, place: dict[str, Any]):
        self.state, self.waiting, self.place = queue.state, deque(queue.left()), place
        self.given: deque[Trial] = deque()  # but the first ones, if they have ended

    def add_configurations(self, experiments: list[Experiment]) -> None:
        [self.experiment] = experiments

    def next_trial(self) -> Trial | None:
        if not self.waiting:
            return None
        number, spec, results_file = self.waiting.popleft(), self.experiment.spec, self.state.results_file
        name = self.state.names.get(number)
        trial = PatientTrial(
            spec["run"],
            config=results_file.trials.get(name, {"number": number}) | self.place,
            trial_id=trial_name(number),
            storage=spec["storage"],
            placement_group_factory=spec["resources_per_trial"],
            max_failures=max(0, spec["max_failures"] - self.state.retries[name, SLOT]),
        )
        trial.memory_kills = self.state.retries[name, MEMORY]
        trial.lost_nodes = self.state.retries[name, NODE]
        self.given.append(trial)
        return trial

    def is_finished(self) -> bool:
        while self.given and self.given[0].is_finished():
            self.given.popleft()
        return not self.waiting and all(trial.is_finished() for trial in self.given)


class Attentive(TrialScheduler):
    """A scheduler that takes in results only: a `Listener` is told of ends."""

    def on_trial_complete(self, tune_controller, trial: Trial, result: dict) -> None:
        pass

    def on_trial_error(self, tune_controller, trial: Trial) -> None:
        pass

    def on_trial_remove(self, tune_controller, trial: Trial) -> None:
        pass


class Scheduler(Attentive):
    """Asks the TrialQueue and its SweepState what to do, and keeps `slots` slots busy."""

    def __init__(self, queue: TrialQueue, slots: int):
        super().__init__()
        self.queue, self.state, self.slots = queue, queue.state, slots
        self.trials: dict[int, Trial] = {}
        self.chosen: dict[Trial, bool] = {}  # those with a slot -> whether Tune has given it to them yet
        self.broken: deque[Trial] = deque()  # those that an earlier process left running, or pausing
        self.new: deque[Trial] = deque()  # never started
        self.later: deque[Trial] = deque()  # never started; they start once all others have ended
        self.promoted: Trial | None = None  # to continue, but it may still be writing its checkpoint

    def on_trial_add(self, tune_controller, trial: Trial) -> None:
        if number(trial) in self.trials:  # a retry: it has its slot, and Tune itself restarts it
            self.chosen[trial] = False
            return
        self.trials[number(trial)] = trial
        if trial.config.get("id") not in self.state.standing:
            waits = self.queue.confirms(number(trial)) and self.state.confirming is None
            (self.later if waits else self.new).append(trial)
        elif self.queue.broken(trial.config["id"]):
            self.broken.append(trial)
        trial.set_status(Trial.PAUSED)

    def on_trial_result(self, tune_controller, trial: Trial, result: dict) -> str:
        metrics = {key.removeprefix(METRICS): value for key, value in result.items() if key.startswith(METRICS)}
        decision = self.state.report(trial.config["id"], result["epoch"], metrics, result["seconds"])
        if decision == base.CONTINUE and self.promoted is trial:
            self.promoted = None  # it was promoted and then failed while it wrote its checkpoint
        return DECISIONS[decision]

    def choose_trial_to_run(self, tune_controller) -> Trial | None:
        busy = self._busy()
        if len(busy) >= self.slots:
            return None
        if trial := self._next(tune_controller):
            self.chosen[trial] = False
        if not (trial or busy or self.promoted):
            self._close(tune_controller)
        return trial

    def _close(self, tune_controller) -> None:
        """Nothing else is left: stop the paused trials but those in `later`, which may start now, budget allowing."""
        if self.state.budget.empty:
            self.later.clear()
        for paused in [trial for trial in self.trials.values() if trial.status == Trial.PAUSED]:
            if paused not in self.later:
                tune_controller.stop_trial(paused)
        self.new, self.later = self.later, deque()

    def _next(self, tune_controller) -> Trial | None:
        """A broken trial, else the promoted one, else a new one. None while the promoted one is still pausing.

        A new trial that needs no slot may cause a promotion: so the loop asks for both again after it.
        """
        if self.broken:
            return self.broken.popleft()
        while True:
            if self._goes_on():
                trial = self.promoted
                if trial.status != Trial.PAUSED and not trial.is_finished():
                    return None
                self.promoted = None
                if not trial.is_finished():  # else it failed while it wrote its checkpoint
                    return trial
            elif not self.new or self.state.budget.empty:
                return None
            elif trial := self._enter(self.new.popleft(), tune_controller):
                return trial

    def _goes_on(self) -> bool:
        """Whether a paused trial is to have a slot: it was promoted, or no new trial is left and the search closes."""
        if self.promoted is None:
            number = self.state.next()
            if number is None and not self.new and self._all_began():
                number = self.state.close()
            self.promoted = None if number is None else self.trials[number]
        return self.promoted is not None

    def _enter(self, trial: Trial, tune_controller) -> Trial | None:
        """The trial, which was never started, with its config; None if it needs no slot."""
        if config := self.queue.enter(number(trial)):
            trial.config.update(config)
            return trial
        tune_controller.stop_trial(trial)
        return None

    def _busy(self) -> list[Trial]:
        """The trials that have a slot now: they are looked for among those that were chosen, not among all."""
        for trial, given in list(self.chosen.items()):
            self.chosen[trial] = trial.status in (Trial.RUNNING, Trial.PENDING)
            if not self.chosen[trial] and (given or trial.is_finished()):
                del self.chosen[trial]
        return [trial for trial, given in self.chosen.items() if given]

    def _all_began(self) -> bool:
        """Whether every trial with a slot has begun there: SweepState knows of those only."""
        return all(trial.config["id"] in self.state.results_file.entries for trial in self._busy())


class Listener(Callback):
    """Passes on what Tune reports of trials to SweepState, which decides what is new in it."""

    def __init__(self, state: SweepState, listeners: Listeners, stop: Deferred, cluster: Connection):
        self.state, self.listeners, self.stop, self.cluster = state, listeners, stop, cluster
        self.oom_kills = oom_kills()
        self.nodes: dict[str, list[str]] = {}  # trial -> the addresses of the nodes that trained its last epoch

    def setup(self, **info) -> None:
        self.stop.install()  # Tune has installed its own handler of Ctrl-C by now

    def on_trial_start(self, iteration, trials, trial: Trial, **info) -> None:
        if not self.state.begin(trial.config["id"]):
            self._passing("trial_resumed", trial)

    def on_trial_result(self, iteration, trials, trial: Trial, result: dict, **info) -> None:
        """Tune does not ask the scheduler about a trial's last result."""
        if result["diverged"] is None:
            self.state.report(trial.config["id"], result["epoch"], result["metrics"], result["seconds"])
        self.nodes[trial.config["id"]] = result.get("nodes", [])
        if notice := result.get("notice"):
            self._passing("trial_noticed", trial, notice)
        self._count_restarts(trial)

    def on_trial_save(self, iteration, trials, trial: Trial, **info) -> None:
        """Tune saves when a trial pauses, and only then."""
        self._passing("trial_paused", trial)
        self._count_restarts(trial)

    def on_trial_complete(self, iteration, trials, trial: Trial, **info) -> None:
        last = trial.last_result
        if trial.config.get("id") not in self.state.standing:
            return  # it never had a slot: its number has no trial, or an earlier sweep's was reused
        if last.get("diverged"):
            self.state.end(trial.config["id"], "diverged", last["diverged"])
        elif last.get("finished"):
            self.state.end(trial.config["id"], "completed", None)
        else:
            self.state.end(trial.config["id"], "stopped", self.state.reason(trial.config["id"]))

    def on_trial_recover(self, iteration, trials, trial: Trial, **info) -> None:
        self.cluster.check()
        if self.stop.number is None and not self._fault(trial):  # else the signal ended its process too
            self.state.begin(trial.config["id"])  # its slot may have failed before it began there
            self._count_restarts(trial)
            self._retry(trial)

    def on_trial_error(self, iteration, trials, trial: Trial, **info) -> None:
        self.cluster.check()
        if self.stop.number is None and not self._fault(trial):
            self.state.begin(trial.config["id"])
            self._count_restarts(trial)
            folder = Path(trial.config["folder"])
            folder.mkdir(parents=True, exist_ok=True)
            text = Path(trial.error_file).read_text(encoding="utf-8")
            write_whole(folder / layout.ERROR, text)
            self.state.end(trial.config["id"], "failed", reason_of(text, oom_kills() > self.oom_kills))
            self.oom_kills = oom_kills()

    def _fault(self, trial: Trial) -> OSError | None:
        """The disk error that made the trial fail, if one did. It ends the sweep, not the trial, until `resume`.

        Raises RayLost if no trial can go on, and WrongNode for a node on which none may run.
        """
        last = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]
        if StoreLost.__name__ in last:
            raise RayLost("the process that keeps the trials' files")
        if found := re.search(rf"{NodeDiffers.__name__}: (.*)", last):
            raise WrongNode(found[1])
        self.state.error = self.state.error or fault_in_text(last)
        return self.state.error

    def on_step_end(self, iteration, trials, **info) -> None:
        """Notify the listeners of what is new. Errors of a listener or of the disk end the sweep if raised here.

        In its other callbacks Tune takes them for errors of the trial.
        """
        self.state.check()
        self.cluster.check()
        self.listeners.notify(self.state.take_news())
        self.listeners.look(self.state, self._rows)
        self.cluster.step_ended()
        self.stop.check()

    def _rows(self) -> list[dict[str, Any]]:
        """The nodes of the cluster, with the trials that run there."""
        running = [trial for trial, paused in self.state.standing.items() if not paused]
        return self.cluster.rows({trial: self.nodes.get(trial, []) for trial in running})

    def _retry(self, trial: Trial) -> None:
        name = trial.config["id"]
        if trial.lost_nodes > self.state.retries[name, NODE]:
            self.state.retry(name, NODE)
            self._passing("trial_noticed", trial, NODE_NOTICE)
        elif trial.memory_kills > self.state.retries[name, MEMORY]:
            self.state.retry(name, MEMORY)
            self._passing("trial_noticed", trial, MEMORY_NOTICE.format(trial.memory_kills, MEMORY_RETRIES))
        else:
            self.state.retry(name)

    def _count_restarts(self, trial: Trial) -> None:
        """Count the restarts of its worker group that its folder notes: a note survives the slot and this process."""
        name, file = trial.config["id"], layout.restarts_file(Path(trial.config["folder"]))
        noted = len(file.read_text(encoding="utf-8").splitlines()) if file.exists() else 0
        for _ in range(noted - self.state.retries[name, GROUP]):
            self.state.retry(name, GROUP)

    def _passing(self, name: str, trial: Trial, *values) -> None:
        self.state.news.append((name, trial.config["id"], *values))


class Silence(TrialProgressCallback):
    """Replaces Tune's reporter, which prints a line for each trial that ends without a result in this process.

    Every trial that paused before a resume, and is not promoted after it, ends so.
    """

    def _print(self, msg: str) -> None:
        pass


def number(trial: Trial) -> int:
    """The trial's number in the sweep, by which the scheduler's core knows it."""
    return trial.config["number"]


def reason_of(text: str, oom_killed: bool = False) -> str:
    """One line from Tune's text on a trial's failures: the last exception, or how its process died.

    `oom_killed`: the system has just killed some process because memory ran out.
    """
    last = re.split(r"^Failure # .*\n", text, flags=re.MULTILINE)[-1]
    if any(word in last for word in OOM_WORDS) or (oom_killed and DIED in last):
        return OOM_REASON
    after_frames = re.split(r'^  File ".*\n', last, flags=re.MULTILINE)[-1]
    lines = [line for line in after_frames.splitlines() if line.strip() and not line.startswith(" ")]
    if any(map(REFUSED.search, lines)):
        return NO_ROOM[0].upper() + NO_ROOM[1:]
    return re.sub(r"^(\w+\.)+(?=\w+(:|$))", "", lines[0])[:LONGEST_REASON] if lines else "unknown"
