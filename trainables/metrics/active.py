"""The number of axes that carry given shares of the relevance score, or of its weight alone, in both forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.common.lazy import LazyModule

if TYPE_CHECKING:
    from trainables.sums import Sums

relevance = LazyModule("trainables.relevance")

SHARES = {"95": 0.95, "99": 0.99, "99.9": 0.999}
FORMS = {"active": "square_mean_abs", "active_eq19": "mean_square"}
"""Name of the number -> form of the weight: that of the published code, and that of the paper's equation 19."""
ALONE = {"active_w": "square_mean_abs", "active_w_eq19": "mean_square"}
"""The same two, not multiplied by the second moment of the encoded data."""


def active_counts(moments: Sums, sensitivity: Sums) -> dict[str, float]:
    """`active_<share>` by the published code's weight, and `active_eq19_<share>` by the paper's.

    `active_w_<share>` and `active_w_eq19_<share>` count by the weight alone, without the variance of an axis, which is
    how ARD-VAE's text describes it for the other methods (supplement, table 13). All are 0 for a collapsed model.

    Args:
        moments: of `trainables.relevance.moments`, over all rows and workers.
        sensitivity: of `trainables.relevance.at_rows`, likewise.
    """
    scores = {name: relevance.relevance(moments, sensitivity, form).score_D for name, form in FORMS.items()}
    scores |= {name: relevance.weight(sensitivity, form) for name, form in ALONE.items()}
    counted = not relevance.collapsed(moments, sensitivity)
    return {
        f"{name}_{label}": counted * float(relevance.fewest(score_D, share).sum())
        for name, score_D in scores.items()
        for label, share in SHARES.items()
    }
