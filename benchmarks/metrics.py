"""What metrics cost: each against a straightforward version with numpy, scipy or scikit-learn, on the same input.

    python benchmarks/metrics.py [--only NAME ...] [--repeats 3]

Seconds in the median. `differ` is the greatest difference of the two results, as a share of the largest: both compute
the same number (the votes of factor_vae are drawn in another order). Forest, attributes and SVM are scikit-learn's own,
and PRD's time is its k-means: they are not listed. `dz` has no other version: it is the time to encode 10,000 images of
32x32 in batches of 100, sample, sum the squares and give the prior its b (ARD-VAE, supplement, table 3), copies to the
device and waiting for it included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from sklearn.metrics import mutual_info_score
from sklearn.neighbors import KernelDensity

from trainables.data import Sprites
from trainables.metrics import factor_vae, frechet, latent_mmd, mig, parzen, rate
from trainables.mmd import DISCREPANCIES, WAE_SCALES
from trainables.noise import Noise
from trainables.relevance import sensitivity, weight
from trainables.run import Run
from trainables.sums import Sums, add
from trainables.train import Training

ROWS, FEATURES = 5_000, 512
VOTES = (10_000, 5_000)
JACOBIAN_ROWS = 50
DZ_ROWS, BATCH = 10_000, 100

Result = float | np.ndarray
Pair = tuple[Callable[[], Result], Callable[[], Result]]
"""Ours, and the straightforward version."""


def of_frechet() -> Pair:
    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(ROWS, FEATURES)).astype(np.float32) + shift for shift in (0, 0.1))

    def ours() -> float:
        sums = [add(frechet.statistics(part) for part in torch.from_numpy(x).split(BATCH)) for x in (one, other)]
        return frechet.distance(*sums)

    def theirs() -> float:
        wide = one.astype(np.float64), other.astype(np.float64)
        moments = [moment for x in wide for moment in (x.mean(0), np.cov(x, rowvar=False))]
        return calculate_frechet_distance(*moments)

    return ours, theirs


@cache
def factors_and_codes() -> tuple[np.ndarray, np.ndarray]:
    grid = Sprites.grid
    factor_NF = grid.values(np.arange(grid.rows))
    return factor_NF, factor_NF @ np.random.default_rng(0).normal(size=(5, 10))


def of_factor_vae() -> Pair:
    factor_NF, code_ND = factors_and_codes()

    def votes(number: int, variance_D: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.zeros((code_ND.shape[1], factor_NF.shape[1]))
        for _ in range(number):
            factor = rng.integers(factor_NF.shape[1])
            value = factor_NF[rng.integers(len(factor_NF)), factor]
            rows = rng.choice(np.flatnonzero(factor_NF[:, factor] == value), factor_vae.BATCH)
            counts[(code_ND[rows].var(0, ddof=1) / variance_D).argmin(), factor] += 1
        return counts

    def theirs() -> float:
        rng = np.random.default_rng(0)
        variance_D = code_ND.var(0, ddof=1)
        train, test = (votes(number, variance_D, rng) for number in VOTES)
        return 100 * test[np.arange(len(test)), train.argmax(1)].sum() / VOTES[1]

    return lambda: factor_vae.factor_vae(code_ND, factor_NF, VOTES)["factor_vae"], theirs


def of_mig() -> Pair:
    factor_NF, code_ND = factors_and_codes()

    def theirs() -> float:
        drawn = np.random.default_rng(0).integers(len(code_ND), size=mig.POINTS)
        bins = [np.digitize(axis, np.histogram(axis, mig.BINS)[1][:-1]) for axis in code_ND[drawn].T]
        gaps = []
        for factor in factor_NF[drawn].T:
            known = sorted(mutual_info_score(some, factor) for some in bins)
            gaps.append((known[-1] - known[-2]) / mutual_info_score(factor, factor))
        return np.mean(gaps)

    return lambda: mig.mig(code_ND, factor_NF)["mig"], theirs


def of_latent_mmd() -> Pair:
    q, p = np.random.default_rng(0).normal(size=(2, latent_mmd.SAMPLE, 32))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        square = np.stack([((b - row) ** 2).sum(1) for row in a])
        return sum(2 * 32 * scale / (2 * 32 * scale + square) for scale in WAE_SCALES)

    def theirs() -> float:
        pairs = len(q) * (len(q) - 1)
        within = sum((kernel(x, x).sum() - len(x) * len(WAE_SCALES)) / pairs for x in (q, p))
        return within - 2 * kernel(q, p).mean()

    tensors = torch.from_numpy(q), torch.from_numpy(p)
    return lambda: latent_mmd.between(DISCREPANCIES["imq"], *tensors), theirs


def of_parzen() -> Pair:
    points, centres = np.random.default_rng(0).random((2, 2000, 784))

    def theirs() -> float:
        one_leaf = KernelDensity(bandwidth=0.2, leaf_size=len(centres))  # with more it is wrong in 784 dimensions
        return one_leaf.fit(centres).score_samples(points).mean()

    tensors = torch.from_numpy(points), torch.from_numpy(centres)
    return lambda: float(parzen.log_density(*tensors, (0.2,)).mean()), theirs


@cache
def trained_on_images(method: str) -> Training:
    network = {"name": "mlp", "hidden": [256, 256], "latent_dim": 16}
    run = {"method": {"name": method}, "network": network, "data": {"name": "digits"}, "epochs": 1}
    return Training(Run.model_validate(run))


def of_jacobian() -> Pair:
    training = trained_on_images("vae")
    vae = training.learner.vae.eval()
    z = torch.randn(JACOBIAN_ROWS, 16, device=training.device)

    def theirs() -> np.ndarray:
        one = torch.autograd.functional.jacobian
        rows = [one(lambda z: vae.decode(z[None]).mean_BX.flatten(), row).double().abs() for row in z]
        return torch.stack(rows).mean(0).square().sum(0).cpu().numpy()

    def ours() -> np.ndarray:
        with torch.no_grad():
            return weight(sensitivity(vae, z)).cpu().numpy()

    return ours, theirs


def of_surrogate_rate() -> Pair:
    training = trained_on_images("wae_mmd")
    vae = training.learner.vae.eval()
    x = training.splits.val.batch(torch.arange(JACOBIAN_ROWS)).to(training.device)
    noise = Noise(0, rows=slice(len(x)), total=len(x), device=training.device)

    def theirs() -> np.ndarray:
        rates = []
        for row in x:
            jacobian = torch.autograd.functional.jacobian(lambda x: vae.encode(x[None]).mean_BD[0], row).flatten(1)
            mean = vae.encode(row[None]).mean_BD[0].detach().cpu().double().numpy()
            matrix = jacobian.cpu().double().numpy()
            covariance = rate.INPUT_SD**2 * matrix @ matrix.T + rate.RIDGE * np.eye(len(mean))
            rates.append(0.5 * (np.trace(covariance) + mean @ mean - len(mean) - np.linalg.slogdet(covariance)[1]))
        return np.array(rates)

    return lambda: rate.surrogate(vae, x, noise).detach().cpu().numpy(), theirs


PAIRS: dict[str, Callable[[], Pair]] = {
    "frechet": of_frechet,
    "factor_vae": of_factor_vae,
    "mig": of_mig,
    "latent_mmd": of_latent_mmd,
    "parzen": of_parzen,
    "jacobian": of_jacobian,
    "surrogate_rate": of_surrogate_rate,
}
ALL = (*PAIRS, "dz")


def seconds(act: Callable[[], object], repeats: int) -> float:
    """The median, after one call to warm up."""
    act()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def row(name: str, repeats: int) -> str:
    ours, theirs = PAIRS[name]()
    one, other = np.asarray(ours()), np.asarray(theirs())
    differ = np.abs(one - other).max() / np.abs(other).max()
    fast, slow = seconds(ours, repeats), seconds(theirs, repeats)
    return f"| {name} | {fast:.3f} | {slow:.3f} | {slow / fast:.1f} | {differ:.1e} |"


def dz(latent_dim: int, repeats: int) -> float:
    """Seconds to make the ARD prior of 10,000 images with ARD-VAE's network for MNIST."""
    images = np.random.default_rng(0).integers(256, size=(DZ_ROWS, 1, 32, 32), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", images)
        data = {"name": "array", "path": f"{folder}/x.npy"}
        network = {"name": "ard_mnist", "latent_dim": latent_dim}
        run = {"method": {"name": "ard_vae", "dz_size": 1000}, "network": network, "data": data, "epochs": 1}
        training = Training(Run.model_validate(run))

    def estimate() -> None:
        training.learner.absorb(add(map(statistics_of, enumerate(torch.from_numpy(images).split(BATCH)))))
        training.learner.vae.prior.variance_D.cpu()

    def statistics_of(batch: tuple[int, torch.Tensor]) -> Sums:
        number, x = batch
        noise = Noise(0, number, rows=slice(len(x)), total=len(x), device=training.device)
        return training.learner.statistics(x.to(training.device, torch.float32) / 255, noise)

    return seconds(estimate, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    names = asked.only
    pairs = [name for name in names if name in PAIRS]
    if pairs:
        print("| metric | seconds | straightforward | times faster | differ |\n| --- | ---: | ---: | ---: | ---: |")
    for name in pairs:
        print(row(name, asked.repeats), flush=True)
    if "dz" in names:
        for latent_dim in (16, 32, 64):
            print(f"D_z of {DZ_ROWS} images, {latent_dim} axes: {dz(latent_dim, asked.repeats):.3f} s", flush=True)


if __name__ == "__main__":
    main()
