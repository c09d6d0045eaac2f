"""VIMAE, the Variational InfoMax Autoencoder: the prior, not the rate, bounds a code's capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeInt

from trainables.methods.base import Setting, priors
from trainables.methods.wae_mmd import WAEMMD, mmd

if TYPE_CHECKING:
    from trainables.distributions.mmd import Discrepancy
    from trainables.distributions.priors import Prior


class VIMAE(WAEMMD):
    """WAE-MMD with noisy input, a pre-trained encoder, and a prior of unit variance: normal or logistic.

    Section 5 halves the learning rate after 30 epochs and divides it by 5 after 50: `optimizer.schedule`.

    Loss: w nll + lam MMD(codes of a batch, p(z)), with z = E(x + noise); w is `reconstruction_weight`.
    """

    name: Literal["vimae"] = "vimae"
    prior_form: Literal["normal", "logistic"] = "normal"
    """Form of the prior: VIMAE-n or VIMAE-l. The logistic has 0.0144 nats per axis less capacity."""
    kernel: Literal["imq", "rbf"] = "imq"
    """imq: WAE's kernels, unbiased, to which lambda refers; rbf: Zhao's kernel, biased, with 200 prior samples."""
    pretraining_steps: NonNegativeInt = 200
    """Largest number of initial steps that match the codes' mean and covariance to the prior's, as in WAE's code."""
    source: ClassVar[str] = "VIMAE, sections 4 and 5, equation 7"

    def prior(self, setting: Setting) -> Prior:
        return priors.UNIT_VARIANCE[self.prior_form](setting.latent_dim)

    def discrepancy(self) -> Discrepancy:
        return mmd.DISCREPANCIES[self.kernel]
