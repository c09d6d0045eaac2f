"""What an objective looks at, and what it answers."""

# Shapes: B rows, X data dimensions, D latent dimensions.

from dataclasses import dataclass

from torch import Tensor, nn

from trainables.likelihoods import Likelihood
from trainables.posteriors import Posterior
from trainables.priors import Prior

Terms = dict[str, tuple[float, Tensor]]
"""Name -> (weight, value). A value holds one number per row, (B,), or, for a term of the whole batch, is a scalar ().

The loss of a batch is the sum over terms of weight * (mean over the rows of the whole batch, or the scalar).
"""


@dataclass(frozen=True, slots=True)
class Pass:
    """All that an objective may look at."""

    x_BX: Tensor
    q: Posterior  # q(y|x)
    y_BD: Tensor  # a sample of q
    z_BD: Tensor  # mapping(y)
    decoded: Likelihood  # p(x|z)
    prior: Prior  # p(y)
    mapping: nn.Module
    kl_scale: float  # KL warm-up: 0 at the start of training, 1 once it is over
