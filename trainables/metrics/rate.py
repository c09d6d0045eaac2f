"""Rate: the nats that a code carries, KL(q(y|x) || p(y)), and a surrogate for deterministic encoders."""

# Shapes: B rows of this worker's share of a batch, X data dimensions, D dimensions of the code y.

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainables.common.errors import Undefined
from trainables.distributions.divergences import CLOSED_FORMS, sampled_kl
from trainables.distributions.posteriors import Point, Posterior
from trainables.distributions.priors import Normal, Prior
from trainables.footprint import bytes_of
from trainables.model import VAE
from trainables.noise import Noise
from trainables.sums import Sums

DRAWS = 64  # samples of a code where the KL has no closed form
INPUT_SD = 0.0088  # sd of WAE's pixel noise, in the data's units: N(0, 0.01^2) truncated at two standard deviations
RIDGE = 1e-10
JACOBIAN_BYTES = 128 << 20  # bound of the encoder's activations and their derivatives in memory at once


def statistics(
    vae: VAE,
    x_BX: Tensor,
    noise: Noise,
    draws: int = DRAWS,
    prior: Prior | None = None,
    encode: Callable[[Tensor], Posterior] | None = None,
) -> Sums:
    """The sum of these rows' rates in nats, and the number of rows: additive over batches and workers.

    Named `rate`, or `surrogate_rate` for a deterministic encoder, which has no rate: its surrogate propagates the pixel
    noise of WAE's training through the encoder, see `surrogate`. `prior` and `encode` replace the model's own.
    """
    vae.eval()
    prior = prior or vae.prior
    with torch.no_grad():
        q = (encode or vae.encode)(x_BX)
    if isinstance(q, Point):
        rate = {"surrogate_rate": surrogate(vae, x_BX, noise, draws).sum()}
    else:
        closed = CLOSED_FORMS.get((type(q), type(prior)))
        with torch.no_grad():
            rate_B = closed(q, prior) if closed else sampled_kl(q, prior, noise, draws)
        rate = {"rate": rate_B.double().sum()}
    return rate | {"rows": torch.tensor(float(len(x_BX)), device=x_BX.device)}


def finish(sums: Sums) -> dict[str, float]:
    """The mean rate, from sums over all rows and workers."""
    return {name: float(value / sums["rows"]) for name, value in sums.items() if name != "rows"}


def surrogate(vae: VAE, x_BX: Tensor, noise: Noise, draws: int = DRAWS) -> Tensor:
    """KL(N(E(x), s^2 J J' + 1e-10 I) || p) of each row, (B,), float64, J the Jacobian of the encoder at x, s = 0.0088.

    In closed form for the prior N(0, I), else from `draws` samples of the code. Of MaskAAE's models only the open axes
    count, as the decoder does not use the others. Raises Undefined where all are closed.
    """
    mean_BD, square_BDD = linearised(vae, x_BX)
    kept_D = open_axes(vae)
    if kept_D is not None:  # only a method with the prior N(0, I) has a mask, so that the axes are independent
        mean_BD, square_BDD = mean_BD[:, kept_D], square_BDD[:, kept_D][:, :, kept_D]
    eye_DD = torch.eye(mean_BD.shape[1], dtype=torch.float64, device=x_BX.device)
    factor_BDD = torch.linalg.cholesky_ex(INPUT_SD**2 * square_BDD + RIDGE * eye_DD)[0]
    if type(vae.prior) is Normal:
        cross_B = 0.5 * (mean_BD.square().sum(1) + factor_BDD.square().sum((1, 2)) + _constant(mean_BD))
    else:
        cross_B = _sampled_cross_entropy(vae.prior, mean_BD, factor_BDD, noise, draws)
    log_root_B = factor_BDD.diagonal(dim1=1, dim2=2).log().sum(1)
    return cross_B - log_root_B - 0.5 * (mean_BD.shape[1] + _constant(mean_BD))


def open_axes(vae: VAE) -> Tensor | None:
    """Mask (D,) of the axes that gates or a mask leave open; None without these. Raises Undefined if all are closed."""
    if not hasattr(vae.mapping, "opened"):
        return None
    kept_D = vae.mapping.opened().bool()
    if not kept_D.any():
        raise Undefined("all axes are closed, so that no code is left: take an earlier checkpoint.")
    return kept_D


def linearised(vae: VAE, x_BX: Tensor) -> tuple[Tensor, Tensor]:
    """The codes (B, D), and J J' (B, D, D), J their Jacobian with respect to the data values; float64."""
    with torch.no_grad():
        mean_BD = vae.encode(x_BX).mean_BD.double()
    jacobians = (jacobian(vae, some_BX) for some_BX in x_BX.split(at_once(vae, x_BX, mean_BD.shape[1])))
    return mean_BD, torch.cat([jacobian_BDX @ jacobian_BDX.mT for jacobian_BDX in jacobians])


def at_once(vae: VAE, x_BX: Tensor, axes: int) -> int:
    """How many rows to differentiate at once within JACOBIAN_BYTES, at least one.

    Reverse mode holds the encoder's activations and their derivatives, and the Jacobian of all axes twice.
    """
    with torch.no_grad():
        activations = bytes_of(lambda: vae.encode(x_BX[:1]).mean_BD)
    return max(1, JACOBIAN_BYTES // max(1, 2 * activations + 2 * 8 * axes * x_BX[:1].numel()))


def jacobian(vae: VAE, x_BX: Tensor) -> Tensor:
    """Derivatives of the codes by the data values, (B, D, X), float64.

    In evaluation mode a row's code does not depend on other rows, so one backward pass per axis serves all rows.
    """
    x_BX = x_BX.detach().requires_grad_()
    with torch.enable_grad():
        mean_BD = vae.encode(x_BX).mean_BD
        rows = [
            torch.autograd.grad(axis_B.sum(), x_BX, retain_graph=True)[0].flatten(1).double() for axis_B in mean_BD.T
        ]
    return torch.stack(rows, 1)


def _constant(mean_BD: Tensor) -> float:
    return mean_BD.shape[1] * math.log(2 * math.pi)


def _sampled_cross_entropy(prior: Prior, mean_BD: Tensor, factor_BDD: Tensor, noise: Noise, draws: int) -> Tensor:
    """-E log p(y), (B,), for y ~ N(mean, factor factor')."""
    total_B = torch.zeros(len(mean_BD), dtype=torch.float64, device=mean_BD.device)
    with torch.no_grad():
        for draw in range(draws):
            eps_BD1 = noise.under("surrogate", draw).normal("code", mean_BD.shape[1]).double()[:, :, None]
            total_B -= prior.log_prob(mean_BD + (factor_BDD @ eps_BD1).squeeze(2))
    return total_B / draws
