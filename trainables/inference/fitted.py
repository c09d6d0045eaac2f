"""What a model in use needs of its training rows: the relevance of its axes, and what its sampler was fitted to.

A training that ends writes both for its best and its last epoch to one file, so that no data are needed afterwards.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trainables import checkpoint
from trainables.common.errors import CheckpointError, Undefined
from trainables.data import Rows
from trainables.learner import Learner
from trainables.relevance import Encodings, Relevance, collapsed
from trainables.train import LEARNER, Training

LATENT = "DL"  # the letters of latent dimensions
SEED = 0  # of the codes' samples and of fits: the usual one of evaluations


@dataclass(frozen=True)
class Fitted:
    """What a model's training rows say about it, of one epoch."""

    epoch: int
    score_D: Tensor
    """Relevance of each axis (ARD-VAE, eq. 20), see `trainables.relevance`."""
    mean_D: Tensor
    """Mean of the representations on each axis."""
    second_D: Tensor
    """Second moment about zero of sampled latents on each axis."""
    collapsed: bool
    """Whether the codes do not distinguish rows, or the decoder does not distinguish codes."""
    sampler: dict[str, Tensor]
    """What the method's sampler was fitted to, see `Method.fit_sampler`."""
    unfit: str = ""
    """Why it could not be fitted; empty if it could."""
    sample_D: Tensor | None = None
    """Mean of sampled latents on each axis; None where an earlier version kept the rest."""

    @property
    def relevance(self) -> Relevance:
        return Relevance(self.score_D, self.mean_D, self.second_D, self.sample_D)

    @property
    def sd_D(self) -> Tensor:
        """The standard deviation of sampled latents on each axis."""
        return self.relevance.sd_D


def fit(learner: Learner, train: Rows, epoch: int) -> Fitted:
    """Measure a model on its training rows, on this worker alone. Leaves it in evaluation mode."""
    seen = Encodings(learner.vae.eval(), train, SEED)
    try:
        sampler, unfit = learner.method.fit_sampler(seen), ""
    except Undefined as error:
        sampler, unfit = {}, str(error)
    found = seen.relevance
    values = (found.score_D, found.mean_D, found.variance_D)
    sampler = {name: value.cpu() for name, value in sampler.items()}
    sample_D = found.sample_D.cpu()
    return Fitted(epoch, *(value.cpu() for value in values), collapsed(*seen.sums), sampler, unfit, sample_D)


def keep(path: Path, training: Training, best: Path) -> None:
    """Write what is fitted to a training's model, and to the model of its best epoch, whose checkpoint is `best`."""
    train = training.splits.train
    known = {"last": fit(training.learner, train, training.epoch)}
    saved = _readable(best)
    if saved and saved["epoch"] == training.epoch:
        known["best"] = known["last"]
    elif saved:
        other = copy.deepcopy(training.learner)
        other.load_state_dict(saved[LEARNER])
        known["best"] = fit(other, train, saved["epoch"])
    checkpoint.save(path, {of: vars(fitted) for of, fitted in known.items()})


def read(path: Path, of: str, epoch: int) -> Fitted | None:
    """What was kept for the `best` or `last` epoch; None if there is nothing, or it is of another epoch."""
    kept = (_readable(path) or {}).get(of)
    try:
        return Fitted(**kept) if kept and kept["epoch"] == epoch else None
    except (TypeError, LookupError):  # another version kept it
        return None


def _readable(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None where there is none that can be read."""
    try:
        return checkpoint.load(path)
    except CheckpointError:
        return None


def select(tensors: dict[str, Tensor], axes: Tensor) -> dict[str, Tensor]:
    """These tensors with some latent axes alone. The letters at the end of a name tell which dimensions these are."""
    found = {}
    for name, value in tensors.items():
        for dim, letter in enumerate(name.rpartition("_")[2]):
            value = value.index_select(dim, axes) if letter in LATENT else value
        found[name] = value
    return found


def state(fitted: Fitted) -> dict[str, Tensor]:
    """Its tensors by name, for a file that holds nothing else."""
    own = {name: getattr(fitted, name) for name in ("score_D", "mean_D", "second_D", "sample_D")}
    own = {name: value for name, value in own.items() if value is not None}
    return own | {f"sampler.{name}": value for name, value in fitted.sampler.items()}


def from_state(tensors: dict[str, Tensor], epoch: int, is_collapsed: bool, unfit: str) -> Fitted:
    """The inverse of `state`."""
    own = {name: value for name, value in tensors.items() if "." not in name}
    sampler = {name.removeprefix("sampler."): value for name, value in tensors.items() if "." in name}
    return Fitted(epoch=epoch, collapsed=is_collapsed, sampler=sampler, unfit=unfit, **own)


def chosen(fitted: Fitted, axes: Tensor) -> Fitted:
    """The same for a model of which only some axes are left."""
    return from_state(select(state(fitted), axes), fitted.epoch, fitted.collapsed, fitted.unfit)
