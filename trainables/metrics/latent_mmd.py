"""MMD between encoded data and the prior, with the kernels of VIMAE and InfoVAE, as a metric of a trained model."""

# Shapes: N rows of a split, S rows of a sample, D dimensions of the code.

from statistics import fmean

import torch
from torch import Tensor

from trainables.common.errors import Undefined
from trainables.distributions.mmd import DISCREPANCIES, Discrepancy
from trainables.distributions.priors import Prior
from trainables.noise import Noise, seed_of

SAMPLE = 1000
REPEATS = 10


def latent_mmd(
    code_ND: Tensor,
    prior: Prior,
    sample: int = SAMPLE,
    repeats: int = REPEATS,
    seed: int = 0,
    opened_D: Tensor | None = None,
) -> dict[str, float]:
    """`mmd_imq` and `mmd_rbf`: means over 10 draws of 1,000 codes, without replacement, and 1,000 prior samples.

    `mmd_imq` is unbiased: its mean is 0 where codes follow the prior. Axes that are closed in `opened_D` are left out,
    as the decoder does not use them. Raises Undefined where codes are too few, or all axes closed.
    """
    if opened_D is not None and not opened_D.any():
        raise Undefined("all axes are closed, so that no code is left: take an earlier checkpoint.")
    if len(code_ND) < sample:
        raise Undefined(f"{len(code_ND)} codes, {sample} needed for each draw: use more rows.")
    kept = slice(None) if opened_D is None else opened_D
    drawn = (_drawn(code_ND, prior, sample, seed, repeat) for repeat in range(repeats))
    pairs = [(code_SD[:, kept], prior_SD[:, kept]) for code_SD, prior_SD in drawn]
    return {
        f"mmd_{name}": fmean(between(discrepancy, *pair) for pair in pairs)
        for name, discrepancy in DISCREPANCIES.items()
    }


def between(discrepancy: Discrepancy, one_SD: Tensor, other_SD: Tensor) -> float:
    """As `Discrepancy.between`, in memory that does not grow with D."""
    pairs = (one_SD, one_SD), (other_SD, other_SD), (one_SD, other_SD)
    values = [discrepancy.kernel(squared_distances(a, b), one_SD.shape[1]) for a, b in pairs]
    return float(discrepancy.statistic(*values))


def squared_distances(a_SD: Tensor, b_SD: Tensor) -> Tensor:
    """(S, S), float64, from differences: a product of matrices would round small ones away."""
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(a_SD.double(), b_SD.double(), compute_mode=exact).square()


def _drawn(code_ND: Tensor, prior: Prior, sample: int, seed: int, repeat: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed_of(seed, "latent mmd", repeat))
    index = torch.randperm(len(code_ND), generator=generator)[:sample].to(code_ND.device)
    noise = Noise(seed, "latent mmd", repeat, rows=slice(sample), total=sample, device=code_ND.device)
    with torch.no_grad():
        return code_ND[index], prior.sample(noise)
