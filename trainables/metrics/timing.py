"""The time that ARD-VAE needs to encode a new D_z and update its prior (ARD-VAE, supplement, table 3)."""

# Shapes: B rows of a batch, X data dimensions, D dimensions of the code.

from __future__ import annotations

import statistics
import time
from copy import deepcopy
from typing import TYPE_CHECKING

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data import Rows
    from trainables.distributions.priors import Prior
    from trainables.learner import Learner
    from trainables.metrics.provenance import Settings

noises = LazyModule("trainables.noise")
sums = LazyModule("trainables.sums")

ROWS = 10_000
BATCH = 100
REPEATS = 10


def dz_seconds(
    learner: Learner, rows: Rows, most: int = ROWS, batch: int = BATCH, repeats: int = REPEATS, seed: int = 0
) -> dict[str, float]:
    """`dz_seconds`, the median of `repeats` after a warm-up, `dz_seconds_min`, and `dz_rows`, the rows encoded.

    Wall-clock time of this worker alone: the first `most` rows are copied from the host's memory to the model's device
    in batches, encoded in evaluation mode and sampled; their squares are summed; the prior's b is updated and copied
    back to the host. The model is not changed. Raises Undefined.
    """
    prior = deepcopy(learner.vae.prior)
    if not hasattr(prior, "statistics"):
        raise Undefined("the prior is not made of encoded data: only `ard_vae` has a D_z.")
    count = min(most, len(rows))
    parts = [rows.batch(index) for index in torch.arange(count).split(batch)]
    modes = {module: module.training for module in learner.modules()}
    try:
        times = [_once(learner, prior, parts, seed) for _ in range(1 + repeats)][1:]
    finally:
        for module, training in modes.items():
            module.training = training
    return {"dz_seconds": statistics.median(times), "dz_seconds_min": min(times), "dz_rows": float(count)}


def machine(device: torch.device) -> Settings:
    """What times depend on besides the model: torch's name of the device, and this process's number of threads."""
    processor = f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    return ("device", name), ("threads", torch.get_num_threads())


def _once(learner: Learner, prior: Prior, parts: list[Tensor], seed: int) -> float:
    """Seconds of one update. The copy of b to the host waits until the device is done."""
    like = next(learner.parameters())
    started = time.perf_counter()
    found = []
    for number, x_BX in enumerate(parts):
        noise = noises.Noise(seed, "timing", number, rows=slice(len(x_BX)), total=len(x_BX), device=like.device)
        found.append(learner.statistics(x_BX.to(like.device, like.dtype), noise))
    prior.absorb(sums.add(found))
    prior.b_D.cpu()
    return time.perf_counter() - started
