"""A sweep of three trials that groups of workers train, and a slot that kills one of them and itself."""

import json
import os
import signal
from pathlib import Path

from ray.train._internal.session import _TrainingResult

from orchestrator.execution.slot import Slot
from tests.support.sweeps import BAD, BEST, EPOCHS, GOOD, trials_of

ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}


class MortalSlot(Slot):
    """Worker 0 is killed before it draws the second trial's pictures; and the slot itself, once, in the last trial.

    Then that has done its third epoch, and nobody knows of it yet.
    """

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        if self.config["id"] == "0002":
            os.kill(workers_of(Path(self.config["folder"]))[-1][0]["pid"], signal.SIGKILL)
        return super().save(checkpoint_dir)

    def step(self) -> dict:
        result, known = super().step(), Path(self.config["folder"]) / "killed"
        if (self.config["id"], result["epoch"]) == ("0003", 3) and not known.exists():
            known.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def three():
    return trials_of(GOOD, BAD, BEST)


def workers_of(folder: Path) -> list[list[dict]]:
    """The groups that took a trial up, one after the other: of each the workers in rank order."""
    return [json.loads(line)["workers"] for line in (folder / "workers.jsonl").read_text().splitlines()]
