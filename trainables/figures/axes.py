"""Numbers for each latent axis of a trained model: its variance and its relevance."""

# Shapes: L latent axes.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.distributions.priors import ARD
from trainables.evaluations.context import EvaluationContext


@dataclass(frozen=True)
class Profile:
    """The axes of a model, each number in the order of the axes."""

    variance_L: np.ndarray
    """ARD-VAE's estimate b/a (equation 18); of other models the second moment of the codes about zero."""
    score_L: np.ndarray
    """The relevance score (equation 20)."""


def profile(seen: EvaluationContext, seed: int = 0) -> Profile:
    """Variance and relevance of each axis, the latter as the evaluation `active` has it."""
    found, prior = seen.relevance(seed), seen.vae.prior
    variance_L = prior.variance_D if isinstance(prior, ARD) else found.variance_D
    return Profile(variance_L.double().cpu().numpy(), found.score_D.cpu().numpy())
