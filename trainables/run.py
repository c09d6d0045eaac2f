"""Run: the frozen record of all that decides a run's numbers."""

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from trainables.data import DATASETS, Facts
from trainables.likelihoods import LIKELIHOODS, Bernoulli, SquaredError
from trainables.methods import METHODS
from trainables.metrics import metric_names
from trainables.networks import NETWORKS
from trainables.precision import Precision
from trainables.records import Mistake, Record, choice, within

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Plateau(Record):
    """Multiply the learning rate by `factor` once the validation loss has not improved for `patience` epochs.

    Source: ARD-VAE, supplement (Keras ReduceLROnPlateau: factor 0.5, patience 10, min_delta 1e-4).
    """

    factor: Fraction = 0.5
    patience: PositiveInt = 10
    """Epochs."""
    min_delta: NonNegativeFloat = 1e-4
    """Absolute, in units of the loss."""

    def build(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
        """The same rule in PyTorch, which waits one epoch longer than its patience says."""
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=self.factor, patience=self.patience - 1, threshold=self.min_delta, threshold_mode="abs"
        )


class Optimizer(Record):
    """Adam, optionally with gradient clipping and a plateau scheduler."""

    lr: PositiveFloat = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: PositiveFloat = 1e-7
    """Keras; PyTorch's own default is 1e-8."""
    clip_norm: PositiveFloat | None = None
    """Largest 2-norm of the gradient of all parameters."""
    plateau: Plateau | None = None

    def build(self, parameters: Iterator[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with one fused kernel for all parameters, which matters where networks are small."""
        return torch.optim.Adam(parameters, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


class Run(Record):
    """One training. Two equal Runs give equal numbers, on one worker or on many."""

    method: choice(METHODS)
    network: choice(NETWORKS)
    data: choice(DATASETS)
    likelihood: choice(LIKELIHOODS) = SquaredError()
    optimizer: Optimizer = Optimizer()
    epochs: PositiveInt
    batch_size: PositiveInt = 100
    """Rows over all workers."""
    precision: Precision = "fp32"
    """Of the networks' arithmetic."""
    kl_warmup_epochs: NonNegativeFloat = 0.0
    """The KL's weight rises linearly from 0 to its full value over these epochs."""
    seed: NonNegativeInt = 0

    def metric_names(self) -> tuple[str, ...]:
        """The metrics of this run's reports, as `val/elbo`."""
        return metric_names(self.method)

    def mistakes(self, facts: Facts) -> Iterator[Mistake]:
        """Combinations that cannot work, with the paths of their cause. `facts` are those of `self.data`."""
        yield from within("method", self.method.mistakes(self.network.latent_dim, facts.train_rows))
        yield from within("network", self.network.mistakes(facts.shape))
        left = facts.train_rows - self.method.held_out(facts.train_rows).rows
        if 0 < left < self.batch_size:
            yield (
                "batch_size",
                f"a batch of {self.batch_size:,} is larger than the {left:,} rows to train on. Make it smaller.",
            )
        if isinstance(self.likelihood, Bernoulli) and facts.range != (0.0, 1.0):
            yield (
                "likelihood.name",
                "'bernoulli' needs data in [0, 1], which this data set is not. Use 'squared_error'.",
            )
