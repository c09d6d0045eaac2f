"""How long ARD-VAE's prior takes to make: the cost of a fresh D_z (ARD-VAE, supplement, table 3)."""

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
    """`dz_seconds`, in the median of `repeats` after one to warm up, `dz_seconds_min`, and `dz_rows` that were encoded.

    Timed by the wall: the first `most` rows, in the host's memory, go to the model's device in batches, are encoded in
    evaluation mode and sampled; their squares are summed; the prior gets its b; b comes back to the host. It is the
    time of this worker alone, and the model stays as it is. Raises Undefined.
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
    """What times depend on beside the model: torch's name of the device, and the threads of this process."""
    processor = f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    return ("device", name), ("threads", torch.get_num_threads())


def _once(learner: Learner, prior: Prior, parts: list[Tensor], seed: int) -> float:
    """Seconds. The copy of b to the host waits for all that the device still does."""
    like = next(learner.parameters())
    started = time.perf_counter()
    found = []
    for number, x_BX in enumerate(parts):
        noise = noises.Noise(seed, "timing", number, rows=slice(len(x_BX)), total=len(x_BX), device=like.device)
        found.append(learner.statistics(x_BX.to(like.device, like.dtype), noise))
    prior.absorb(sums.add(found))
    prior.b_D.cpu()
    return time.perf_counter() - started
