"""A sweep's folder, and the sweep itself: a private Ray, Tune's loop, results.json at every trial's end."""

import errno
import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from orchestrator.asha import Asha, RunAll
from orchestrator.errors import UserError
from orchestrator.files import write_whole
from orchestrator.ledger import Ledger, known_numbers
from orchestrator.local_ray import count_slots, private_ray

if TYPE_CHECKING:
    from orchestrator.space import Trial
    from orchestrator.spec import SweepSpec

RETRIES = 1  # of a trial whose process or code failed; it goes on from its last checkpoint
ROOM_BYTES = 2**20  # written once before a sweep starts, to find a full disk
DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),
)

SCHEDULERS = {
    "asha": lambda mode, of: Asha(mode, of.max_epochs, of.grace_epochs, of.reduction_factor),
    "none": lambda mode, of: RunAll(),
}


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `results` is the content of results.json."""

    folder: Path
    results: dict
    interrupted: bool  # by Ctrl-C, before every trial had come to its end


def run_sweep(
    spec: "SweepSpec", trials: list["Trial"], folder: Path, tracker, console, data_root: Path | None = None
) -> Outcome:
    """Train `trials`; `folder` is what `claim` gave. Ctrl-C ends the sweep in order.

    Tracker and console are told of the trials as `tuning.Listener` says, and at last of the end:
    `sweep_ended(status, best_metrics, tags)`, status "completed" or "aborted".

    Raises UserError: before anything is started, for resources that this machine has not; later, for a full disk.
    """
    slots = min(count_slots(spec.resources), len(trials))
    configs = [slot_config(spec, trial, folder, data_root) for trial in trials]
    ledger = Ledger(folder, spec.name, configs[0]["objective"], {config["id"]: config for config in configs})
    with disk_errors_told(folder):
        try:
            tune_all(spec, configs, ledger, tracker, console, slots)
        except KeyboardInterrupt:
            pass  # the ledger knows what is left undone
        finally:
            interrupted = not ledger.complete()
            ledger.interrupt()
            ledger.write()
        finish(ledger, "aborted" if interrupted else "completed", tracker, console)
    return Outcome(folder, ledger.results(), interrupted)


def finish(ledger: Ledger, status: str, tracker, console) -> None:
    """Tell of the sweep's end, and of its best trial if it has one."""
    best = ledger.best()
    metrics, tags = (known_numbers(best["best"]), {"best_trial": best["id"]}) if best else ({}, {})
    for listener in (tracker, console):
        listener.sweep_ended(status, metrics, tags)


def tune_all(spec: "SweepSpec", configs: list[dict], ledger: Ledger, tracker, console, slots: int) -> None:
    """Run Tune's loop until every trial has ended, or Ctrl-C."""
    with private_ray(gpus_used=spec.resources.gpus_per_worker > 0) as scratch:
        from ray import tune

        from orchestrator.slot import Slot
        from orchestrator.tuning import Listener, Scheduler, Source

        core = SCHEDULERS[spec.scheduler.name](spec.objective.mode, spec.scheduler)
        resources = {"cpu": spec.resources.cpus_per_worker, "gpu": spec.resources.gpus_per_worker}
        handler = signal.getsignal(signal.SIGINT)
        try:
            tune.run(
                tune.with_resources(Slot, resources),
                name="tune",
                storage_path=str(scratch),
                search_alg=Source(configs),
                scheduler=Scheduler(core, slots),
                callbacks=[Listener(ledger, core, tracker, console)],
                max_failures=RETRIES,
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )
        finally:
            signal.signal(signal.SIGINT, handler)  # Tune has left its own there, which swallows the next Ctrl-C


def slot_config(spec: "SweepSpec", trial: "Trial", folder: Path, data_root: Path | None) -> dict:
    """What a slot needs to know of a trial, in plain values."""
    name = f"{trial.number:04d}"
    return {
        "id": name,
        "number": trial.number,
        "folder": str(folder / "trials" / name),
        "config": trial.config,
        "seed": trial.seed,
        "run": trial.run,
        "last_epoch": min(trial.run["epochs"], getattr(spec.scheduler, "max_epochs", trial.run["epochs"])),
        "objective": {"metric": spec.objective.metric, "mode": spec.objective.mode},
        "data_root": data_root and str(Path(data_root).resolve()),
        "pictures_every": spec.pictures_every,
        "threads": max(1, int(spec.resources.cpus_per_worker)),
    }


def claim(out: Path, spec: "SweepSpec") -> Path:
    """Make the sweep's folder OUT/NAME and write spec.yaml into it; its absolute path.

    Raises UserError when it holds anything already or cannot be written.
    """
    folder = (out / spec.name).resolve()
    with disk_errors_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            holds = "another sweep" if (folder / "spec.yaml").exists() else "other files"
            raise UserError(f"{folder}: holds {holds}. Choose another --name or --out, or remove the folder.")
        write_whole(folder / "room", " " * ROOM_BYTES)
        (folder / "room").unlink()
        write_whole(folder / "spec.yaml", as_yaml(spec))
    return folder


@contextmanager
def disk_errors_told(folder: Path) -> Iterator[None]:
    """Raises UserError for what only the user can mend; any other OSError is ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(f"{folder}: cannot be written: {error.strerror}. Free room or choose another --out.") from None


def as_yaml(spec: "SweepSpec") -> str:
    """The spec as resolved: every default written out."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(spec.model_dump(mode="json"), text)
    return text.getvalue()
