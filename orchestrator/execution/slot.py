"""The slot: a Tune Trainable in which trials train one after the other.

`storage/trial_folder.py` trains a trial from wherever its folder left off.
"""

from collections.abc import Iterator
from pathlib import Path

from ray import tune

from orchestrator.storage import layout, locks
from orchestrator.storage.trial_folder import TrialFolder, results


class Slot(tune.Trainable):
    """Trains in this process, or with its own group of workers. Tune reuses it from trial to trial.

    Its config is plain values: `id`, `number`, `folder`, `run`, `config`, `seed`, `last_epoch`, `objective` {metric,
    mode}, `data_root`, `pictures_every`, `threads`, `resources` of the spec. A trial's folder alone says how far it
    is, so any slot can resume it.
    """

    def setup(self, config: dict) -> None:
        locks.slot(Path(config["folder"]).parents[1])
        self.trainer = group(config, Path(self.logdir)) if config["resources"]["workers"] > 1 else Here()
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        self.config = new_config
        self.results = self.trainer.results(new_config)
        return True

    def step(self) -> dict:
        return next(self.results)

    def save_checkpoint(self, checkpoint_dir: str) -> dict:
        """Called when the trial pauses. It may never run again, so its pictures are drawn now."""
        self.trainer.draw(self.config)
        return {"path": str(Path(self.config["folder"]) / layout.CHECKPOINT)}

    def load_checkpoint(self, checkpoint: dict) -> None:
        """Nothing to do: `step` resumes from the trial's folder."""

    def cleanup(self) -> None:
        self.results.close()
        self.trainer.close()


class Here:
    """Trains in this process. `workers.Group` has the same methods."""

    def results(self, config: dict) -> Iterator[dict]:
        import torch

        torch.set_num_threads(config["threads"])
        self.folder = TrialFolder(Path(config["folder"]), **config["objective"])
        return results(config, self.folder)

    def draw(self, config: dict) -> None:
        self.folder.draw()

    def close(self) -> None:
        pass


def group(config: dict, scratch: Path):
    from orchestrator.execution.workers import Group  # it imports Ray Train: only where that is used

    return Group(config, scratch)
