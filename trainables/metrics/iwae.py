"""The importance-weighted lower bound of the log-likelihood, which gets tighter with the number of draws."""

# Shapes: B rows of this worker's share of a batch, X data dimensions, K draws for each row.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data import Rows
    from trainables.learner import Learner
    from trainables.noise import Noise

noises = LazyModule("trainables.noise")
sums = LazyModule("trainables.sums")


def iwae(learner: Learner, rows: Rows, k: int, seed: int = 0, batch_size: int = 100) -> float:
    """Mean over `rows` and workers of log 1/k sum_k p(x|y_k) p(y_k) / q(y_k|x), y_k ~ q(y|x), in nats per row.

    In expectation it is the ELBO at k = 1, rises with k and tends to log p(x) (Burda et al. 2016, theorem 1). It
    includes all constants of the likelihood, so that likelihoods on the same data compare; a Bernoulli likelihood
    treats grey values as probabilities. Memory grows with k only by one number per row and draw.
    Raises Undefined.
    """
    learner.eval()
    device = next(learner.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            index = torch.arange(start, min(start + batch_size, len(rows)))
            mine = sums.share(len(index))
            x_BX = rows.batch(index[mine], device).to(torch.get_default_dtype())
            noise = noises.Noise(seed, "iwae", start, rows=mine, total=len(index), device=device)
            total += log_likelihood(learner, x_BX, noise, k).sum()
    return float(sums.all_reduce({"total": total})["total"]) / len(rows)


def log_likelihood(learner: Learner, x_BX: Tensor, noise: Noise, k: int) -> Tensor:
    """The estimate for each row, (B,), float64. The model is in evaluation mode. Raises Undefined."""
    method, vae = learner.method, learner.vae
    q = method.proposal(vae, x_BX)
    weights = []
    for number in range(k):
        drawn = q.draw(noise.under(number))
        if drawn.log_q is None:
            raise Undefined(f"the posterior of '{method.name}' has no density: use a method that has one.")
        log_joint_B = vae.decode(vae.mapping(drawn.y_BD)).log_prob(x_BX) + vae.prior.log_prob(drawn.y_BD)
        weights.append((log_joint_B - drawn.log_q()).double())
    return torch.stack(weights).logsumexp(0) - math.log(k)
