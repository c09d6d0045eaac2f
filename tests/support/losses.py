"""The loss that an objective's terms make, as one writes it down."""

from torch import Tensor

from trainables.terms import Terms


def total(terms: Terms, rows: int) -> Tensor:
    """The loss of a batch of `rows` on one worker, with gradient."""
    return sum(weight * (1 / rows) * value.sum() if value.ndim else weight * value for weight, value in terms.values())
