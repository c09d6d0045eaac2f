"""Images per CPU-second of train(run) against a bare PyTorch loop of the same network, objective and batches.

    OMP_NUM_THREADS=1 python benchmarks/training_throughput.py [--cases NAME ...] [--repeats N] [--precision P ...]
        [--compile]

The bare loop is hand-written: index a tensor, forward, loss, backward, step, without checks or sums; once with torch's
default Adam and once with its fused Adam, which is that of train(run). All three take turns step by step in one
process, without validation, after an epoch each to warm up. A ratio is of one epoch; the median is printed. Times are
of the process's CPU, so that a busy machine matters less. On a GPU they are of the clock, turns are of an epoch, and
the bare loop has its data and noise there, in the layout that is fastest for convolutions. It is never compiled.
"""

import argparse
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from trainables.data.loading import load_splits
from trainables.distributions.likelihoods import LOG_VARIANCE_RANGE
from trainables.run import Run
from trainables.train import Training, build, train

CASES = {
    "ARD net, 32x32, L=16, batch 100": ({"name": "ard_mnist", "latent_dim": 16}, (1, 32, 32), 100, 4),
    "MLP 3x256, 28x28, batch 100": ({"name": "mlp", "hidden": [256, 256, 256], "latent_dim": 8}, (1, 28, 28), 100, 30),
    "MLP 10-10-10, 2-D, batch 10": ({"name": "mlp", "hidden": [10, 10, 10], "latent_dim": 2}, (2,), 10, 200),
    "MLP 10-10-10, 2-D, batch 100": ({"name": "mlp", "hidden": [10, 10, 10], "latent_dim": 2}, (2,), 100, 200),
    "ARD net, ImageNet-32, L=256, batch 100": ({"name": "ard_cifar10", "latent_dim": 256}, (3, 32, 32), 100, 100),
    "ARD net, ImageNet-32, L=256, batch 1000": ({"name": "ard_cifar10", "latent_dim": 256}, (3, 32, 32), 1000, 20),
}
ON_A_CPU = list(CASES)[:4]
VAL_ROWS = 100
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


def a_run(folder, case, epochs, **changes) -> Run:
    """A run on rows of noise."""
    network, shape, batch, steps = CASES[case]
    rows, rng = batch * steps + VAL_ROWS, np.random.default_rng(0)
    images = len(shape) == 3
    x = rng.integers(0, 256, (rows, *shape), dtype=np.uint8) if images else rng.normal(size=(rows, *shape))
    file = folder / "x.npy"
    np.save(file, x if images else x.astype(np.float32))
    data = {"name": "array", "path": str(file), "val_fraction": VAL_ROWS / rows}
    values = {"method": {"name": "vae"}, "network": network, "data": data, "batch_size": batch, "epochs": epochs}
    return Run.model_validate(values | changes)


def bare_loop(run: Run, fused: bool) -> Iterator[None]:
    """Takes a step whenever it is asked for the next item, without end."""
    splits = load_splits(run.data)
    vae = build(run, splits).vae.to(DEVICE, memory_format=torch.channels_last if ON_GPU else torch.preserve_format)
    encoder, decoder = vae.encoder, vae.decoder
    x_all = splits.train.x.index_select(0, torch.arange(len(splits.train))).to(DEVICE)
    optimizer = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], lr=run.optimizer.lr, eps=run.optimizer.eps, fused=fused
    )
    while True:
        for index in torch.randperm(len(x_all)).split(run.batch_size):
            x = x_all[index.to(DEVICE)]
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=run.precision == "bf16"):
                mean, log_variance = encoder(x).float().chunk(2, dim=1)
                log_variance = log_variance.clamp(*LOG_VARIANCE_RANGE)
                z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
                raw = decoder(z).float()
            decoded = torch.sigmoid(raw) if x.ndim == 4 else raw
            kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
            loss = ((x - decoded).square().flatten(1).sum(1) + kl).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            yield


def now() -> float:
    """The time in seconds, once the device is done."""
    if ON_GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class Turns:
    """The progress of train(run): after each of its steps it takes one of each bare loop, and times all."""

    def __init__(self, loops: list[Iterator[None]]):
        self.loops = loops
        self.seconds = [0.0] * (1 + len(loops))  # of train(run) and of each loop, since `restart`
        self.due = 0
        self.last = now()

    def __call__(self, done: int, steps: int) -> None:
        self.due += done > 0
        if self.due and (done == steps or not ON_GPU):
            self._count(0)
            for number, loop in enumerate(self.loops, start=1):
                for _ in range(self.due):
                    next(loop)
                self._count(number)
            self.due = 0

    def restart(self) -> tuple[float, ...]:
        """The seconds until now; counts anew."""
        self._count(0)
        found, self.seconds = tuple(self.seconds), [0.0] * len(self.seconds)
        return found

    def _count(self, number: int) -> None:
        before, self.last = self.last, now()
        self.seconds[number] += self.last - before


def measure(run: Run) -> list[tuple[float, ...]]:
    """Seconds of an epoch of train(run), of the bare loop and of that with fused Adam, for each epoch but the first."""
    turns = Turns([bare_loop(run, fused=False), bare_loop(run, fused=True)])
    return [turns.restart() for _ in train(run, progress=turns)][1:]


def ratios(ours: list[float], bare: list[float]) -> str:
    """Images per second of train(run) as a share of those of a bare loop: least, median and greatest."""
    least, *_, greatest = found = sorted(theirs / mine for mine, theirs in zip(ours, bare, strict=True))
    return f"{least:.2f}, **{statistics.median(found):.2f}**, {greatest:.2f}"


def main() -> None:
    torch.set_num_threads(1)
    Training.validate = lambda self, *_: {"val/loss": 0.0}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES) if ON_GPU else ON_A_CPU)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--precision", nargs="+", choices=["fp32", "tf32", "bf16"], default=["fp32"])
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    print(
        "| case | precision | images/s of train(run) | ratio to default Adam (min, median, max) | ratio to fused Adam |"
    )
    print("| --- | --- | ---: | ---: | ---: |")
    for precision, case in itertools.product(options.precision, options.cases):
        with tempfile.TemporaryDirectory() as folder:
            run = a_run(Path(folder), case, options.repeats + 1, precision=precision, compile=options.compile)
            ours, default, fused = zip(*measure(run), strict=True)
        images = math.prod(CASES[case][2:]) / statistics.median(ours)
        how = f"{precision}, compiled" if options.compile else precision
        print(f"| {case} | {how} | {images:,.0f} | {ratios(ours, default)} | {ratios(ours, fused)} |", flush=True)


if __name__ == "__main__":
    main()
