"""Model: a trained model in use. Arrays in, arrays of the same kind out; no data set and no gradient."""

# Shapes: B rows, X data dimensions (C, H, W or one), D dimensions of the code y, L latent dimensions of z.

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.common.errors import UsageError, one_line
from trainables.data.base import Range
from trainables.data.base.bounds import TooMuch, check_memory
from trainables.inference import arrays
from trainables.inference.arrays import Array
from trainables.inference.fitted import Fitted, chosen
from trainables.inference.prune import prune
from trainables.learner import Learner
from trainables.methods import Method, Sampler
from trainables.noise import Noise
from trainables.run import Run

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 500  # rows whose noise is drawn together, as in evaluations: a sample depends on its number alone
AT_ONCE = 1000  # rows


class Code(NamedTuple):
    """q(y|x) of each row: `mean` and `variance`, (B, D). A flow's variance has no closed form and is None."""

    mean: Array
    variance: Array | None


class Axes(NamedTuple):
    """What the training rows say of each latent axis: numpy arrays (L,)."""

    score: np.ndarray
    """Relevance: the decoder's sensitivity times the codes' second moment (ARD-VAE, eq. 20)."""
    active: np.ndarray
    """Whether the method has the axis in use, see `Model.active`."""
    mean: np.ndarray
    """Mean of the encoded training rows on it."""
    sd: np.ndarray
    """Their standard deviation on it, samples of q(y|x) included."""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, and what is known of its training."""

    name: str
    """As it was asked for, such as `quickstart/0003`."""
    epoch: int
    """Epochs that it was trained."""
    history: Sequence[dict[str, float]] = ()
    """The metrics of each epoch, with its number as `epoch`."""
    findings: Sequence[dict[str, Any]] = ()
    """What `vaeorch evaluate` has found of it, with provenance, as in its evaluations.json."""
    axes: tuple[int, ...] | None = None
    """Of a pruned model: which axes of the one before are left."""
    more: dict[str, Any] = field(default_factory=dict)
    """Other facts, in plain values, for what is exported."""


class Model:
    """A trained model. `vaeorch.load` makes one.

    Rows of data are arrays (B, *shape), float32 in `range`, or bytes (uint8) that are scaled into it as in training.
    Results are numpy arrays for numpy arrays, and tensors on the caller's device for tensors.

    Args:
        fit: returns what the training rows say of the model; raises UsageError where nobody has kept that.
    """

    def __init__(self, learner: Learner, run: Run, fit: Callable[[], Fitted], origin: Origin):
        self.run, self.origin = run, origin
        self._learner, self._fit = learner.eval().requires_grad_(False), fit

    def __repr__(self) -> str:
        span = f" in [{self.range[0]:g}, {self.range[1]:g}]" if self.range else ""
        form = f"{self.run.method.name}, {self.latent_dim} latent axes, rows {self.shape}{span}"
        return f"<Model {self.origin.name}: {form}, epoch {self.origin.epoch}>"

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row of data: (C, H, W) of images."""
        return self._learner.vae.shape

    @property
    def range(self) -> Range | None:
        """The smallest and the largest value of its data; None where they are unbounded."""
        return self._learner.vae.data_range

    @property
    def latent_dim(self) -> int:
        """L, the number of latent axes."""
        return self._learner.vae.latent_dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self._learner.parameters()).device

    @property
    def module(self) -> Learner:
        """The PyTorch module, in evaluation mode, for what this class does not offer."""
        return self._learner

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics of each epoch of its training, by epoch; see `vaeorch methods` for units."""
        import pandas as pd

        return pd.DataFrame(list(self.origin.history)).set_index("epoch") if self.origin.history else pd.DataFrame()

    @property
    def evaluations(self) -> pd.DataFrame:
        """What `vaeorch evaluate` has found of it: a row per number, with the settings and rows it rests on."""
        import pandas as pd

        rows = [
            (name, value, found["metric"], found["provenance"])
            for found in self.origin.findings
            for name, value in found["values"].items()
        ]
        return pd.DataFrame(rows, columns=["name", "value", "metric", "provenance"])

    @cached_property
    def fitted(self) -> Fitted:
        """What its training rows say of it. Raises UsageError where nobody has kept that and the data are not there."""
        return self._fit()

    def known_fit(self) -> tuple[Fitted | None, str]:
        """What its training rows say of it; None, and why, where that is not known."""
        try:
            return self.fitted, ""
        except UsageError as error:
            return None, str(error)

    @property
    def active(self) -> np.ndarray:
        """Which axes the method has in use, (L,) bool: those that its gates or mask leave open, else the relevant ones.

        The relevant axes are the fewest that carry 99 % of the relevance; none of a collapsed model. Raises UsageError
        where axes cannot be told apart.
        """
        return self._active().numpy()

    def _active(self) -> Tensor:
        method, mapping = self.run.method, self._learner.vae.mapping
        if not method.distinct_axes:
            raise UsageError(
                f"{self.origin.name}: {method.name} mixes latent axes: none of them can be told irrelevant."
            )
        if self.origin.axes is not None:  # the others were cut out
            return torch.ones(self.latent_dim, dtype=torch.bool)
        if hasattr(mapping, "opened"):
            return mapping.opened().bool().cpu()
        if not self.fitted.score_D.isfinite().all():
            raise UsageError(f"{self.origin.name}: its codes are not finite: it has diverged.")
        return self.fitted.relevance.active() & (not self.fitted.collapsed)

    @property
    def relevance(self) -> Axes:
        """The relevance of each axis, and where the training rows lie on it. Raises UsageError, see `fitted`."""
        fitted = self.fitted
        return Axes(fitted.score_D.numpy(), self.active, fitted.mean_D.numpy(), fitted.sd_D.numpy())

    # What it does

    def encode(self, x: Array) -> Code:
        """q(y|x) of rows (B, *shape): means and variances (B, D). Raises UsageError for what is no such rows."""
        x_BX, form = self._data(x)
        found = [self._learner.vae.encode(some) for some in x_BX.split(AT_ONCE)]
        variances = [q.variance_BD for q in found]
        known = form.of(torch.cat(variances)) if None not in variances else None
        return Code(form.of(torch.cat([q.mean_BD for q in found])), known)

    def represent(self, x: Array) -> Array:
        """The representation z = g(mean of q(y|x)) of rows, (B, L). Raises UsageError."""
        x_BX, form = self._data(x)
        return form.of(self._by_blocks(self._learner.vae.represent, x_BX))

    def decode(self, z: Array) -> Array:
        """The decoded means of latents (B, L): rows (B, *shape) in `range`. Raises UsageError."""
        z_BL, form = arrays.latents(z, self.latent_dim, self.device)
        return form.of(self._decoded(z_BL))

    def reconstruct(self, x: Array) -> Array:
        """Rows decoded from their representation, (B, *shape). Raises UsageError."""
        x_BX, form = self._data(x)
        return form.of(self._decoded(self._by_blocks(self._learner.vae.represent, x_BX)))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Generate `n` rows (n, *shape) as the method's paper does.

        Evaluations with this seed count the same rows. Of a method that fits its sampler to training rows, as `rae` and
        `ard_vae` do, only those with seed 0 do: a training keeps the fit with seed 0, whatever `seed` is here.

        Row i depends on the seed and i alone, but for rounding. Those of a likelihood with a learned variance have its
        noise, and may leave `range`. Raises UsageError.
        """
        n, seed = whole(n, "sample: n"), whole(seed, "sample: seed")
        if n < 1:
            raise UsageError(f"sample: {n} rows: ask for 1 or more.")
        self._check_memory(n, "sample")
        vae, sampler = self._learner.vae, self._sampler
        blocks = range(0, n, BLOCK)
        with torch.no_grad():
            made = [self._generated(vae, sampler, seed, start, min(BLOCK, n - start)) for start in blocks]
        return torch.cat(made).cpu().numpy()

    def traverse(self, axis: int, steps: int = 10, sds: float = 3.0, at: Array | None = None) -> Array:
        """Decode points along a latent axis: (steps, *shape), as numpy unless `at` is a tensor.

        Args:
            sds: how far from the codes' mean to go to either side, in their standard deviations on that axis.
            at: the latents (L,) of the other axes; None: the codes' mean.

        Raises UsageError for an axis that it does not have.
        """
        axis, steps = whole(axis, "traverse: axis"), whole(steps, "traverse: steps")
        if not 0 <= axis < self.latent_dim:
            raise UsageError(f"traverse: axis {axis}: this model has the axes 0 to {self.latent_dim - 1}.")
        if steps < 1 or not (isinstance(sds, Real) and math.isfinite(sds)):
            raise UsageError(f"traverse: {steps} steps over {sds} deviations: ask for 1 step or more, and a number.")
        self._check_memory(steps, "traverse")
        fitted, form = self.fitted, arrays.Form(True, torch.device("cpu"))
        centre_L = fitted.mean_D
        if at is not None:
            rows = at[None] if isinstance(at, Tensor) else np.asarray(at)[None]
            [centre_L], form = arrays.latents(rows, self.latent_dim, self.device)
        z_SL = centre_L.to(self.device, torch.get_default_dtype()).repeat(steps, 1)
        z_SL[:, axis] = torch.linspace(-sds, sds, steps).to(z_SL) * fitted.sd_D[axis] + fitted.mean_D[axis]
        return form.of(self._decoded(z_SL))

    # What can be made of it

    def to(self, device: torch.device | str) -> Model:
        """The same model on a device, such as "cuda". Raises UsageError where there is none."""
        try:
            learner = copy.deepcopy(self._learner).to(device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"{device}: is no device of this machine: {one_line(error)[:200]}") from None
        return Model(learner, self.run, lambda: self.fitted, self.origin)

    def with_origin(self, origin: Origin) -> Model:
        """The same model with other facts about where it comes from."""
        return Model(self._learner, self.run, lambda: self.fitted, origin)

    def prune(self) -> Model:
        """A smaller model without the axes that are not `active`, each of which is held at its mean over training rows.

        Its results equal those of this model with the axes held there, to 1e-5. Raises UsageError where axes cannot be
        told apart, none is active, or those that stay depend on the others.
        """
        active_L, fitted = self._active(), self.fitted
        learner, run = prune(self._learner, self.run, active_L, fitted.mean_D)
        kept = active_L.nonzero()[:, 0]
        before = self.origin.axes or range(self.latent_dim)
        origin = replace(self.origin, axes=tuple(before[axis] for axis in kept.tolist()))
        smaller = chosen(fitted, kept)
        return Model(learner.to(self.device), run, lambda: smaller, origin)

    # How

    def _check_memory(self, rows: int, what: str) -> None:
        """Raises UsageError where so many rows do not fit, in blocks, and then as one array."""
        try:
            check_memory(2 * rows * math.prod(self.shape) * 4)
        except TooMuch as error:
            raise UsageError(f"{what}: {rows:,} rows: {error}.") from None

    def _data(self, x: Array) -> tuple[Tensor, arrays.Form]:
        return arrays.data(x, self.shape, self.range, self.device)

    def _decoded(self, z_BL: Tensor) -> Tensor:
        return self._by_blocks(lambda some_BL: self._learner.vae.decode(some_BL).mean_BX, z_BL)

    @torch.no_grad()
    def _by_blocks(self, compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        return torch.cat([compute(some) for some in rows.split(AT_ONCE)])

    @cached_property
    def _sampler(self) -> Sampler:
        """Of the method; a prior that needs no data samples without them."""
        method, vae = self.run.method, self._learner.vae
        if not needs_data(method):
            return method.sampler_of(vae, {})
        if self.fitted.unfit:
            raise UsageError(f"{self.origin.name}: cannot generate: {self.fitted.unfit}")
        try:
            return method.sampler_of(vae, {name: value.to(self.device) for name, value in self.fitted.sampler.items()})
        except (TypeError, LookupError):
            raise UsageError(f"{self.origin.name}: what was kept for its samples is of another version.") from None

    def _generated(self, vae: Any, sampler: Sampler, seed: int, start: int, rows: int) -> Tensor:
        noise = Noise(seed, "generated", 0, start, rows=slice(rows), total=BLOCK, device=self.device)
        return vae.decode(sampler(noise)).sample(noise.normal("data", *vae.shape))


def whole(value: Any, what: str) -> int:
    """A whole number of any type. Raises UsageError for others."""
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{what}: {value!r} is no whole number.") from None


def needs_data(method: Method) -> bool:
    """Whether the method fits its sampler to training rows."""
    return type(method).fit_sampler is not Method.fit_sampler
