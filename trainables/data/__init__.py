"""The data sets: DATASETS is the table, one line each; every one is a record that loads itself."""

from trainables.data.array import Array
from trainables.data.base import (
    Attributes,
    DataError,
    Dataset,
    Factors,
    Facts,
    Rows,
    Splits,
    Stored,
    chunks,
)
from trainables.data.celeba import CelebA, CelebAHalf
from trainables.data.cifar10 import Cifar10
from trainables.data.digits import Digits
from trainables.data.dsprites import DSprites
from trainables.data.frey import Frey
from trainables.data.imagenet32 import ImageNet32
from trainables.data.mnist import FashionMnist, Mnist, Mnist01, Mnist32
from trainables.data.omniglot import Omniglot
from trainables.data.shapes3d import Shapes3D
from trainables.data.solids import Solids
from trainables.data.sprites import Sprites
from trainables.data.synthetic import Circle, Cross, Infinity, Mog, Square, Star
from trainables.data.tiny_imagenet import TinyImageNet

DATASETS: tuple[type[Dataset], ...] = (
    Digits,
    Mnist,
    Mnist32,
    Mnist01,
    FashionMnist,
    Omniglot,
    Frey,
    Cifar10,
    ImageNet32,
    TinyImageNet,
    CelebA,
    CelebAHalf,
    DSprites,
    Shapes3D,
    Sprites,
    Solids,
    Circle,
    Square,
    Star,
    Infinity,
    Mog,
    Cross,
    Array,
)

__all__ = [
    "DATASETS",
    "Attributes",
    "DataError",
    "Dataset",
    "Factors",
    "Facts",
    "Rows",
    "Splits",
    "Stored",
    "chunks",
]
