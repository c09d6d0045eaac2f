"""Entropy of encoded data, from which follow what codes tell of the data and how far they are from the prior.

Source: VIMAE, sections 3.2 and 5.1, which speaks of h(q(z)), I_q(x; z) and KL(q(z) || p(z)) and estimates none of them.
"""

# Shapes: N codes, D dimensions of the code.

import math

import torch
from torch import Tensor

from trainables.common.errors import Undefined
from trainables.sums import Sums

NEIGHBOUR = 3
ROUNDINGS = 32  # times the rounding of one number: encoders of up to 256 axes add less than 1 (measured)
AT_ONCE = 500  # codes whose distances to all others are held at once


def neighbour_entropy(code_ND: Tensor, k: int = NEIGHBOUR) -> float:
    """Kozachenko and Leonenko's estimate of the entropy in nats, from the distance r_i of each code to its k-th next.

    h = psi(N) - psi(k) + log V_D + D/N sum_i log r_i, V_D the volume of the unit ball (Kraskov et al. 2004, eq. 20).
    Consistent for any density, but too large in many dimensions: with 10,000 codes of N(0, I) by less than 0.1 nats in
    8, 2.3 in 32 and 8.2 in 64 dimensions (measured). Raises Undefined for codes that coincide.
    """
    count, dim = code_ND.shape
    if count <= k:
        raise Undefined(f"{count} codes, {k + 1} needed for a nearest neighbour: use more rows.")
    code_ND = code_ND.double()
    exact = "donot_use_mm_for_euclid_dist"
    radius_N = torch.cat(  # the smallest distance of all is that to itself
        [torch.cdist(some_BD, code_ND, compute_mode=exact).kthvalue(k + 1).values for some_BD in code_ND.split(AT_ONCE)]
    )
    if not (radius_N > 0).all():
        raise Undefined("codes of different rows coincide, so that they have no density and no entropy.")
    log_volume = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    psi = torch.digamma(torch.tensor([float(count), float(k)], dtype=torch.float64))
    return float(psi[0] - psi[1] + log_volume + dim * radius_N.log().mean())


def gaussian_entropy(code_ND: Tensor) -> float:
    """The entropy in nats of the Gaussian with the codes' covariance: no density with that covariance has more.

    Raises Undefined for codes that fill fewer dimensions than D, apart from rounding.
    """
    count, dim = code_ND.shape
    if count <= dim:
        raise Undefined(f"{count} codes, {dim + 1} needed for a covariance of {dim} dimensions: use more rows.")
    log_sd_D, value_D = scales(code_ND)
    if not filled(code_ND, log_sd_D, value_D):
        raise Undefined("codes fill fewer dimensions than the code has, so that they have no density and no entropy.")
    return float(log_sd_D.sum() + 0.5 * (value_D.log().sum() + dim * math.log(2 * math.pi * math.e)))


def scales(code_ND: Tensor) -> tuple[Tensor, Tensor]:
    """The log standard deviation of each axis, and the eigenvalues of the correlations, in ascending order; float64.

    No correlation is defined for a constant axis, whose log standard deviation is -inf.
    """
    centred_ND = code_ND.double() - code_ND.double().mean(0)
    sd_D = centred_ND.square().sum(0).div(len(code_ND) - 1).sqrt()
    whitened_ND = centred_ND / torch.where(sd_D > 0, sd_D, 1.0)
    return sd_D.log(), torch.linalg.eigvalsh(whitened_ND.T @ whitened_ND / (len(code_ND) - 1))


def filled(code_ND: Tensor, log_sd_D: Tensor, value_D: Tensor) -> bool:
    """Whether the smallest eigenvalue is above what rounding makes of 0.

    An encoder rounds each code relative to its size, which adds noise of about `eps` times that size, in units of the
    axis's standard deviation, to all directions; eigenvalues of float64 have an error themselves.
    """
    size_D = code_ND.double().square().mean(0).sqrt() / log_sd_D.exp()
    of_codes = (ROUNDINGS * torch.finfo(code_ND.dtype).eps * size_D.max()).square()
    of_values = ROUNDINGS * len(value_D) * torch.finfo(torch.float64).eps * value_D[-1]
    return bool(log_sd_D.isfinite().all() and value_D[0] > torch.maximum(of_codes, of_values))


def information(code_ND: Tensor, sums: Sums) -> dict[str, float]:
    """What follows from either entropy h(q(z)), in nats.

    `mutual_information` I_q = h(q(z)) - h(q(z|x)), if `sums` has h(q(z|x)); `kl_marginal` = -h(q(z)) - E log p(z).
    With `_gaussian` at their end, from `gaussian_entropy`: an upper bound of I_q and a lower bound of the KL.

    Args:
        sums: over all rows and workers: `log_prior`, `rows` and perhaps `conditional`, h(q(z|x)).
    """
    log_prior = float(sums["log_prior"] / sums["rows"])
    numbers = {}
    for suffix, entropy in (("", neighbour_entropy(code_ND)), ("_gaussian", gaussian_entropy(code_ND))):
        numbers[f"entropy{suffix}"] = entropy
        if "conditional" in sums:
            numbers[f"mutual_information{suffix}"] = entropy - float(sums["conditional"] / sums["rows"])
        numbers[f"kl_marginal{suffix}"] = -entropy - log_prior
    return numbers
