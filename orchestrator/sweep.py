"""A sweep's folder, and the sweep itself: a private Ray, Tune's loop, results.json at every trial's end."""

import errno
import io
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from orchestrator.asha import Asha, RunAll
from orchestrator.errors import UserError
from orchestrator.files import write_whole
from orchestrator.hyperband import Hyperband
from orchestrator.journal import Journal
from orchestrator.ledger import Ledger
from orchestrator.local_ray import count_slots, private_ray, slot_share
from orchestrator.progress import Progress
from orchestrator.space import parameters
from orchestrator.standings import champion
from orchestrator.stopping import Deferred
from orchestrator.telling import Audience

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
    trials: list["Trial"],
    folder: Path,
    tracker,
    console,
    data_root: Path | None = None,
    source: str = "",
) -> Outcome:
    """Train `trials`, from wherever the journal in `folder` left off; `claim` gave the folder, `locks.driver` holds it.

    Ctrl-C and SIGTERM end the sweep in order. Tracker and console are told of the trials as `telling.Audience` says,
    and at last of the end: `sweep_ended(status, best_metrics, tags)`, status "completed" or "aborted". `source` is the
    file that the spec came from.

    Raises UserError: before anything is started, for resources that this machine has not, and for a journal that does
    not fit the spec; later, for a full disk.
    """
    slots = min(count_slots(spec.resources), len(trials))
    configs = [slot_config(spec, trial, folder, data_root) for trial in trials]
    ledger = Ledger(folder, spec.name, configs[0]["objective"], {config["id"]: config for config in configs})
    core = SCHEDULERS[spec.scheduler.name](spec.objective.mode, spec.scheduler)
    stop = None
    with disk_errors_told(folder, f"Free room, then go on: {resume_command(folder)}"):
        progress = Progress(core, ledger, Journal(folder))
        progress.start(source=source, data_root=configs[0]["data_root"], trials=list(map(asdict, trials)))
        audience = Audience(ledger, tracker, console)
        audience.recall(progress)
        try:
            if not ledger.complete():
                tune_all(spec, configs, progress, audience, slots)
        except KeyboardInterrupt as signal:
            stop = signal
            audience.tell(progress.take_news())
        finally:
            stop = None if ledger.complete() else stop or KeyboardInterrupt()
            ledger.interrupt()
            ledger.write()
        finish(ledger, "aborted" if stop else "completed", tracker, console)
        if not stop:
            progress.finish()
    return Outcome(folder, ledger.results(), stop)


def finish(ledger: Ledger, status: str, tracker, console) -> None:
    """Tell of the sweep's end, and of its best trial or configuration if it has one."""
    metrics, tags = champion(ledger.results())
    for listener in (tracker, console):
        listener.sweep_ended(status, metrics, tags)


def tune_all(spec: "SweepSpec", configs: list[dict], progress: Progress, audience: Audience, slots: int) -> None:
    """Run Tune's loop until every trial has ended. Raises KeyboardInterrupt."""
    with private_ray(spec.resources.gpus_per_worker > 0, dashboard=spec.resources.workers > 1) as scratch:
        from ray import tune

        from orchestrator.slot import Slot
        from orchestrator.tuning import Listener, Scheduler, Source

        entries = progress.ledger.entries
        left = [config for config in configs if not entries.get(config["id"], {}).get("status")]
        with Deferred() as stop:
            tune.run(
                tune.with_resources(Slot, slot_share(spec.resources)),
                name="tune",
                storage_path=str(scratch),
                search_alg=Source(left, {trial: entry["retries"] for trial, entry in entries.items()}),
                scheduler=Scheduler(progress, slots),
                callbacks=[Listener(progress, audience, stop)],
                max_failures=RETRIES,
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
            )


def resume_command(folder: Path) -> str:
    """What to type to go on with the sweep in `folder` (OUT/NAME)."""
    return f"vaeorch resume {folder.name} --out {shlex.quote(str(folder.parent))}"


def slot_config(spec: "SweepSpec", trial: "Trial", folder: Path, data_root: Path | None) -> dict:
    """What a slot needs to know of a trial, in plain values."""
    name = f"{trial.number:04d}"
    return {
        "id": name,
        "number": trial.number,
        "configuration": trial.configuration,
        "parameters": parameters(spec, trial),
        "folder": str(folder / "trials" / name),
        "config": trial.config,
        "seed": trial.seed,
        "run": trial.run,
        "last_epoch": min(trial.run["epochs"], getattr(spec.scheduler, "max_epochs", trial.run["epochs"])),
        "objective": {"metric": spec.objective.metric, "mode": spec.objective.mode},
        "data_root": data_root and str(Path(data_root).resolve()),
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
                raise UserError(f"{folder}: holds another sweep. Go on with it: {resume_command(folder)}; or {cure}")
            raise UserError(f"{folder}: holds other files; {cure}")
        write_whole(folder / "room", " " * ROOM_BYTES)
        (folder / "room").unlink()
        write_whole(folder / "spec.yaml", as_yaml(spec))
    return folder


@contextmanager
def disk_errors_told(folder: Path, cure: str = "Free room or choose another --out.") -> Iterator[None]:
    """Raises UserError for what only the user can mend; any other OSError is ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(f"{folder}: cannot be written: {error.strerror}. {cure}") from None


def as_yaml(spec: "SweepSpec") -> str:
    """The spec as resolved: every default written out."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(spec.model_dump(mode="json"), text)
    return text.getvalue()
