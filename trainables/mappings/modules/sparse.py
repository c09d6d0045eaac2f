"""The module of the sparse mapping, the dimension selector, and its loss term."""

# Shapes: B rows of a batch, D latent dimensions.

from torch import Tensor, nn

from trainables.networks.blocks import dense

HIDDEN = (10, 10)
TINY = 1e-8  # added to each gate, so that a row of closed gates has an entropy with a finite gradient


class DimensionSelector(nn.Module):
    """(B, D) -> (B, D): y * DS(y), row by row and dimension by dimension."""

    def __init__(self, latent_dim: int, floor: float, initial_bias: float):
        super().__init__()
        self.floor = floor
        self.selector = nn.Sequential(*dense((latent_dim, *HIDDEN, latent_dim)))
        nn.init.constant_(self.selector[-1].bias, initial_bias)

    def gates(self, y_BD: Tensor) -> Tensor:
        """DS(y), (B, D), between floor and 1."""
        return self.floor + (1 - self.floor) * self.selector(y_BD).sigmoid()

    def forward(self, y_BD: Tensor) -> Tensor:
        return y_BD * self.gates(y_BD)


def sparsity(gates_BD: Tensor, log_offset: float = 0.0) -> Tensor:
    """L_sp, a scalar in nats: mean entropy of the rows' gates minus the entropy of their mean (equation 7).

    As in the authors' code, rows are normalised before they are averaged. So it is minus the mutual information between
    row and dimension, from -log(min(B, D)) to 0. It is not a mean over rows: it needs the whole batch. `log_offset` is
    added within the logarithm of the second entropy, 1e-5 in the authors' code (and 1e-8 in the first, which here is
    added to the gates).
    """
    p_BD = gates_BD + TINY
    p_BD = p_BD / p_BD.sum(1, keepdim=True)
    return entropy(p_BD).mean() - entropy(p_BD.mean(0), log_offset)


def entropy(p: Tensor, log_offset: float = 0.0) -> Tensor:
    """-sum p log(p + offset) over the last dimension, for p > 0."""
    return -(p * (p + log_offset).log()).sum(-1)
