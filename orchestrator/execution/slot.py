"""The slot: a Tune Trainable in which trials train one after the other.

`storage/trial_folder.py` trains a trial from wherever its folder left off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train._internal.session import _TrainingResult

from orchestrator import garbage
from orchestrator.clusters.scratch import scratch_folder
from orchestrator.storage import locks
from trainables.common.lazy import LazyModule, torch

trial_folder = LazyModule("orchestrator.storage.trial_folder")


class Slot(tune.Trainable):
    """Trains in this process, or with its own group of workers. Tune reuses it from trial to trial.

    Its config is plain values: `id`, `number`, `folder`, `run`, `config`, `seed`, `last_epoch`, `objective` {metric,
    mode}, `data_root`, `draws` (whether the trial draws itself), `pictures_every`, `threads`, `resources` of the spec.
    A trial's folder alone says how far it is, so any slot can resume it. On a cluster it has `software`, which all
    nodes must have; and, where they do not share the driver's files, `store`, the name of the TrialStore,
    `checkpoint_minutes`, and where there is a bucket for weights `blobs`, their place in it.
    """

    def setup(self, config: dict) -> None:
        prepare(config, Path(config["folder"]).parents[1])
        self.trainer = group(config, Path(self.logdir)) if config["resources"]["workers"] > 1 else Here()
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        self.trainer.settle()
        self.config = new_config
        self.results = self.trainer.results(new_config)
        return True

    def step(self) -> dict:
        return {"nodes": [ray.util.get_node_ip_address()]} | next(self.results)

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """Called when the trial pauses. It may never run again: so if it `draws`, it does so now.

        The trial's own folder holds its state. So Tune, which could not store one off the driver's node, gets none.
        """
        if self.config["draws"]:
            self.trainer.draw(self.config)
        self.trainer.settle()
        return _TrainingResult(None, {})

    def restore(self, checkpoint_path: Any) -> None:
        """Nothing to do: `step` resumes from the trial's folder."""

    def settle(self) -> None:
        """Send what the trial has so far to the driver's disk. The driver calls it when a sweep is interrupted."""
        self.trainer.settle()

    def cleanup(self) -> None:
        self.results.close()
        try:
            self.trainer.settle()
        finally:
            self.trainer.close()


class Here:
    """Trains in this process. `workers.Group` has the same methods."""

    def __init__(self):
        self.folder: trial_folder.TrialFolder | None = None
        self.ending = ExitStack()
        self.scratch: Path | None = None

    def results(self, config: dict) -> Iterator[dict]:
        torch.set_num_threads(config["threads"])
        if "store" in config and self.scratch is None:
            self.scratch = self.ending.enter_context(scratch_folder())
        self.folder = folder_of(config, self.scratch)
        return trial_folder.results(config, self.folder)

    def draw(self, config: dict) -> None:
        self.folder.draw()

    def settle(self) -> None:
        if self.folder:
            self.folder.settle()

    def close(self) -> None:
        self.ending.close()


def prepare(config: dict, sweep_folder: Path) -> None:
    """Make this process ready to train trials of a sweep, if it may, and hold its folder. Raises NodeDiffers."""
    garbage.search_rarely()
    if "software" in config:
        from orchestrator.execution.handshake import check_this_node  # slow to import

        check_this_node(config["software"])
    if "store" not in config:
        locks.slot(sweep_folder)


def folder_of(config: dict, scratch: Path | None) -> trial_folder.TrialFolder:
    """The folder of a trial as this process sees it: the driver's own, or a copy below `scratch`."""
    if "store" not in config:
        return trial_folder.TrialFolder(Path(config["folder"]), **config["objective"])
    from orchestrator.execution.node_folder import NodeFolder

    return NodeFolder(config, scratch, ray.get_runtime_context().current_actor)


def group(config: dict, scratch: Path):
    from orchestrator.execution.workers import Group  # it imports Ray Train: only where that is used

    return Group(config, scratch)
