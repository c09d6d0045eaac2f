"""Networks (encoders and decoders), listed in NETWORKS. To add one, write a class and add a line here.

`network.py` defines a network, `convolutional.py` and `mlp.py` have the common architectures, `blocks.py` the layers.
The other files have the networks of single papers.
"""

from trainables.networks.ard import ArdCelebA, ArdCifar10, ArdMnist, ArdShapes, Locatello
from trainables.networks.dd import DdFashion
from trainables.networks.geco import GecoMnist
from trainables.networks.intel import IntelCelebA, IntelMnist
from trainables.networks.mask_aae import MaskAaeMlp
from trainables.networks.mlp import Mlp
from trainables.networks.network import Network
from trainables.networks.vimae import VimaeCelebA, VimaeCifar10, VimaeMlp, VimaeMnist
from trainables.networks.vsc import VscConv

NETWORKS: tuple[type[Network], ...] = (
    Mlp,
    IntelMnist,
    IntelCelebA,
    DdFashion,
    VscConv,
    ArdMnist,
    ArdCelebA,
    ArdCifar10,
    ArdShapes,
    Locatello,
    GecoMnist,
    MaskAaeMlp,
    VimaeMnist,
    VimaeCelebA,
    VimaeCifar10,
    VimaeMlp,
)

__all__ = ["NETWORKS", "Network"]
