"""The names of all files and folders that a sweep, a trial and a run have. No other module spells one out."""

from pathlib import Path

# In OUT, beside sweeps and runs.
STORE = "mlflow.db"  # MLflow's store: SQLite
ARTIFACTS = "mlartifacts"  # MLflow's pictures and models
SHARED = ".shared"  # what evaluations of many models share
JOBS = ".jobs"  # a folder for each job of a cluster's driver
JOB_CODE = "code"  # in a job's folder: our packages
JOB_LOG = "job.log"  # in a job's folder: what its driver has printed
JOB_STARTED = "started"  # in a job's folder, once its driver has begun: a batch system may start it again
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
SPEC = "spec.yaml"  # the spec with every default written out
JOURNAL = "journal.jsonl"  # every decision, a line of JSON each, from which `resume` takes the sweep up
RESULTS = "results.json"  # the leaderboard and what evaluations found; written anew from the journal where it is lost
TRIALS = "trials"  # a folder for each trial
SPOOL = "spool"  # events for MLflow, which are sent again where its store did not answer
IDENTITY = "identity.json"  # in the spool: the sweep's identity in MLflow
LOG = "console.log"  # output that the terminal or pipe could not take
DRIVER_LOCK = "lock"  # held by the process that runs the sweep
SLOTS_LOCK = "slots.lock"  # held by the processes that train
FIGURES = "figures"  # those that are drawn without -o; a run that is trained alone has it, too
CURVES = "curves.png"  # drawn at the end: the objective of the best 200 trials, or of a run alone, over the epochs
PARALLEL = "parallel.png"  # drawn at the end: the objective against the hyper-parameters
HEADS = "heads.txt"  # a line for each driver that has kept snapshots of the folder in a bucket

# In the folder of a trial, or of a run that is trained alone.
CONFIG = "config.json"  # the trial's whole Run
ORIGIN = "origin.json"  # of a run that is trained alone: with which code and data it began
CHECKPOINT = "checkpoint.pt"  # the last epoch, with optimizers' state: from here training goes on
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"  # the one before, in case that one is damaged
BEST = "best.pt"  # the best epoch: the model alone, without its optimizers' state
WEIGHTS = (CHECKPOINT, PREVIOUS_CHECKPOINT, BEST)
EVALUATED = {"best": BEST, "last": CHECKPOINT}  # the file of the model of a trial's best, and of its last epoch
BLOB = ".blob"  # the suffix of a small file that refers to one of these in a bucket
DAMAGED = ".damaged"  # the suffix of a checkpoint that cannot be read
FITTED = "fitted.pt"  # what samples and relevance need of the training rows, once it was trained to its end
METRICS = "metrics.jsonl"  # a line of JSON for each epoch: its number, seconds and metrics
WITHIN_EPOCH = "within_epoch.json"  # how far a long epoch is
WORKERS = "workers.jsonl"  # a line of JSON whenever workers take the trial up: after which epoch, and which workers
ERROR = "error.txt"  # why the trial failed
DIVERGED = "diverged.json"  # after which epoch the trial diverged, and how
EVALUATIONS = "evaluations.json"  # what `vaeorch evaluate` found, with what each number rests on
EVALUATION_PICTURES = "evaluations"  # pictures and tables of evaluations, in a folder KEY for each
PICTURES = "pictures"  # a folder EPOCH for each epoch after which pictures were drawn
RESTARTS = "restarts.txt"  # a line for each time that its workers were lost and started again


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
