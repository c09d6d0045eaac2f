"""The place where trials train, one after the other: a Tune Trainable that Tune hands from trial to trial."""

from pathlib import Path

import torch
from ray import tune

from orchestrator.trial_folder import TrialFolder, results


class Slot(tune.Trainable):
    """Trains in this process. A slot lives on from trial to trial, so that only its first pays for imports.

    Its config is plain values: `id`, `number`, `folder`, `run`, `config`, `seed`, `last_epoch`, `objective` {metric,
    mode}, `data_root`, `pictures_every`, `threads`. Where a trial stands is known from its folder alone, whichever slot
    takes it up.
    """

    def setup(self, config: dict) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        torch.set_num_threads(new_config["threads"])
        self.folder = TrialFolder(Path(new_config["folder"]), **new_config["objective"])
        self.results = results(new_config, self.folder)
        return True

    def step(self) -> dict:
        return next(self.results)

    def save_checkpoint(self, checkpoint_dir: str) -> dict:
        """Called when the trial pauses. It may never run again, so its pictures are drawn now."""
        self.folder.draw()
        return {"path": str(self.folder.checkpoint)}

    def load_checkpoint(self, checkpoint: dict) -> None:
        """Nothing to do: `step` begins from the trial's folder."""

    def cleanup(self) -> None:
        self.results.close()
