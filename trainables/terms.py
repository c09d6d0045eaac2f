"""What an objective looks at, and what it answers."""

# Shapes: B rows, X data dimensions, D dimensions of the code y, L latent dimensions of z.

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from trainables.distributions.likelihoods import Likelihood
from trainables.distributions.posteriors import Draw, Posterior
from trainables.noise import Noise

if TYPE_CHECKING:
    from trainables.model import VAE

Terms = dict[str, tuple[float, Tensor]]
"""Name -> (weight, value). A value holds one number per row, (B,), or, for a term of the whole batch, is a scalar ().

The loss of a batch is the sum over terms of weight * (mean over the rows of the whole batch, or the scalar).
"""


@dataclass(frozen=True)
class Pass:
    """One batch seen through a model: all that an objective may look at."""

    vae: "VAE"
    x_BX: Tensor
    noise: Noise
    q: Posterior  # q(y|x)
    drawn: Draw  # a sample y of q
    z_BL: Tensor  # mapping(y)
    kl_scale: float = 1.0  # KL warm-up: 0 at the start of training, 1 once it is over
    phase: str = "all"  # the kind of gradient step that this is

    @property
    def y_BD(self) -> Tensor:
        return self.drawn.y_BD

    @cached_property
    def decoded(self) -> Likelihood:
        """p(x|z), computed where it is asked for: not every phase needs it."""
        return self.vae.decode(self.z_BL)
