"""Precision and recall of distributions: how much of the generated data is real, and how much of the real generated.

Source: Sajjadi et al. 2018, Assessing generative models via precision and recall, and its code.
"""

# Shapes: N rows of either set, F features, K clusters, A angles.

from __future__ import annotations

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, np

cluster = LazyModule("sklearn.cluster")

CLUSTERS = 20
ANGLES = 1001
RUNS = 10
STARTS = 10  # of each k-means
BETA = 8.0
TINY = 1e-10


def precision_recall(
    generated_NF: np.ndarray, real_NF: np.ndarray, clusters: int = CLUSTERS, runs: int = RUNS
) -> dict[str, float]:
    """Precision, max F_1/8, and recall, max F_8, of the mean curve of `runs` clusterings with the seeds 0, 1, ...

    Both sets must have equal numbers of rows, as the method requires. Raises Undefined.
    """
    if len(generated_NF) != len(real_NF):
        raise Undefined(f"{len(generated_NF)} generated and {len(real_NF)} real rows: use as many of each.")
    if 2 * len(real_NF) < clusters:
        raise Undefined(f"{2 * len(real_NF)} rows make no {clusters} clusters: use more rows.")
    curves = [curve(*histograms(generated_NF, real_NF, clusters, run)) for run in range(runs)]
    precision_A, recall_A = np.mean(curves, axis=0)
    return {"precision": best_f(precision_A, recall_A, 1 / BETA), "recall": best_f(precision_A, recall_A, BETA)}


def histograms(
    generated_NF: np.ndarray, real_NF: np.ndarray, clusters: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The shares (K,) of each set in clusters that are fitted to both sets together."""
    union_NF = np.concatenate([generated_NF, real_NF])
    kmeans = cluster.MiniBatchKMeans(n_clusters=clusters, n_init=STARTS, random_state=seed)
    labels_N = kmeans.fit(union_NF).labels_
    halves = labels_N[: len(generated_NF)], labels_N[len(generated_NF) :]
    generated_K, real_K = (np.bincount(half, minlength=clusters) / len(half) for half in halves)
    return generated_K, real_K


def curve(generated_K: np.ndarray, real_K: np.ndarray, angles: int = ANGLES) -> np.ndarray:
    """Precision and recall (2, A) at slopes s from 0 to infinity: sum_k min(s real_k, generated_k), and that / s."""
    slope_A = np.tan(np.linspace(TINY, np.pi / 2 - TINY, angles))
    precision_A = np.minimum(slope_A[:, None] * real_K, generated_K).sum(1)
    return np.stack([precision_A, precision_A / slope_A]).clip(0, 1)


def best_f(precision_A: np.ndarray, recall_A: np.ndarray, beta: float) -> float:
    """The largest F_beta = (1 + b^2) p r / (b^2 p + r) on a curve."""
    weight = beta**2
    f_A = (1 + weight) * precision_A * recall_A / (weight * precision_A + recall_A + TINY)
    return float(f_A.max())
