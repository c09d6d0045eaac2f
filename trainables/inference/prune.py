"""Cuts latent axes out of a trained model: out of the encoder's head, the mapping, the prior and the decoder.

The decoder's first layer takes the constant at which an axis stood into its bias (ARD-VAE, section 3.4: an axis that is
not relevant stands at its mean over the encoded data). So the small model computes what the large one does with these
axes held, which `verify` checks each time.
"""

# Shapes: B rows, X data dimensions, L latent dimensions, K of them that stay.

import copy

import torch
from torch import Tensor, nn

from trainables.common.errors import UsageError
from trainables.inference.building import blank, plain, plain_copy
from trainables.learner import Learner
from trainables.model import VAE
from trainables.run import Run

MANY_ROWS = 1 << 40  # so that no number of training rows is too small
ROWS = 8  # on which the small model is compared with the large one
TOLERANCE = 1e-5  # of their difference in float64, relative to values above 1
CUT = ("encoder.", "mapping.", "decoder.", "prior.")  # the parts of a model in use; others are for training alone


def prune(learner: Learner, run: Run, active_L: Tensor, held_L: Tensor) -> tuple[Learner, Run]:
    """The model with its active axes alone, and the run that describes it. `held_L` is where the others stand.

    Raises UsageError where no axis is active, and where the axes that stay depend on the others.
    """
    kept_K = active_L.nonzero()[:, 0].cpu()
    smaller = run_of(run, len(kept_K))
    large, small = plain_copy(learner, run).vae, plain(blank(smaller, (learner.vae.shape, learner.vae.data_range)))
    small.vae.extras = nn.Module()
    try:
        fill(small.vae, large, kept_K, held_L.to(torch.get_default_dtype()).cpu())
    except LookupError as error:
        raise UsageError(f"prune: {run.network.name} with {run.method.name} cannot be cut: {error}.") from None
    verify(copy.deepcopy(small.vae).double(), large.double(), kept_K, held_L.cpu(), run)
    return small.eval(), smaller


def run_of(run: Run, kept: int) -> Run:
    """The run with this many latent axes. Raises UsageError where there is no such run."""
    if not kept:
        raise UsageError("prune: no axis of this model is relevant: it has collapsed, and there is nothing to keep.")
    smaller = run.model_copy(update={"network": run.network.model_copy(update={"latent_dim": kept})})
    for path, reason in smaller.method.mistakes(kept, MANY_ROWS):
        raise UsageError(f"prune: {run.method.name} does not work with the {kept} axes that are left: {path}: {reason}")
    return smaller


@torch.no_grad()
def fill(small: VAE, large: VAE, kept_K: Tensor, held_L: Tensor) -> None:
    """Copy the large model's values: where the small one's tensors are smaller, those of the axes that stay.

    Raises LookupError for a tensor whose dimensions are no multiples of the axes.
    """
    values, state = large.state_dict(), small.state_dict()
    code_K = torch.cat([kept_K, torch.arange(large.latent_dim, large.code_dim)])  # the code may have more dimensions
    widths = ((large.code_dim, code_K), (large.latent_dim, kept_K))
    for name in [name for name in state if name.startswith(CUT)]:
        value = values[name]
        for dim, (wide, narrow) in enumerate(zip(value.shape, state[name].shape, strict=True)):
            if wide != narrow:
                value = value.index_select(dim, positions(wide, narrow, widths, name))
        state[name] = value
    constant_L = held_L.index_fill(0, kept_K, 0.0)
    for name in [name for name in state if name.startswith("decoder.") and values[name].shape != state[name].shape]:
        bias = name.replace(".weight", ".bias")
        if constant_L.any() and (values[name].dim() != 2 or bias not in values):
            raise LookupError(f"{name} has no bias for each of its outputs, which could take up where axes stood")
        if bias in values:
            state[bias] = values[bias] + values[name] @ constant_L
    small.load_state_dict(state)


def positions(wide: int, narrow: int, widths: tuple[tuple[int, Tensor], ...], name: str) -> Tensor:
    """Which of `wide` places stay, if these are axes, or several groups of them such as means and log variances."""
    for axes, kept_K in widths:
        groups = wide // axes
        if groups * axes == wide and groups * len(kept_K) == narrow:
            return torch.cat([kept_K + group * axes for group in range(groups)])
    raise LookupError(f"{name} has {wide} places with all axes and {narrow} with those that stay")


@torch.no_grad()
def verify(small: VAE, large: VAE, kept_K: Tensor, held_L: Tensor, run: Run) -> None:
    """Raises UsageError unless the small model computes what the large one does with its other axes held."""
    generator = torch.Generator().manual_seed(0)
    low, high = large.data_range or (-1.0, 1.0)
    x_BX = low + (high - low) * torch.rand(ROWS, *large.shape, generator=generator, dtype=torch.float64)
    z_BL = held_L.to(x_BX) + torch.randn(ROWS, large.latent_dim, generator=generator, dtype=torch.float64)
    small.precision = large.precision = "fp32"  # no autocast
    q, smaller_q = large.encode(x_BX), small.encode(x_BX)
    code_K = torch.cat([kept_K, torch.arange(large.latent_dim, large.code_dim)])
    held_BL = torch.where(torch.isin(torch.arange(large.latent_dim), kept_K), z_BL, held_L.to(z_BL))
    pairs = {
        "encoder": (smaller_q.mean_BD, q.mean_BD[:, code_K]),
        "mapping": (small.mapping(q.mean_BD[:, code_K]), large.mapping(q.mean_BD)[:, kept_K]),
        "decoder": (small.decode(z_BL[:, kept_K]).mean_BX, large.decode(held_BL).mean_BX),
    }
    for part, (mine, expected) in pairs.items():
        off = ((mine - expected).abs() / expected.abs().clamp_min(1.0)).max().item()
        if not off <= TOLERANCE:
            raise UsageError(
                f"prune: the {part} of {run.method.name} mixes axes: those that stay depend on those to be cut "
                f"(difference {off:.1e})."
            )
