"""Networks: encoders and decoders. NETWORKS is the table, one line each. A new network is a class and a line here.

`network.py` says what a network is, `convolutional.py` and `mlp.py` are the forms that most have, `blocks.py` the
layers. The other files hold the networks of single papers.
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
