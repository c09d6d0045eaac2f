"""Ex-post density estimation: fits a mixture of Gaussians to a trained autoencoder's codes, to generate from it."""

# Shapes: N rows of the data, B rows of generated data, L latent dimensions, K components.

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.common.errors import Undefined
from trainables.data import Rows
from trainables.model import VAE
from trainables.noise import Noise, seed_of

ROWS_AT_ONCE = 1000
LARGEST_SEED = 2**32  # scikit-learn's seeds are below this


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture: weights, means, and Cholesky factors R of the covariances R R^T."""

    weight_K: Tensor
    mean_KL: Tensor
    root_KLL: Tensor

    @classmethod
    def of(cls, fitted: dict[str, Tensor], like: Tensor) -> "Mixture":
        """The mixture that `fit` has found, in the precision and on the device of `like`."""
        root_KLL = torch.linalg.cholesky(fitted["covariance_KLL"])
        return cls(fitted["weight_K"].to(like), fitted["mean_KL"].to(like), root_KLL.to(like))

    def sample(self, noise: Noise) -> Tensor:
        """One sample (B, L) for each of the noise's rows."""
        eps_BL = noise.normal("prior", self.mean_KL.shape[1])
        uniform_B = noise.uniform("component").to(self.weight_K)
        k_B = torch.bucketize(uniform_B, self.weight_K.cumsum(0)[:-1], right=True)
        z_BL = self.mean_KL[k_B]
        for k, root_LL in enumerate(self.root_KLL):  # by component: a factor per row would not fit in memory
            z_BL[k_B == k] += eps_BL[k_B == k] @ root_LL.T
        return z_BL


@torch.no_grad()
def encodings(vae: VAE, rows: Rows) -> Tensor:
    """The representations (N, L) of all rows, in evaluation mode, on this worker alone."""
    vae.eval()
    device, dtype = next(vae.parameters()).device, torch.get_default_dtype()
    pieces = torch.arange(len(rows)).split(ROWS_AT_ONCE)
    return torch.cat([vae.represent(rows.batch(piece).to(device, dtype)) for piece in pieces])


def fit(z_NL: Tensor, components: int, seed: int) -> dict[str, Tensor]:
    """Fit a mixture with full covariances by expectation maximisation (RAE's code: 10 components), in float64.

    Raises Undefined where a code is not finite, or so large that a covariance has no Cholesky factor.
    """
    if not z_NL.isfinite().all():
        raise Undefined("codes are not finite: look at the model's loss.")
    from sklearn.mixture import GaussianMixture  # slow to load, and only this needs it

    state = seed_of(seed, "mixture") % LARGEST_SEED
    mixture = GaussianMixture(components, max_iter=2000, tol=1e-3, random_state=state)
    try:
        found = mixture.fit(z_NL.double().cpu().numpy())
    except ValueError:  # a covariance has no Cholesky factor in float64
        raise Undefined("no Gaussians fit the codes: look at the model's loss.") from None
    parts = {"weight_K": found.weights_, "mean_KL": found.means_, "covariance_KLL": found.covariances_}
    return {name: torch.from_numpy(value) for name, value in parts.items()}
