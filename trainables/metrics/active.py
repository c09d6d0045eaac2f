"""How many axes carry the relevance: by the score or the weight alone, in both forms, at several shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.common.lazy import LazyModule

if TYPE_CHECKING:
    from trainables.sums import Sums

relevance = LazyModule("trainables.relevance")

SHARES = {"95": 0.95, "99": 0.99, "99.9": 0.999}
FORMS = {"active": "square_mean_abs", "active_eq19": "mean_square"}
"""Name of the number -> the published code's weight, and that of the paper's equation 19."""
ALONE = {"active_w": "square_mean_abs", "active_w_eq19": "mean_square"}
"""The same two, not multiplied by the second moment of the encoded data."""


def active_counts(moments: Sums, sensitivity: Sums) -> dict[str, float]:
    """`active_99` and the like, by the published code's weight, and `active_eq19_99` by the paper's.

    `active_w_99` and `active_w_eq19_99` count by the weight alone, without the variance of an axis: so ARD-VAE's text
    reads for the methods that it compares with (supplement, table 13). All are 0 of a collapsed model.

    Args:
        moments: of `trainables.relevance.moments`, over all rows and workers.
        sensitivity: of `trainables.relevance.sensitivity`, likewise.
    """
    scores = {name: relevance.relevance(moments, sensitivity, form).score_D for name, form in FORMS.items()}
    scores |= {name: relevance.weight(sensitivity, form) for name, form in ALONE.items()}
    counted = not relevance.collapsed(moments)
    return {
        f"{name}_{label}": counted * float(relevance.fewest(score_D, share).sum())
        for name, score_D in scores.items()
        for label, share in SHARES.items()
    }
