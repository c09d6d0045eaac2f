"""Builds a model from a checkpoint alone. Its data are not needed: only the shape and the range of their rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainables import checkpoint
from trainables.common.errors import CheckpointError
from trainables.data.base import Range
from trainables.learner import Learner
from trainables.run import Run
from trainables.train import LEARNER, LONGEST_REASON, is_of, learner_of

FOR_TRAINING = "vae.extras."  # the part of a learner that a model in use has not

Form = tuple[tuple[int, ...], Range | None]
"""The shape of a row of data and the range of its values; None where that is unbounded."""


def blank(run: Run, form: Form) -> Learner:
    """A learner of the run's form whose weights mean nothing yet. Leaves the global generator as it was."""
    shape, span = form
    low = span[0] if span else 0.0
    with torch.random.fork_rng(devices=[]):
        return learner_of(run, torch.full((1, *shape), low), span).eval()


def plain(learner: Learner) -> Learner:
    """The same in place, with the weights that its layers compute from others (spectral norm) written out."""
    for module in learner.modules():
        for name in [*getattr(module, "parametrizations", {})]:
            parametrize.remove_parametrizations(module, name)
    return learner


def plain_copy(learner: Learner, run: Run) -> Learner:
    """A copy of `run`'s learner on the CPU, as `plain` makes it, without what training alone needs.

    A deep copy would share the classes of layers that compute their weights, from which `plain` takes that away.
    """
    copy = blank(run, (learner.vae.shape, learner.vae.data_range))
    computed = any(parametrize.is_parametrized(module) for module in learner.modules())
    copy = copy if computed else plain(copy)
    copy.vae.extras = nn.Module()
    copy.load_state_dict(for_use(learner.state_dict()))
    return plain(copy)


def for_use(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A learner's state without what training alone needs."""
    return {name: value for name, value in state.items() if not name.startswith(FOR_TRAINING)}


def form_of(saved: dict[str, Any]) -> Form | None:
    """The form of the data in a checkpoint; None in one of a version that did not write it."""
    known = saved.get("data")
    return known and (tuple(known["shape"]), tuple(known["range"]) if known["range"] else None)


def load(path: Path, run: Run, form: Callable[[], Form]) -> tuple[Learner, int]:
    """The model of `run` in a checkpoint, in evaluation mode, and its epoch.

    `form` is asked for the form of the data where the checkpoint, of an earlier version, does not hold it. Raises
    CheckpointError, and what `form` raises.
    """
    saved = checkpoint.load(path)
    if lacking := [name for name in ("run", "epoch", LEARNER) if name not in saved]:
        raise CheckpointError(f"{path}: holds no {', '.join(lacking)}: it is not the checkpoint of a run.")
    if not is_of(saved["run"], run):
        raise CheckpointError(f"{path}: the checkpoint of another run; its settings differ.")
    learner = blank(run, form_of(saved) or form())
    try:
        learner.load_state_dict(saved[LEARNER])
    except (RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise CheckpointError(f"{path}: does not fit this model. Another version made it: {reason}") from None
    return learner, saved["epoch"]
