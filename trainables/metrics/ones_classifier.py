"""A logistic classifier of MNIST's zeros and ones, applied to generated digits: how many are uncertain, or ones?

Source: Intel-VAE, tables 2 and 3. The paper has no code for it; each docstring states what was decided.
"""

# Shapes: B rows of this worker's share of a batch, N rows, X data values of one row, flattened, K clusters.

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, np, torch
from trainables.metrics.images import unit

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data.base import Range, Rows
    from trainables.model import VAE
    from trainables.sums import Sums

linear_model = LazyModule("sklearn.linear_model")
noises = LazyModule("trainables.noise")

SURE = 0.80  # an image is uncertain if the larger of its two probabilities is below this
DRAWS = 20_000  # prior samples that decide what each cluster decodes to
AT_ONCE = 1000


@dataclass(frozen=True)
class Logistic:
    """P(one | x) = sigmoid(w x + b) of an image whose values are in `data_range`."""

    weight_X: Tensor
    bias: float
    data_range: Range | None

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights, in hex."""
        weights = np.append(self.weight_X.cpu().numpy(), self.bias)
        return hashlib.sha256(weights.tobytes()).hexdigest()

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, for `restored`."""
        return {"weight": self.weight_X, "bias": self.bias, "range": self.data_range}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Logistic:
        """The classifier with this state."""
        return cls(state["weight"], state["bias"], state["range"] and tuple(state["range"]))

    def probability(self, x_BX: Tensor) -> Tensor:
        """P(one | x) of each image, (B,), float64."""
        values_BX = unit(x_BX, self.data_range).flatten(1).double()
        return (values_BX @ self.weight_X.to(values_BX.device) + self.bias).sigmoid()


def fitted(rows: Rows) -> Logistic:
    """Fit a logistic regression (C = 1) to the pixels of zeros and ones, such as `mnist01`. Raises Undefined."""
    labels = set() if rows.y is None else set(rows.y.tolist())
    if labels != {0, 1}:
        raise Undefined("the classifier needs rows labelled 0 and 1, and both of them: use `mnist01`.")
    x_NX = unit(rows.batch(torch.arange(len(rows))), rows.range).flatten(1).numpy().astype(np.float64)
    model = linear_model.LogisticRegression(C=1.0, max_iter=1000).fit(x_NX, rows.y.numpy())
    return Logistic(torch.from_numpy(model.coef_[0]), float(model.intercept_[0]), rows.range)


def statistics(classifier: Logistic, x_BX: Tensor) -> Sums:
    """The counts of uncertain images, of ones, and of all: additive over batches and workers."""
    one_B = classifier.probability(x_BX)
    counts = {"uncertain": torch.maximum(one_B, 1 - one_B) < SURE, "ones": one_B > 0.5, "rows": one_B >= 0}
    return {name: which_B.double().sum() for name, which_B in counts.items()}


def finish(sums: Sums) -> dict[str, float]:
    """The percentages, from sums over all rows and workers."""
    return {
        "uncertainty": float(100 * sums["uncertain"] / sums["rows"]),
        "proportion_of_ones": float(100 * sums["ones"] / sums["rows"]),
    }


def learned_proportion(vae: VAE, classifier: Logistic, seed: int = 0, draws: int = DRAWS) -> dict[str, float]:
    """The prior mass of the clusters that decode to zeros, and the smallest mass of any cluster, both from 0 to 1.

    A cluster decodes to the class that the classifier gives to most of its samples; a cluster without samples counts as
    ones. Where no cluster decodes to zeros, or all do, as for data of one digit, there is no `proportion_of_zeros`:
    which clusters the digits went to cannot be told. Raises Undefined.
    """
    if not hasattr(vae.mapping, "proportions"):
        raise Undefined("the model has no clusters: only `intel_vae` with the mapping `sectors` learns a proportion.")
    vae.eval()
    noise = noises.Noise(seed, "learned proportion", rows=slice(draws), total=draws)
    with torch.no_grad():
        mass_K = vae.mapping.proportions().double().cpu()
        y_ND = vae.prior.sample(noise).to(next(vae.parameters()))
        votes_K = sum(_votes(vae, classifier, y_BD, len(mass_K)) for y_BD in y_ND.split(AT_ONCE))
    zeros_K = votes_K > 0
    both = bool(zeros_K.any() and not zeros_K.all())
    known = {"proportion_of_zeros": float(mass_K[zeros_K].sum())} if both else {}
    return known | {"least_proportion": float(mass_K.min())}


def _votes(vae: VAE, classifier: Logistic, y_BD: Tensor, clusters: int) -> Tensor:
    """Number of zeros minus number of ones among the decoded samples of each cluster, (K,)."""
    one_B = classifier.probability(vae.decode(vae.mapping(y_BD)).mean_BX)
    vote_B = torch.where(one_B > 0.5, -1.0, 1.0).double()
    return torch.bincount(vae.mapping.cluster(y_BD), vote_B, minlength=clusters).cpu()
