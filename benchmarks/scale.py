"""What a sweep of ten thousand trials costs its driver: the CPU time per trial, memory, and the time of a resume.

    python benchmarks/scale.py [--trials 10000] [--searcher optuna] [--scheduler asha]

The sweep's state, journal, results file, scheduler, searcher, tracker, spool and sender are the real ones. Trials do
nothing: their values are a formula. Ray and MLflow are left out: one slot is driven here in place of Tune, and a
receiver that keeps only receipts stands in for the store.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.commands.resume import beginning
from orchestrator.execution.run import finish
from orchestrator.schedulers.base import PAUSE
from orchestrator.space.plan import Plan
from orchestrator.spec.records import SweepSpec
from orchestrator.storage.journal import Journal
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.folder import as_yaml
from orchestrator.sweep.open import Start, open_queue
from orchestrator.sweep.results import read_results
from orchestrator.sweep.trial_queue import TrialQueue
from orchestrator.tracking.sending import Sender
from orchestrator.tracking.tracker import Tracker

WINDOW = 100  # trials over which the cost of one is the mean
METRICS = {f"val/metric_{number:02d}": float(number) for number in range(26)}
OBJECTIVE = {"metric": "val/elbo", "mode": "max"}
RUN = {
    "method": {"name": "beta_vae"},
    "network": {"name": "mlp", "latent_dim": 8},
    "data": {"name": "digits"},
    "epochs": 9,
}
SEARCH = {
    "method.beta": {"loguniform": [0.05, 5]},
    "optimizer.lr": {"loguniform": [1e-5, 1e-1]},
    "network.latent_dim": {"randint": [2, 64]},
}
HALVED = {"grace_epochs": 1, "max_epochs": RUN["epochs"]}
SCHEDULERS = {"asha": HALVED, "hyperband": HALVED, "none": {}}


class Receipts:
    """Takes all that it is sent, and keeps how far it has got."""

    local = True

    def __init__(self):
        self.known: dict[str, str | None] = {}

    def receipts(self) -> dict[str, str | None]:
        return dict(self.known)

    def send(self, uid: str, events: list[dict], before: str | None, after: str | None) -> None:
        self.known[uid] = after


class Silent:
    """Shows nothing."""

    def __getattr__(self, name: str):
        return lambda *values: None


class Windows:
    """Prints the driver's CPU milliseconds per trial, where so many have been started."""

    def __init__(self, at: list[int]):
        self.at, self.begun, self.started = at, 0, {}

    def trial(self) -> None:
        """A further trial starts."""
        self.begun += 1
        for at in self.at:
            if self.begun == at - WINDOW:
                self.started[at] = time.process_time()
            elif self.begun == at:
                spent = (time.process_time() - self.started[at]) / WINDOW
                print(f"| {at} | {1000 * spent:.1f} |", flush=True)


def spec_of(trials: int, searcher: str, scheduler: str) -> SweepSpec:
    known = {"name": "scale", "run": RUN, "search": SEARCH, "trials": trials, "objective": OBJECTIVE}
    how = {"searcher": {"name": searcher}, "scheduler": {"name": scheduler} | SCHEDULERS[scheduler]}
    return SweepSpec.model_validate_json(json.dumps(known | how))


def opened(folder: Path, spec: SweepSpec) -> tuple[TrialQueue, Listeners, Tracker]:
    """The sweep in a folder, new or resumed, up to where a driver would ask for a slot."""
    known = beginning(Journal(folder))["trials"]
    queue = open_queue(Plan(spec, known) if known else Plan.of(spec), folder, Start())
    tracker = Tracker(None, "scale", spec.name, folder)
    tracker._sender = Sender(tracker._spool, Receipts())
    tracker._sender.start()
    listeners = Listeners(queue.state.results_file, tracker, Silent())
    listeners.recall(queue.state)
    return queue, listeners, tracker


def value_of(run: dict, epoch: int) -> float:
    rate, beta = math.log10(run["optimizer"]["lr"]) + 3, math.log10(run["method"]["beta"])
    return -abs(rate) - beta**2 + 0.1 * epoch + 0.01 * math.sin(1000 * rate)


def occupy(queue: TrialQueue, listeners: Listeners, trial: str) -> None:
    """What a slot and Tune report of a trial until it gives the slot up."""
    state, of = queue.state, queue.state.results_file.trials[trial]
    state.begin(trial)
    answer = ""
    for epoch in range(state.results_file.entries[trial]["epochs"] + 1, of["last_epoch"] + 1):
        answer = state.report(trial, epoch, METRICS | {OBJECTIVE["metric"]: value_of(of["run"], epoch)}, 1.0)
        listeners.notify(state.take_news())
        if answer == PAUSE:
            return
    state.end(trial, "completed", None)
    listeners.notify(state.take_news())


def drive(queue: TrialQueue, listeners: Listeners, windows: Windows) -> None:
    """What Tune has to do with a sweep on one slot."""
    state, new = queue.state, list(queue.left())[::-1]
    while True:
        if (promoted := state.next()) is not None:
            occupy(queue, listeners, state.names[promoted])
        elif new:
            windows.trial()
            if config := queue.enter(new.pop()):
                occupy(queue, listeners, config["id"])
        elif (closing := state.close()) is not None:
            occupy(queue, listeners, state.names[closing])
        else:
            break
    for trial in list(state.standing):
        state.end(trial, "stopped", state.reason(trial))
        listeners.notify(state.take_news())


def swept(folder: Path, spec: SweepSpec, windows: Windows) -> None:
    queue, listeners, tracker = opened(folder, spec)
    drive(queue, listeners, windows)
    queue.state.results_file.write()
    finish(queue.state.results_file, "completed", tracker, Silent())
    tracker.close()


def resumed(folder: Path, spec: SweepSpec) -> None:
    """Print what it takes to come back to where the sweep stood, and to read its results."""
    before = time.process_time()
    _, _, tracker = opened(folder, spec)
    print(f"| resume: at most {peak_mb():.0f} MB | {1000 * (time.process_time() - before):.0f} |")
    tracker.close()
    before = time.process_time()
    read_results(folder.parent, folder.name)
    print(f"| read results | {1000 * (time.process_time() - before):.0f} |")


def peak_mb() -> float:
    """The most memory that this process has had (Linux), in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--searcher", choices=["random", "optuna"], default="optuna")
    parser.add_argument("--scheduler", choices=[*SCHEDULERS], default="asha")
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    spec = spec_of(asked.trials, asked.searcher, asked.scheduler)
    if asked.resume:
        resumed(asked.resume, spec)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "scale"
        folder.mkdir()
        (folder / "spec.yaml").write_text(as_yaml(spec))
        windows = Windows(
            [at for at in (2 * WINDOW, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000) if at <= asked.trials]
        )
        print("| trial | CPU ms of the driver |\n| ---: | ---: |")
        swept(folder, spec, windows)
        print(f"| at most {peak_mb():.0f} MB | |", flush=True)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--resume", str(folder)], check=True)


if __name__ == "__main__":
    main()
