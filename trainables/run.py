"""Run: the frozen record of everything that decides a run's numbers. `train.py` trains it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from trainables.common.lazy import torch
from trainables.common.records import Mistake, Record, choice, unwritten, within
from trainables.data import DATASETS, Facts
from trainables.distributions.likelihoods import LIKELIHOODS, Bernoulli, SquaredError
from trainables.methods import METHODS
from trainables.metrics import DIRECTIONS, Direction, Metric, metric_names, metrics_of
from trainables.networks import NETWORKS
from trainables.optimizers import not_compiled
from trainables.precision import Precision

ACTIVE = "val/active"
ACTIVE_ROWS = 33
"""Training rows that take about as long as `val/active` takes along one axis; 13 to 39 were measured."""
NOTED_SHARE, SMALL_SHARE = 0.75, 0.05  # of an epoch
MOMENT = 20_000  # axes times values of an image, along which any network is differentiated in a moment
MOST_WEIGHTS = 2**32  # of one layer: 16 GiB, four times as much in training

Fraction = Annotated[float, Field(gt=0, lt=1)]
Milestone = Annotated[tuple[PositiveInt, PositiveFloat], Field(strict=False)]


class Plateau(Record):
    """Multiply the learning rate by `factor` once the validation loss has not improved for `patience` epochs.

    Source: ARD-VAE, supplement (Keras ReduceLROnPlateau: factor 0.5, patience 10, min_delta 1e-4).
    """

    factor: Fraction = 0.5
    """Factor of the learning rate."""
    patience: PositiveInt = 10
    """Epochs without improvement."""
    min_delta: NonNegativeFloat = 1e-4
    """Least improvement that counts, absolute, in units of the loss."""

    def build(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.ReduceLROnPlateau:
        """The same rule in PyTorch, whose scheduler waits one epoch longer than its patience."""
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=self.factor, patience=self.patience - 1, threshold=self.min_delta, threshold_mode="abs"
        )


class Optimizer(Record):
    """Adam or RMSProp, optionally with gradient clipping, fixed changes of the learning rate, and a plateau scheduler.

    A method of several phases has an optimizer and a plateau scheduler per phase.
    """

    algorithm: Literal["adam", "amsgrad", "rmsprop"] = "adam"
    """Adam, Adam with AMSGrad's maximum of the second moments, or RMSProp."""
    lr: PositiveFloat = 1e-3
    """Learning rate."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Adam's decay of the gradient's mean; RMSProp has none."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Adam's decay of the squared gradient's mean, and RMSProp's (TensorFlow: 0.9); RMSProp's momentum is 0."""
    eps: PositiveFloat = 1e-7
    """Added to the denominator; Keras's default, PyTorch's is 1e-8."""
    clip_norm: PositiveFloat | None = None
    """Largest 2-norm of the gradient of all parameters that a step updates."""
    schedule: Annotated[tuple[Milestone, ...], Field(strict=False)] = ()
    """[[30, 0.5], [50, 0.2]]: after 30 epochs the learning rate is halved, after 50 it is divided by 5 (VIMAE, WAE)."""
    plateau: Plateau | None = None
    """Lowers the learning rate when the validation loss stops improving. None: never."""

    def build(self, parameters: Iterable[torch.nn.Parameter], lr_scale: float = 1.0) -> torch.optim.Optimizer:
        """The PyTorch optimizer. Adam is fused: one kernel for all parameters, which is faster for small networks."""
        lr = self.lr * lr_scale
        if self.algorithm == "rmsprop":
            return not_compiled(torch.optim.RMSprop)(parameters, lr=lr, alpha=self.beta2, eps=self.eps)
        betas, amsgrad = (self.beta1, self.beta2), self.algorithm == "amsgrad"
        adam = not_compiled(torch.optim.Adam)
        return adam(parameters, lr=lr, betas=betas, eps=self.eps, amsgrad=amsgrad, fused=True)

    def factor_after(self, epoch: int) -> float:
        """The factor by which the schedule multiplies the learning rate after `epoch` epochs."""
        return math.prod(factor for at, factor in self.schedule if at == epoch)


class EarlyStopping(Record):
    """A training ends once a metric has not improved for `patience` epochs.

    Source: Intel-VAE's code, which watches the FID of test images, 5 evaluations long.
    """

    metric: str = "val/loss"
    """A metric of every epoch."""
    mode: Direction | None = None
    """Whether more is better. None: as is known of the metric."""
    patience: PositiveInt = 5
    """Epochs without a better value after which it ends."""
    min_epochs: NonNegativeInt = 0
    """Epochs that are trained in any case."""

    def is_over(self, values: Sequence[float]) -> bool:
        """Whether a training ends whose metric had these values, one per epoch. What is not finite is no better."""
        sign = {"max": 1.0, "min": -1.0}[self.mode or DIRECTIONS[self.metric]]
        scores = [sign * value if math.isfinite(value) else -math.inf for value in values]
        highest = max(scores, default=-math.inf)
        best = scores.index(highest) + 1 if highest > -math.inf else 0  # the epoch; the first of equal ones
        return len(scores) >= max(self.min_epochs, best + self.patience)

    def mistakes(self, names: Sequence[str]) -> Iterator[Mistake]:
        """Mistakes for a training whose reports have the metrics of these `names`."""
        known = DIRECTIONS.get(self.metric)
        if self.metric not in names:
            yield "metric", f"{self.metric!r} is no metric of every epoch. Take one of {', '.join(names)}."
        elif self.mode is None and known is None:
            yield "mode", f"is missing: {self.metric} is better neither high nor low as such. Write max or min."
        elif self.mode and known and self.mode != known:
            yield "mode", f"{self.metric} is better the other way. Leave 'mode' out."


class Run(Record):
    """One training. Two equal Runs give equal numbers, on one worker or on many."""

    method: choice(METHODS)
    """The method of a paper: the objective, and the parts of the model that it needs."""
    network: choice(NETWORKS)
    """The encoder and the decoder, and the dimension of the latent space."""
    data: choice(DATASETS)
    """The data set."""
    likelihood: choice(LIKELIHOODS) = SquaredError()
    """p(x|z): what the decoder's output means."""
    optimizer: Optimizer = Optimizer()
    """The optimizer and its learning rates."""
    epochs: PositiveInt
    """Passes over the training rows."""
    early_stopping: EarlyStopping | None = unwritten(None)
    """When a training ends before its last epoch. Only where no scheduler decides that."""
    batch_size: PositiveInt = 100
    """Rows of a batch, over all workers."""
    validation_batch_size: PositiveInt | None = unwritten(None)
    """Rows that validation takes at a time; None: `batch_size`, of which small ones are slow. Compare runs of equal
    sizes: the draws depend on it, and so do terms of a whole batch, such as an MMD, `tc` or `sparsity`."""
    active_every_epochs: PositiveInt | None = unwritten(None)
    """`val/active` is measured after the first epoch and after every so many. It differentiates the decoder along each
    latent axis, which takes long with hundreds of axes or few training rows. None: as often as takes a twentieth of the
    time; after every epoch where it takes a moment, or where the number of rows is not known without their files."""
    precision: Precision = "fp32"
    """Precision of the networks' arithmetic."""
    compile: bool = False
    """Compile the encoder and the decoder for training steps (torch.compile): large networks on a GPU are faster then,
    small ones on a CPU slower. It takes up to a minute, rounds otherwise, and needs a C++ compiler, on a GPU Triton."""
    kl_warmup_epochs: NonNegativeFloat | None = None
    """The KL's weight rises linearly from 0 to its full value over these epochs. Default: half of `epochs` for data
    sets on which a model without a warm-up collapses (the synthetic ones), else none."""
    seed: NonNegativeInt = 0
    """Seed of initial weights, noise and the order of rows."""

    @property
    def warmup_epochs(self) -> float:
        """The epochs of KL warm-up; the data set's default where `kl_warmup_epochs` is None."""
        return self.data.kl_warmup * self.epochs if self.kl_warmup_epochs is None else self.kl_warmup_epochs

    def longer(self, epochs: int) -> Run:
        """This training with `epochs` in all, more than it has: its first epochs are those of this one, bit for bit.

        So a warm-up that follows from `epochs` by default stays as long as it was. Nothing else depends on `epochs`.
        """
        warmup = self.warmup_epochs if self.data.kl_warmup else self.kl_warmup_epochs
        return self.model_copy(update={"epochs": epochs, "kl_warmup_epochs": warmup})

    def metric_names(self) -> tuple[str, ...]:
        """The names of the metrics in each of this run's reports, such as `val/elbo`."""
        return tuple(name for name in metric_names(self.method) if self.active_every() == 1 or name != ACTIVE)

    def metrics_after(self, epoch: int) -> tuple[Metric, ...]:
        """The metrics of the validation rows that are measured after this epoch."""
        skipped = ACTIVE if epoch > 1 and epoch % self.active_every() else None
        return tuple(metric for metric in metrics_of(self.method) if f"val/{metric.name}" != skipped)

    def active_every(self) -> int:
        """`active_every_epochs`, or what it is by default. Raises DataError."""
        if self.active_every_epochs is not None:
            return self.active_every_epochs
        facts = self.data.known_facts()
        if facts is None or self.network.latent_dim * math.prod(facts.shape) <= MOMENT:
            return 1
        return max(1, math.ceil(self._share_of_active() / SMALL_SHARE))

    def _share_of_active(self) -> float:
        """The time that measuring `val/active` takes, in epochs of training; 0 where the rows are not known."""
        facts = self.data.known_facts()
        rows = self.data.train_rows or (facts and facts.train_rows)
        return ACTIVE_ROWS * self.network.latent_dim / rows if rows else 0.0

    def notes(self) -> Iterator[str]:
        """What works badly though it can be trained, one line each. Raises DataError."""
        yield from self.method.notes(self.network.normalised)
        yield from self._active_notes()

    def _active_notes(self) -> Iterator[str]:
        """That `val/active` takes long, or is measured rarely therefore."""
        share, every = self._share_of_active(), self.active_every()
        if ACTIVE not in metric_names(self.method):
            return
        what = f"{ACTIVE} differentiates the decoder along {self.network.latent_dim} axes"
        if share >= NOTED_SHARE * every:
            rarely = f"run.active_every_epochs: {math.ceil(share / SMALL_SHARE)} makes that a twentieth"
            yield f"{what}, which takes as long as {share:.1f} epochs of training. {rarely}."
        elif every > 1 and self.active_every_epochs is None:
            yield f"{what}, so it is measured after every {every} epochs. run.active_every_epochs: 1 has it after each."

    def mistakes(self, facts: Facts) -> Iterator[Mistake]:
        """Mistakes: combinations of settings that cannot work, each with its path. `facts` are those of `self.data`."""
        yield from within("method", self.method.mistakes(self.network.latent_dim, facts.train_rows))
        yield from within("network", self.network.mistakes(facts.shape))
        yield from within(
            "early_stopping", self.early_stopping.mistakes(self.metric_names()) if self.early_stopping else ()
        )
        yield from self._too_large(facts.shape)
        if self.compile and self.method.differentiates_twice():
            yield "compile", "torch cannot compile what this method differentiates twice. Remove it."
        left = facts.train_rows - self.method.held_out(facts.train_rows).rows
        if 0 < left < self.batch_size:
            yield (
                "batch_size",
                f"a batch of {self.batch_size:,} is larger than the {left:,} rows to train on. Make it smaller.",
            )
        if isinstance(self.likelihood, Bernoulli) and facts.range != (0.0, 1.0):
            yield (
                "likelihood.name",
                "'bernoulli' needs data in [0, 1], which this data set is not. Use 'squared_error', or bring the "
                "values into it, those of 'array' by its 'scale'.",
            )

    def _too_large(self, shape: tuple[int, ...]) -> Iterator[Mistake]:
        """A layer that does not fit any machine's memory."""
        hidden, latent_dim = getattr(self.network, "hidden", ()), self.network.latent_dim
        widths = (math.prod(shape), *hidden, latent_dim) if hidden else (latent_dim, 1)
        rows, columns = max(pairwise(widths), key=math.prod)
        if rows * columns > MOST_WEIGHTS:
            field = "latent_dim" if latent_dim in (rows, columns) else "hidden"
            what = f"a layer of {rows:,} x {columns:,} weights has no room in memory"
            yield f"network.{field}", f"{what}: {MOST_WEIGHTS:,} are the most. Make it smaller."
