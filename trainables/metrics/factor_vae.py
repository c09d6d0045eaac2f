"""FactorVAE's metric: does the axis of least variance predict which factor was fixed?

Source: Kim & Mnih 2018, with the settings of Locatello et al. 2019 (disentanglement_lib), which ARD-VAE follows.
"""

# Shapes: N rows of a set, D axes, F factors, V votes, S rows of each.

from __future__ import annotations

from trainables.common.errors import Undefined
from trainables.common.lazy import np
from trainables.metrics.grouping import Groups

POINTS = 10_000  # rows for the variance of each axis
TRAIN_VOTES, EVAL_VOTES = 10_000, 5_000
BATCH = 64
SMALLEST_SD = 0.05
VOTES_AT_ONCE = 500  # bounds the memory


def factor_vae(
    code_ND: np.ndarray, factor_NF: np.ndarray, votes: tuple[int, int] = (TRAIN_VOTES, EVAL_VOTES), seed: int = 0
) -> dict[str, float]:
    """Accuracy in per cent of the majority-vote classifier axis -> factor, on held-out votes.

    Rows are drawn from the set with replacement, as the library does on a set of all combinations. Axes whose standard
    deviation is below 0.05 are left out; where none is left the accuracy is 0.

    Args:
        code_ND: the representation of every row, of the axes to evaluate.
        factor_NF: integers from 0. A factor with one value is left out.

    Raises Undefined where fewer than 2 factors vary.
    """
    moving_F = varying(factor_NF)
    rng = np.random.default_rng(seed)
    variance_D = code_ND[rng.integers(len(code_ND), size=POINTS)].astype(np.float64).var(0, ddof=1)
    kept_D = np.sqrt(variance_D) >= SMALLEST_SD
    if not kept_D.any():
        return {"factor_vae": 0.0, "factor_vae_axes": 0.0}
    scaled_ND = code_ND[:, kept_D] / np.sqrt(variance_D[kept_D])
    groups = [Groups(factor_NF[:, factor]) for factor in np.flatnonzero(moving_F)]
    train_DF, test_DF = (vote(scaled_ND, groups, number, rng) for number in votes)
    right = test_DF[np.arange(len(test_DF)), train_DF.argmax(1)].sum()
    return {"factor_vae": float(100 * right / votes[1]), "factor_vae_axes": float(kept_D.sum())}


def varying(factor_NF: np.ndarray) -> np.ndarray:
    """Which factors (F,) have more than one value. Raises Undefined where fewer than 2 have."""
    moving_F = (factor_NF != factor_NF[:1]).any(0)
    if moving_F.sum() < 2:
        raise Undefined("fewer than 2 factors vary: use a set with known factors, as `sprites` or `solids`.")
    return moving_F


def vote(scaled_ND: np.ndarray, groups: list[Groups], number: int, rng: np.random.Generator) -> np.ndarray:
    """How often (D, F) axis d had the least variance, relative to its variance in the set, while factor f was fixed."""
    counts_DF = np.zeros((scaled_ND.shape[1], len(groups)), dtype=np.int64)
    chosen_F = np.bincount(rng.integers(len(groups), size=number), minlength=len(groups))
    for factor, (group, votes) in enumerate(zip(groups, chosen_F, strict=True)):
        for start in range(0, votes, VOTES_AT_ONCE):
            code_VSD = scaled_ND[group.draw(rng, min(VOTES_AT_ONCE, votes - start), BATCH)]
            axis_V = code_VSD.var(1, ddof=1, dtype=np.float64).argmin(1)
            counts_DF[:, factor] += np.bincount(axis_V, minlength=len(counts_DF))
    return counts_DF
