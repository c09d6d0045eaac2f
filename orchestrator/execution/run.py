"""A sweep's folder, and the sweep itself: a private Ray, Tune's loop, results.json at every trial's end."""

import io
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from orchestrator.checks.check import Checker
from orchestrator.clusters.local import count_slots, private_ray, slot_share
from orchestrator.errors import UserError
from orchestrator.schedulers.asha import Asha, RunAll
from orchestrator.schedulers.hyperband import Hyperband
from orchestrator.shell import command_for
from orchestrator.signals import Deferred
from orchestrator.space.candidates import Trial, examples, parameters, trial_name
from orchestrator.spec.diagnostics import Place
from orchestrator.spec.yaml_file import Document
from orchestrator.storage.disk import disk_errors_told, faults_raised
from orchestrator.storage.journal import Journal
from orchestrator.storage.json_files import write_whole
from orchestrator.sweep.budget import Account
from orchestrator.sweep.changes import datasets, fingerprints, origin
from orchestrator.sweep.events import Audience
from orchestrator.sweep.ranking import CONFIRM, champion
from orchestrator.sweep.results_file import Ledger
from orchestrator.sweep.reuse import Shelf, made_with
from orchestrator.sweep.state import Progress
from orchestrator.sweep.trial_queue import Lineup, sizes
from trainables.common.roots import Root, recorded

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

RETRIES = 1  # of a trial whose process or code failed; it goes on from its last checkpoint
ROOM_BYTES = 2**20  # written once before a sweep starts, to find a full disk

SCHEDULERS = {
    "asha": lambda mode, of: Asha(mode, of.max_epochs, of.grace_epochs, of.reduction_factor),
    "hyperband": lambda mode, of: Hyperband(mode, of.max_epochs, of.grace_epochs, of.reduction_factor),
    "none": lambda mode, of: RunAll(),
}


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `results` is the content of results.json."""

    folder: Path
    results: dict
    stop: KeyboardInterrupt | None  # by which it was interrupted, before every trial had come to its end

    @property
    def interrupted(self) -> bool:
        return self.stop is not None


def run_sweep(
    spec: "SweepSpec",
    trials: list[Trial],
    folder: Path,
    tracker,
    console,
    data_root: Root = None,
    source: str = "",
    reuse: bool = False,
) -> Outcome:
    """Run a sweep, from wherever the journal in `folder` left off; `claim` gave the folder, `locks.driver` holds it.

    `trials` are those that are known up front. With `reuse` they, and those that are found later, are taken from other
    sweeps beside this one where these have the same. Ctrl-C and SIGTERM end the sweep in order. Tracker and console are
    told of the trials as `telling.Audience` says, and at last of the end: `sweep_ended(status, best_metrics, tags)`,
    status "completed" or "aborted". `source` is the file that the spec came from.

    Raises UserError for resources that this machine has not, a journal that does not fit the spec, and a full disk.
    """
    slots, stop = min(count_slots(spec.resources), sum(sizes(spec, len(trials)))), None
    with disk_errors_told(folder, f"Free room, then go on: {command_for('resume', folder)}"):
        lineup = open_lineup(spec, trials, folder, data_root, reuse, source)
        progress, ledger = lineup.progress, lineup.progress.ledger
        audience = Audience(ledger, tracker, console)
        audience.recall(progress)
        try:
            if not lineup.complete():
                tune_all(spec, lineup, audience, slots)
        except KeyboardInterrupt as signal:
            stop = signal
            audience.tell(progress.take_news())
        finally:
            stop = None if lineup.complete() else stop or KeyboardInterrupt()
            ledger.interrupt()
            ledger.write()
        finish(ledger, "aborted" if stop else "completed", tracker, console)
        if not stop:
            progress.finish()
    return Outcome(folder, ledger.results(), stop)


def open_lineup(
    spec: "SweepSpec", trials: list[Trial], folder: Path, data_root: Root, reuse: bool, source: str
) -> Lineup:
    """All that is known of a sweep's trials, as its journal has it, or as it begins here. Raises JournalError."""
    objective, as_config = spec.objective.model_dump(), partial(slot_config, spec, folder, data_root)
    configs = {config["id"]: config for config in map(as_config, trials)}
    limits = spec.budget.model_dump(exclude_none=True) if spec.budget else {}
    account = Account(limits, spec.resources.workers * spec.resources.gpus_per_worker)
    ledger = Ledger(folder, spec.name, objective, configs, account)
    core = SCHEDULERS[spec.scheduler.name](spec.objective.mode, spec.scheduler)
    journal, made = Journal(folder), made_with(data_root, spec.resources)
    facts = beginning_of(spec, trials, journal, data_root)
    progress = Progress(core, ledger, journal, lambda facts: as_config(Trial(**facts)), account)
    checker = Checker(Document({}, {(): Place(0, "")}), spec.objective.metric, data_root)
    progress.start(source=source, reuse=reuse, made_with=made, **facts)
    shelf = Shelf(folder, made, objective) if reuse else None
    return Lineup(spec, len(trials), progress, checker.allows, shelf)


def beginning_of(spec: "SweepSpec", trials: list[Trial], journal: Journal, data_root: Root) -> dict[str, Any]:
    """What a journal notes of how a sweep begins. Raises UserError."""
    sets = datasets(trial.run for trial in examples(spec, trials))
    known = origin(journal.events).data
    return {
        "data_root": recorded(data_root),
        "spec": spec.model_dump(mode="json"),
        "data": fingerprints(sets, data_root) if known is None else known,
        "trials": list(map(asdict, trials)),
    }


def finish(ledger: Ledger, status: str, tracker, console) -> None:
    """Tell of the sweep's end, and of its best trial or configuration if it has one."""
    metrics, tags = champion(ledger.results())
    tags |= {"used_up": ledger.account.empty} if ledger.account.empty else {}
    for listener in (tracker, console):
        listener.sweep_ended(status, metrics, tags)


def tune_all(spec: "SweepSpec", lineup: Lineup, audience: Audience, slots: int) -> None:
    """Run Tune's loop until every trial has ended. Raises KeyboardInterrupt."""
    again = f"Go on with it: {command_for('resume', lineup.progress.ledger.folder)}"
    with private_ray(spec.resources.gpus_per_worker > 0, spec.resources.workers > 1, again) as scratch:
        from ray import tune
        from ray.tune.execution import class_cache

        from orchestrator.execution.slot import Slot
        from orchestrator.execution.tune import Listener, Scheduler, Silence, Source

        # What Tune passes on in a runtime_env is logged by Ray. Slots inherit the credentials as they are.
        class_cache.ENV_VARS_TO_PROPAGATE = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name[:3] != "AWS"}
        with Deferred() as stop, faults_raised():
            tune.run(
                tune.with_resources(Slot, slot_share(spec.resources)),
                name="tune",
                storage_path=str(scratch),
                search_alg=Source(lineup),
                scheduler=Scheduler(lineup, slots),
                callbacks=[Listener(lineup.progress, audience, stop), Silence()],
                max_failures=RETRIES,
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )


def slot_config(spec: "SweepSpec", folder: Path, data_root: Root, trial: Trial) -> dict:
    """What a slot needs to know of a trial, in plain values."""
    name = trial_name(trial.number)
    epochs = trial.run["epochs"]
    most = epochs if trial.stage == CONFIRM else getattr(spec.scheduler, "max_epochs", epochs)
    return {
        "id": name,
        "number": trial.number,
        "configuration": trial.configuration,
        "parameters": parameters(spec, trial),
        "folder": str(folder / "trials" / name),
        "config": trial.config,
        "seed": trial.seed,
        "stage": trial.stage,
        "run": trial.run,
        "last_epoch": min(most, epochs),
        "objective": spec.objective.model_dump(),
        "data_root": recorded(data_root),
        "pictures_every": spec.pictures_every,
        "threads": max(1, int(spec.resources.cpus_per_worker)),
        "resources": spec.resources.model_dump(),
    }


def claim(out: Path, spec: "SweepSpec") -> Path:
    """Make the sweep's folder OUT/NAME and write spec.yaml into it; its absolute path.

    Raises UserError when it holds anything already or cannot be written.
    """
    folder = (out / spec.name).resolve()
    with disk_errors_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            cure = "choose another --name or --out, or remove the folder."
            if (folder / "spec.yaml").exists():
                again = command_for("resume", folder)
                raise UserError(f"{folder}: holds another sweep. Go on with it: {again}; or {cure}")
            raise UserError(f"{folder}: holds other files; {cure}")
        write_whole(folder / "room", " " * ROOM_BYTES)
        (folder / "room").unlink()
        write_whole(folder / "spec.yaml", as_yaml(spec))
    return folder


def as_yaml(spec: "SweepSpec") -> str:
    """The spec as resolved: every default written out."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(spec.model_dump(mode="json"), text)
    return text.getvalue()
