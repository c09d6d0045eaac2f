"""The names of all files and folders that a sweep, a trial and a run have. No other module spells one out."""

from pathlib import Path

# In OUT, beside sweeps and runs.
STORE = "mlflow.db"
ARTIFACTS = "mlartifacts"
SHARED = ".shared"  # what evaluations of many models share
JOBS = ".jobs"  # a folder for each job of a cluster's driver
JOB_CODE, JOB_LOG = "code", "job.log"  # in a job's folder: our packages, and what its driver has printed
JOB_STARTED = "started"  # there once its driver has begun: a batch system may start it again
SENT = ".clusters"  # a file for each sweep that runs on a cluster: which cluster, and which job
REMOVED = ".removed"  # folders that are being removed
TAKEN = {
    STORE,
    ARTIFACTS,
    SHARED,
    JOBS,
    SENT,
    REMOVED,
    *(f"{STORE}-{end}" for end in ("journal", "wal", "shm")),
    "mlruns",
    "prepared",
}
"""Names in OUT that no sweep may have, in lower case; also those of SQLite, of MLflow and of a data root there."""

# In a sweep's folder.
SPEC = "spec.yaml"
JOURNAL = "journal.jsonl"
RESULTS = "results.json"
TRIALS = "trials"  # a folder for each
SPOOL = "spool"  # events for MLflow
IDENTITY = "identity.json"  # in the spool: the sweep's identity in MLflow
LOG = "console.log"  # output that the terminal or pipe could not take
DRIVER_LOCK, SLOTS_LOCK = "lock", "slots.lock"
FIGURES = "figures"  # those that are drawn without -o; a run that is trained alone has it, too
CURVES, PARALLEL = "curves.png", "parallel.png"  # drawn at the end; of a run that is trained alone the first
HEADS = "heads.txt"  # a line for each driver that has kept snapshots of the folder in a bucket

# In the folder of a trial, or of a run that is trained alone.
CONFIG = "config.json"
ORIGIN = "origin.json"  # of a run that is trained alone: with which code and data it began
CHECKPOINT, PREVIOUS_CHECKPOINT, BEST = "checkpoint.pt", "checkpoint.previous.pt", "best.pt"
WEIGHTS = (CHECKPOINT, PREVIOUS_CHECKPOINT, BEST)
EVALUATED = {"best": BEST, "last": CHECKPOINT}  # the file of the model of a trial's best, and of its last epoch
BLOB = ".blob"  # the suffix of a small file that refers to one of these in a bucket
DAMAGED = ".damaged"  # the suffix of a checkpoint that cannot be read
FITTED = "fitted.pt"  # what samples and relevance need of the training rows, once it was trained to its end
METRICS = "metrics.jsonl"
WITHIN_EPOCH = "within_epoch.json"
WORKERS = "workers.jsonl"
ERROR = "error.txt"
EVALUATIONS, EVALUATION_PICTURES = "evaluations.json", "evaluations"
PICTURES, RESTARTS = "pictures", "restarts.txt"


def trial_folder(sweep: Path, trial: str) -> Path:
    """The folder of a trial, by its id, in a sweep's folder."""
    return sweep / TRIALS / trial


def pictures_folder(trial: Path, epoch: int) -> Path:
    """Where the pictures drawn after an epoch are, in a trial's folder."""
    return trial / PICTURES / f"{epoch:04d}"


def restarts_file(trial: Path) -> Path:
    """The file in a trial's folder with a line for each time that its worker group was lost and started again."""
    return trial / RESTARTS


def reference_to(file: Path) -> Path:
    """The file that is there in place of `file` where that is in a bucket."""
    return file.with_name(f"{file.name}{BLOB}")


def identity_file(sweep: Path) -> Path:
    """The file in a sweep's folder with its identity in MLflow."""
    return sweep / SPOOL / IDENTITY


def sent_file(out: Path, name: str) -> Path:
    """The file in OUT that says on which cluster the sweep or run `name` runs."""
    return out / SENT / f"{name}.json"


def names_with(out: Path, *files: str) -> str:
    """The sweeps and runs in OUT that have one of these files in their folder, separated by commas."""
    found = {path.relative_to(out).parts[0] for file in files for path in out.glob(f"*/{file}")}
    return ", ".join(sorted(found)) or "none yet"
