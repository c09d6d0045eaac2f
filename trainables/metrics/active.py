"""How many axes carry the relevance score: both forms of the weight, at several shares of the total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.late import Late

if TYPE_CHECKING:
    from trainables.sums import Sums

relevance = Late("trainables.relevance")

SHARES = {"95": 0.95, "99": 0.99, "99.9": 0.999}
FORMS = {"active": "square_mean_abs", "active_eq19": "mean_square"}
"""Name of the number -> the published code's weight, and that of the paper's equation 19."""


def active_counts(moments: Sums, sensitivity: Sums) -> dict[str, float]:
    """`active_99` and the like, by the published code's weight, and `active_eq19_99` by the paper's.

    Args:
        moments: of `trainables.relevance.moments`, over all rows and workers.
        sensitivity: of `trainables.relevance.sensitivity`, likewise.
    """
    scores = {name: relevance.relevance(moments, sensitivity, form) for name, form in FORMS.items()}
    return {
        f"{name}_{label}": float(score.active(share).sum())
        for name, score in scores.items()
        for label, share in SHARES.items()
    }
