"""Images per second of train(run) against a bare PyTorch loop of the same network and batch.

    python benchmarks/training_throughput.py [--cases NAME ...] [--repeats N] [--precision fp32|tf32|bf16] [--fused]

Both are timed alternately in one process; the ratio is per pair, and the median is printed. The bare loop is a minimal
hand-written one: index a tensor, forward, loss, backward, torch's default Adam, without checks or sums. train(run) uses
fused Adam; with --fused so does the bare loop. Both are without validation.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from trainables.data.loading import load_splits
from trainables.run import Run
from trainables.train import Training, build, train

CASES = {
    "ARD net, 32x32, L=16, batch 100": ({"name": "ard_mnist", "latent_dim": 16}, (1, 32, 32), 100, 10),
    "MLP 3x256, 28x28, batch 100": ({"name": "mlp", "hidden": [256, 256, 256], "latent_dim": 8}, (1, 28, 28), 100, 150),
    "MLP 10-10-10, 2-D, batch 10": ({"name": "mlp", "hidden": [10, 10, 10], "latent_dim": 2}, (2,), 10, 600),
    "ARD net, ImageNet-32, L=256, batch 100": ({"name": "ard_cifar10", "latent_dim": 256}, (3, 32, 32), 100, 200),
    "ARD net, ImageNet-32, L=256, batch 1000": ({"name": "ard_cifar10", "latent_dim": 256}, (3, 32, 32), 1000, 40),
}
ON_A_CPU = list(CASES)[:3]
VAL_ROWS = 100


def a_run(folder, network, shape, batch, steps, precision) -> Run:
    """A run of two epochs, the first as warm-up, on rows of noise."""
    rows, rng = batch * steps + VAL_ROWS, np.random.default_rng(0)
    images = len(shape) == 3
    x = rng.integers(0, 256, (rows, *shape), dtype=np.uint8) if images else rng.normal(size=(rows, *shape))
    file = folder / "x.npy"
    np.save(file, x if images else x.astype(np.float32))
    data = {"name": "array", "path": str(file), "val_fraction": VAL_ROWS / rows}
    values = {"method": {"name": "vae"}, "network": network, "data": data, "batch_size": batch, "epochs": 2}
    return Run.model_validate(values | {"precision": precision})


def seconds_of_train(run: Run) -> float:
    """Seconds of the second epoch, without validation."""
    _, second = (report.seconds for report in train(run))
    return second


def seconds_of_bare_loop(run: Run, fused: bool) -> float:
    """Seconds of the second of two epochs of the bare loop."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    splits = load_splits(run.data)
    vae = build(run, splits).vae.to(device)
    encoder, decoder, x_all = vae.encoder, vae.decoder, splits.train.x.index_select(0, torch.arange(len(splits.train)))
    optimizer = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], lr=run.optimizer.lr, eps=1e-7, fused=fused
    )
    for _ in range(2):
        started = time.perf_counter()
        for index in torch.randperm(len(x_all)).split(run.batch_size):
            x = x_all[index].to(device)
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=run.precision == "bf16"):
                mean, log_variance = encoder(x).float().chunk(2, dim=1)
                z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
                raw = decoder(z).float()
            decoded = torch.sigmoid(raw) if x.ndim == 4 else raw
            kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
            loss = ((x - decoded).square().flatten(1).sum(1) + kl).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    import tempfile
    from pathlib import Path

    Training.validate = lambda self: {"val/loss": 0.0}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, default=list(CASES) if torch.cuda.is_available() else ON_A_CPU
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    parser.add_argument("--fused", action="store_true", help="the fused optimiser for the bare loop as well")
    options = parser.parse_args()
    print("| case | images/s of train(run) | images/s of the bare loop | ratio (min, median, max) |\n|---|---|---|---|")
    for case in options.cases:
        network, shape, batch, steps = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            run = a_run(Path(folder), network, shape, batch, steps, options.precision)
            pairs = [(seconds_of_train(run), seconds_of_bare_loop(run, options.fused)) for _ in range(options.repeats)]
        ratios = sorted(bare / ours for ours, bare in pairs)
        ours, bare = (batch * steps / statistics.median(column) for column in zip(*pairs, strict=True))
        spread = f"{ratios[0]:.2f}, **{statistics.median(ratios):.2f}**, {ratios[-1]:.2f}"
        print(f"| {case}, {options.precision} | {ours:,.0f} | {bare:,.0f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
