"""VampPrior-VAE: its prior is the mixture of the posteriors of trained pseudo inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule, torch
from trainables.methods.base import Setting
from trainables.methods.mixture_prior import MixturePrior

if TYPE_CHECKING:
    from trainables.distributions.mixtures import Vamp

mixtures = LazyModule("trainables.distributions.mixtures")


class VampVAE(MixturePrior):
    """VAE with the prior 1/C sum_c q(y|u_c); the C pseudo inputs u_c are trained with the rest.

    They are encoded with batch norm's running statistics, which they do not update. The official code normalises them
    with their own batch's statistics, which also enter the running ones; that is not followed, as the prior that is
    trained would not be the one that generates.

    Loss: nll + beta (log q(y|x) - log p(y)), from one sample.
    """

    name: Literal["vamp_vae"] = "vamp_vae"
    components: PositiveInt = 500
    """Number of pseudo inputs C: 500 for images, 10 or 30 in the code's notebooks."""
    pseudo_inputs: Literal["rows", "normal"] = "rows"
    """rows: they start at training rows and are clipped to the data's range, as Tomczak & Welling's are; normal: they
    start at draws from N(0, 1) and are not clipped, as in Intel-VAE's code."""
    source: ClassVar[str] = "Tomczak & Welling 2018; Intel-VAE, section 6.2 (baseline) and its code"

    def prior(self, setting: Setting) -> Vamp:
        start_KX, span = setting.examples_BX, setting.data_range
        if self.pseudo_inputs == "normal":
            start_KX, span = torch.randn(self.components, *setting.shape), None
        return mixtures.Vamp(setting.latent_dim, self.components, start_KX, span, setting.encode)
