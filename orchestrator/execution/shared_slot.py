"""The shared slot: a Tune Trainable in which several trials train together, and which of Tune's calls lead there.

For Tune a slot is a trial that never ends: it pauses whenever other trials are to train in it. `sweep/shared_slots.py`
decides which, `trial_stack.py` trains them.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train._internal.session import _TrainingResult

from orchestrator.clusters.scratch import scratch_folder
from orchestrator.execution.slot import folder_of, prepare
from trainables.common.lazy import LazyModule, torch

trial_folder = LazyModule("orchestrator.storage.trial_folder")
trial_stack = LazyModule("orchestrator.execution.trial_stack")


class SharedSlot(tune.Trainable):
    """Trains trials in this process, each an epoch per step.

    Its config is plain values: `slot`, its number; `folder` of the sweep; `trials`, the configs of its trials, see
    `Slot`, each with its `kind`; `threads`, `bits` and `decided`, see `TrialStack.step`; and `software`, see `Slot`.
    """

    def setup(self, config: dict) -> None:
        prepare(config, Path(config["folder"]))
        torch.set_num_threads(config["threads"])
        self.ending = ExitStack()
        scratch = self.ending.enter_context(scratch_folder()) if "store" in config else None
        self.trials = trial_stack.TrialStack(partial(own_folder, scratch))
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        self.config = new_config
        self.trials.change(new_config["trials"])
        return True

    def step(self) -> dict:
        result = self.trials.step(self.config["bits"], self.config["decided"])
        return {"nodes": [ray.util.get_node_ip_address()]} | result

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """Called when the slot pauses: trials that leave it may never run again."""
        self.settle()
        return _TrainingResult(None, {})

    def restore(self, checkpoint_path: Any) -> None:
        """Nothing to do: `step` resumes each trial from its folder."""

    def settle(self) -> None:
        """Send what the trials have so far to the driver's disk. The driver calls it when a sweep is interrupted."""
        self.trials.settle()

    def cleanup(self) -> None:
        try:
            self.settle()
        finally:
            self.ending.close()


def own_folder(scratch: Path | None, config: dict[str, Any]) -> trial_folder.TrialFolder:
    """The folder of a trial as this process sees it: a copy on a node has a folder below `scratch` of its own."""
    return folder_of(config, scratch and scratch / config["id"])
