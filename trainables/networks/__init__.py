"""Networks: encoders and decoders, and the table of those a user can ask for by name."""

from trainables.networks.ard import ArdCelebA, ArdCifar10, ArdMnist
from trainables.networks.mlp import Mlp
from trainables.networks.network import Network

NETWORKS: tuple[type[Network], ...] = (
    Mlp,
    ArdMnist,
    ArdCelebA,
    ArdCifar10,
)

__all__ = ["NETWORKS", "Network"]
