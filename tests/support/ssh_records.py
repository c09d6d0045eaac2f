"""What a cluster file of kind `ssh` says, for hosts of a lab."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class SshRecord:
    """The same fields as the record of a cluster file."""

    head: str = "gpu1"
    workers: tuple[str, ...] = ("gpu2", "gpu3")
    user: str | None = None
    port: int | None = None
    key: str | None = None
    python: str = sys.executable
    cpus: int | None = 1
    gpus: int | None = None
    train_on_head: bool = False
    ray_port: int = 6379
    dashboard_port: int = 8265
