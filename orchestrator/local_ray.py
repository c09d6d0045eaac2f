"""A private Ray on this machine: its resources, its start and its end."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import UserError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old output of Tune can be silenced
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a slot
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a slot that asked for no GPU sees none
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's own account of the sweep is never read
}
OBJECT_STORE_BYTES = 100 * 2**20  # results are small; the default takes a third of the memory
LONGEST_SCRATCH = 40  # characters: Ray makes unix sockets below it, whose paths may have 107 bytes


def count_slots(resources) -> int:
    """How many trials this machine trains at a time, with `resources` of a spec.

    Raises UserError when it has not enough for one.
    """
    have = {"cpus": cpus(), "gpus": gpus() if resources.gpus_per_worker else 0}
    need = {"cpus": resources.cpus_per_worker, "gpus": resources.gpus_per_worker}
    missing = [
        f"resources.{name}_per_worker: a trial needs {need[name]:g} {name}, this machine has {have[name]}."
        for name in need
        if need[name] > have[name]
    ]
    if missing:
        raise UserError(*missing)
    return min(shares(have[name], amount) for name, amount in need.items() if amount)


def shares(devices: int, each: float) -> int:
    """How many takers of `each` devices there is room for; a part of a device lies on one device."""
    return devices * int(1 / each) if each < 1 else int(devices / each)


def cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """The GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()


@contextmanager
def private_ray(gpus_used: bool) -> Iterator[Path]:
    """A Ray that only this process knows, quiet, and a scratch folder that goes with it.

    Raises UserError when the folder for temporary files cannot be written.
    """
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray would write one into the home folder
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    import ray

    ray._private.worker._worker_logs_enabled = False  # or it tells of dead workers on our standard output
    scratch = scratch_folder()
    try:
        ray.init(
            address="local",
            num_cpus=cpus(),
            num_gpus=gpus() if gpus_used else 0,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="CRITICAL",
            namespace="vaeorch",
            _temp_dir=str(scratch),
        )
        yield scratch
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_folder() -> Path:
    """A new folder for Ray's sockets and logs. Raises UserError."""
    usual = tempfile.gettempdir()
    parent = usual if len(usual) <= LONGEST_SCRATCH else "/tmp"
    try:
        return Path(tempfile.mkdtemp(prefix="vaeorch-", dir=parent))
    except OSError as error:
        raise UserError(f"{parent}: Ray needs room for temporary files here: {error.strerror}. Set TMPDIR.") from None
