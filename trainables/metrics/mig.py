"""Mutual information gap: by how much one axis is more informative of a factor than any other axis.

Source: Chen et al. 2018, in the form of disentanglement_lib, which ARD-VAE follows.
"""

# Shapes: N rows, D axes, F factors, A values of one variable, B values of another.

from __future__ import annotations

from trainables.common.lazy import np
from trainables.metrics.factor_vae import varying

POINTS = 10_000
BINS = 20


def mig(code_ND: np.ndarray, factor_NF: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Mean over factors of (I_1 - I_2) / H(factor), I_1 and I_2 the two largest mutual informations with an axis.

    1 where one axis alone determines each factor, 0 where two are equally informative. 10,000 rows are drawn with
    replacement, and each axis is divided into 20 bins of equal width. A constant axis has no information. With one axis
    I_2 is 0; with none the gap is 0. Arguments as in `factor_vae`.

    Raises Undefined where fewer than 2 factors vary in the rows drawn.
    """
    drawn_N = np.random.default_rng(seed).integers(len(code_ND), size=POINTS)
    factor_NF, code_ND = factor_NF[drawn_N], code_ND[drawn_N].astype(np.float64)
    moving_F = varying(factor_NF)
    if code_ND.shape[1] == 0:
        return {"mig": 0.0}
    bin_ND = np.stack([binned(axis_N) for axis_N in code_ND.T], axis=1)
    gaps = [gap(bin_ND, factor_N) for factor_N in factor_NF[:, moving_F].T]
    return {"mig": float(np.mean(gaps))}


def gap(bin_ND: np.ndarray, factor_N: np.ndarray) -> float:
    """(I_1 - I_2) / H of one factor."""
    known_D = sorted([mutual_information(bin_N, factor_N) for bin_N in bin_ND.T] + [0.0], reverse=True)
    return (known_D[0] - known_D[1]) / mutual_information(factor_N, factor_N)


def binned(axis_N: np.ndarray) -> np.ndarray:
    """The bin of each value, from 1: 20 bins of equal width from the smallest to the largest value.

    All values are in the first bin where they are too close to each other for float64 to separate the edges.
    """
    edges = np.linspace(axis_N.min(), axis_N.max(), BINS + 1)
    if (edges[1:] <= edges[:-1]).any():
        return np.ones(len(axis_N), dtype=np.int64)
    return np.digitize(axis_N, edges[:-1])


def mutual_information(one_N: np.ndarray, other_N: np.ndarray) -> float:
    """Mutual information in nats of two variables of small integers, from their counts; of one with itself, entropy."""
    width = int(other_N.max()) + 1
    joint_AB = np.bincount(one_N * width + other_N, minlength=(int(one_N.max()) + 1) * width).reshape(-1, width)
    joint_AB = joint_AB / len(one_N)
    independent_AB = np.outer(joint_AB.sum(1), joint_AB.sum(0))
    there_AB = joint_AB > 0
    return float((joint_AB[there_AB] * np.log(joint_AB[there_AB] / independent_AB[there_AB])).sum())
