"""GECO-L0-ARM-VAE: gates on the latent axes find the fewest axes that reconstruct well enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat

from trainables.common.lazy import LazyModule, nn, torch
from trainables.methods.base import Method, Phase, Setting, divergences, posteriors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.likelihoods import Likelihood
    from trainables.distributions.posteriors import Gaussian
    from trainables.model import VAE, Pass
    from trainables.sums import Sums
    from trainables.terms import Terms

gates = LazyModule("trainables.methods.modules.gates")
sums = LazyModule("trainables.sums")


class GecoL0ArmVAE(Method):
    """VAE that closes as many axes as it can while its mean reconstruction error stays below `tau`.

    min over networks and gates, max over lambda: KL of the open axes + ||nu||_0 + lambda (mean nll - tau). All gates
    are open, and ||nu||_0 has weight 0, until the moving average of the constraint is at most 0 for the first time.
    ARD-VAE's runs of it have `optimizer: {lr: 5e-4}` without a plateau, and squared errors.

    Loss: lambda (mean nll - tau) + KL of the open axes + the expected number of open gates, lambda maximised.
    """

    name: Literal["geco_l0_arm_vae"] = "geco_l0_arm_vae"
    tau: PositiveFloat = 10.0
    """Largest mean reconstruction term per row: squared errors summed over pixels. ARD-VAE's supplement: MNIST 10,
    CelebA 300, CIFAR10 25, ImageNet 15."""
    k: PositiveFloat = 1.0
    """Steepness of the gates: one is open with probability sigmoid(k g), and its g starts at 3 / k. Adam moves g by
    about 5 % of the learning rate in a step, so that closing gates takes some 60 / (k lr) steps: 120,000 at 5e-4, or
    17,000 with the 7 of L0-ARM's code."""
    source: ClassVar[str] = "De Boom et al. 2020; ARM: Yin & Zhou 2019, Li & Ji 2019"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "l0", "allowance")
    own_metrics: ClassVar[tuple[str, ...]] = ("gates_open", "multiplier")

    def map(self, latent_dim: int) -> nn.Module:
        return gates.Gates(latent_dim, self.k)

    def extras(self, setting: Setting) -> nn.Module:
        return gates.Multiplier()

    def terms(self, seen: Pass) -> Terms:
        """`l0` is the expected number of open gates; `allowance`, lambda tau, has the gradient that updates lambda."""
        state = seen.vae.extras
        multiplier = state().detach().double()
        if seen.vae.training and state.was_met():
            nll_B, kl_B, l0 = sampled_terms(seen, multiplier)
        else:
            nll_B, kl_B = costs(seen, seen.decoded, seen.vae.mapping.opened())
            l0 = seen.vae.mapping.expected()
        average = state.average_with(self.constraint({"nll": nll_B.sum()}, seen.noise.total))
        return {
            "nll": (multiplier, nll_B),
            "kl": (seen.kl_scale, kl_B),
            "l0": (state.met.double(), l0),
            "allowance": (-1.0, state.lifted(self.tau, average)),
        }

    def constraint(self, mine: Sums, rows: int) -> Tensor:
        """C = mean nll - tau of the whole batch of `rows`, from this worker's sums, float64."""
        return sums.all_reduce({"nll": mine["nll"]})["nll"] / rows - self.tau

    def after_step(self, vae: VAE, phase: Phase, mine: Sums, rows: int) -> None:
        vae.extras.absorb(self.constraint(mine, rows))

    def proposal(self, vae: VAE, x_BX: Tensor) -> Gaussian:
        """q(y|x), with the prior on closed axes, as neither the decoder nor a KL constrains the posterior there."""
        return narrowed(vae.encode(x_BX), vae.mapping.opened())


def sampled_terms(seen: Pass, multiplier: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction, KL and L0, (B,) each, at gates sampled for this step.

    The gradient of L0 with respect to the gates includes ARM's estimate for the other two.
    """
    vae, gates = seen.vae, seen.vae.mapping
    u_L = seen.noise.shared().uniform("gates", vae.latent_dim)[0]
    open_L = gates.sampled(u_L)
    nll_B, kl_B = costs(seen, vae.decode(seen.y_BD * open_L), open_L)
    with torch.no_grad():
        open_L = gates.mirrored(u_L)
        other_nll_B, other_kl_B = costs(seen, vae.decode(seen.y_BD * open_L), open_L)
    excess_B = multiplier * (other_nll_B - nll_B) + seen.kl_scale * (other_kl_B - kl_B)
    return nll_B, kl_B, gates.expected() + gates.surrogate(u_L, excess_B)


def costs(seen: Pass, decoded: Likelihood, open_L: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruction and KL, (B,) each, if only these gates are open; `decoded` is p(x|z) of the gated code."""
    return decoded.nll(seen.x_BX), divergences.kl(narrowed(seen.q, open_L), seen.vae.prior, seen.drawn)


def narrowed(q: Gaussian, open_L: Tensor) -> Gaussian:
    """q with N(0, 1) on the closed axes, so that their KL to the prior is 0."""
    return posteriors.Gaussian(q.mean_BD * open_L, q.log_variance_BD * open_L)
