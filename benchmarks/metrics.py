"""The time of each metric against a straightforward version with numpy, scipy or scikit-learn, on the same input.

    python benchmarks/metrics.py [--only NAME ...] [--repeats 3]

Times are medians in seconds. `differ` is the largest difference of the two results relative to the largest value: both
compute the same number (except that factor_vae's votes are drawn in another order and iwae's samples differ). Forest,
SVM and linear attributes are scikit-learn's own, and PRD's time is its k-means: they are not listed. `active` is all
twelve counts of axes. `shared` is the Frechet distance and PRD of 16 generated and 16 real images by Inception, with
random weights, whose features are extracted once, or once for each. `dz` has no other version: it is the time to encode
10,000 images of 32x32 in batches of 100, sample, sum the squares and update the prior's b (ARD-VAE, supplement, table
3), including copies to the device and waiting for it.
"""

import argparse
import math
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
from torch import nn

from trainables.data import Sprites
from trainables.distributions.mmd import DISCREPANCIES, WAE_SCALES
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.evaluations.generation import PRD, Frechet
from trainables.metrics import attributes_neural, factor_vae, frechet, inception, latent_mmd, mig, parzen, rate
from trainables.metrics.active import active_counts
from trainables.metrics.basic import hoyer_of
from trainables.metrics.iwae import iwae
from trainables.metrics.probes import Labelled
from trainables.noise import Noise, seed_of
from trainables.relevance import published_sums, sensitivity, weight
from trainables.run import Run
from trainables.sums import Sums, add, all_reduce, share
from trainables.train import Training

ROWS, FEATURES = 5_000, 512
VOTES = (10_000, 5_000)
JACOBIAN_ROWS = 50
DZ_ROWS, BATCH = 10_000, 100

Result = float | np.ndarray
Pair = tuple[Callable[[], Result], Callable[[], Result]]
"""(our version, the straightforward version)."""


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


def of_active() -> Pair:
    training = trained_on_images("vae")
    vae = training.learner.vae.eval()
    x = training.splits.train.batch(torch.arange(1000)).to(training.device)

    def ours() -> np.ndarray:
        return np.array(list(active_counts(*map(all_reduce, published_sums(vae, x, 0, share))).values()))

    @torch.no_grad()
    def codes() -> torch.Tensor:
        noise = Noise(0, "relevance", 0, rows=slice(len(x)), total=len(x), device=training.device)
        return vae.encode(x).draw(noise).y_BD

    def theirs() -> np.ndarray:
        z = codes()
        one = torch.autograd.functional.jacobian
        rows = [one(lambda z: vae.decode(z[None]).mean_BX.flatten(), row).cpu().double().numpy() for row in z[:100]]
        second = (z.cpu().double().numpy() ** 2).mean(0)
        weights = (np.abs(rows).mean(0) ** 2).sum(0), np.square(rows).mean(0).sum(0)
        scores = [weight * times for times in (second, 1.0) for weight in weights]
        shares = [np.cumsum(np.sort(score)[::-1]) / score.sum() for score in scores]
        return np.array([1 + (share <= part).sum() for share in shares for part in (0.95, 0.99, 0.999)])

    return ours, theirs


def of_hoyer() -> Pair:
    z = np.random.default_rng(0).laplace(size=(10_000, 64))

    def theirs() -> float:
        scaled, root = z / z.std(0), np.sqrt(z.shape[1])
        return np.mean([(root - np.abs(row).sum() / np.linalg.norm(row)) / (root - 1) for row in scaled])

    return lambda: hoyer_of(torch.from_numpy(z)), theirs


def of_attributes_neural() -> Pair:
    """40 attributes, 500 rows to train and 500 to test."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1000, 64)).astype(np.float32)
    both = Labelled(z, z @ rng.normal(size=(64, 40)) + 4 * rng.normal(size=(1000, 40)) > 0)
    train, test = both[:500], both[500:]

    def alone(attribute: int) -> float:
        generator = torch.Generator().manual_seed(seed_of(0, "attributes"))
        first, second, *_ = attributes_neural.started(64, 40, generator)
        network = nn.Sequential(nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 2))
        for layer, start in ((network[0], first), (network[2], second)):
            layer.weight.data, layer.bias.data = start[attribute].detach().T.clone(), torch.zeros_like(layer.bias)
        optimizer = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-7)
        x, y = torch.from_numpy(train.z_ND), torch.from_numpy(train.y_N[:, attribute]).long()
        best, waited = -1.0, 0
        while waited < attributes_neural.PATIENCE:
            for index in torch.randperm(len(x), generator=generator).split(100):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x[index]), y[index]).backward()
                optimizer.step()
            right = (network(torch.from_numpy(test.z_ND)).argmax(1).numpy() == test.y_N[:, attribute]).mean()
            best, waited = (right, 0) if right > best else (best, waited + 1)
        return best

    return lambda: attributes_neural.best_accuracies(train, test, 0), lambda: np.array([alone(a) for a in range(40)])


def of_iwae() -> Pair:
    training = trained_on_images("vae")
    rows, learner, k = training.splits.val.take(slice(200)), training.learner, 100
    vae = learner.vae.eval()

    @torch.no_grad()
    def theirs() -> float:
        total = 0.0
        for row in rows.batch(torch.arange(len(rows))).to(training.device):
            q = vae.encode(row[None])
            normal = torch.distributions.Normal(q.mean_BD, (q.log_variance_BD / 2).exp())
            y = normal.sample((k,))[:, 0]
            weight = vae.decode(y).log_prob(row.expand(k, *row.shape)) - normal.log_prob(y).sum(1)
            weight += torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(1)
            total += (weight.double().logsumexp(0) - math.log(k)).item()
        return total / len(rows)

    return lambda: iwae(learner, rows, k), theirs


def of_shared() -> Pair:
    """Two evaluations that share one model's context, against two with a context each."""
    training, folder = trained_on_images("vae"), Path(tempfile.mkdtemp())
    torch.save(inception.Inception().network.state_dict(), folder / "weights.pth")
    asked = {"features": "inception", "weights": str(folder / "weights.pth"), "generated": 16, "real": 16}
    network = EvaluationContext(training).extractor("inception", asked["weights"])

    def numbers(seens: list[EvaluationContext]) -> np.ndarray:
        for seen in seens:
            seen.once(("extractor", "inception", asked["weights"], 0), lambda: network)
        found = [find(kind(**asked), seen).values for kind, seen in zip((Frechet, PRD), seens, strict=True)]
        return np.array([value for values in found for value in values.values()])

    return lambda: numbers([EvaluationContext(training)] * 2), lambda: numbers(
        [EvaluationContext(training), EvaluationContext(training)]
    )


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
    "active": of_active,
    "hoyer": of_hoyer,
    "attributes_neural": of_attributes_neural,
    "iwae": of_iwae,
    "shared": of_shared,
}
ALL = (*PAIRS, "dz")


def seconds(act: Callable[[], object], repeats: int) -> float:
    """The median seconds of a call, after one warm-up call."""
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
    """Seconds to update the ARD prior from 10,000 images with ARD-VAE's network for MNIST."""
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
