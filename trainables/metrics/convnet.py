"""A small classifier of a data set's labels, attributes or factors: its last hidden layer gives features of images.

Unlike Inception it needs no download.
"""

# Shapes: B rows, N rows of a set, images (B, C, H, W), 128 features, K classes.

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.data.base import Rows
from trainables.metrics.images import rounded, unit
from trainables.noise import seed_of

FEATURES = 128
BATCH = 100
STEPS = 600
LEARNING_RATE = 1e-3
FORMAT = 1  # version of the network and its training, part of its cache name: raise it with any change


class ConvNet(nn.Module):
    """Two convolutions, one hidden layer, K logits; for images in [0, 1] with sides of 4 pixels or more."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 16, FEATURES),
            nn.ReLU(),
        )
        self.logits = nn.Linear(FEATURES, classes)

    def features(self, x_BX: Tensor) -> Tensor:
        """(B, 128)."""
        return self.hidden(x_BX.to(self.logits.weight))

    def forward(self, x_BX: Tensor) -> Tensor:
        return self.logits(self.features(x_BX))


def trained(rows: Rows, seed: int = 0, steps: int = STEPS) -> ConvNet:
    """Train the classifier for `steps` of Adam on rows that have targets. Depends on the rows and the seed alone.

    Leaves the global generator as it was.
    """
    y_N = targets(rows)
    classes = int(y_N.max()) + 1 if y_N.ndim == 1 else y_N.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "convnet"))
        network = ConvNet(rows.shape[0], classes).float()
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
        for index in torch.randint(len(rows), (steps, BATCH)):
            loss = loss_of(network(rounded(unit(rows.batch(index), rows.range))), y_N[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def targets(rows: Rows) -> Tensor | None:
    """The classifier's targets: labels from 0, (N,), else attributes or one-hot factors, (N, K) bool.

    None where the rows have none of these.
    """
    if rows.y is not None:
        return rows.y.unique(return_inverse=True)[1]
    if rows.attributes is not None:
        return rows.attributes.values
    if rows.factors is not None:
        columns = zip(rows.factors.values.T, rows.factors.sizes, strict=True)
        return torch.cat([F.one_hot(value_N, size).bool() for value_N, size in columns], 1)
    return None


def loss_of(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Cross entropy in nats, the mean over rows; of (B, K) bool targets binary, the mean over rows and targets."""
    if y_B.ndim == 1:
        return F.cross_entropy(logits_BK, y_B)
    return F.binary_cross_entropy_with_logits(logits_BK, y_B.to(logits_BK))


def restored(state: dict[str, Tensor]) -> ConvNet:
    """The trained classifier with this state."""
    network = ConvNet(state["hidden.0.weight"].shape[1], len(state["logits.bias"])).float()
    network.load_state_dict(state)
    return network.eval()
