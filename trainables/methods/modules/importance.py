"""The importance-weighted bound as an objective: several codes of each row, weighed by how well they explain it."""

# Shapes: B rows, K codes of each row, M = K B codes, X data dimensions, L latent dimensions.

import torch
from torch import Tensor

from trainables.model import Pass
from trainables.terms import Terms


def weighted(seen: Pass, samples: int, reconstruction_weight: float) -> tuple[Terms, Tensor]:
    """Terms whose gradient is that of -log 1/K sum_k w_k, w_k = p(x|y_k) p(y_k) / q(y_k|x); and all latents (M, L).

    Their values are the means of reconstruction and rate, (B,) each, with the normalised w_k for weights, which carry
    no gradient. The decoder, and its batch norm, sees the codes of all rows at once.
    Source: Burda et al. 2016, equation 14.
    """
    draws = [seen.q.draw(seen.noise.under("importance", number)) for number in range(samples)]
    z_ML = torch.cat([seen.vae.mapping(drawn.y_BD) for drawn in draws])
    x_MX = torch.cat([seen.x_BX] * samples)
    nll_KB = seen.vae.decode(z_ML).nll(x_MX).view(samples, -1)
    rate_KB = torch.stack([drawn.log_q() - seen.vae.prior.log_prob(drawn.y_BD) for drawn in draws])
    share_KB = (-reconstruction_weight * nll_KB - seen.kl_scale * rate_KB).softmax(0).detach()
    return {
        "nll": (reconstruction_weight, (share_KB * nll_KB).sum(0)),
        "kl": (seen.kl_scale, (share_KB * rate_KB).sum(0)),
    }, z_ML
