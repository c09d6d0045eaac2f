"""Data sets, listed in DATASETS. To add one, write a file in sets/ and add a line here.

`loading.py` opens a data set from wherever it is stored; `base/` has the classes that all of data/ uses. `sets/` holds
the data sets, `formats/` readers of files, `prepared/` sets in memory-mapped shards, `remote/` sets in a bucket.
`sampling.py` decides which rows an epoch trains on, `fingerprints.py` whether files have changed since they were read.
"""

from trainables.data.base import Attributes, Dataset, Factors, Facts, Rows, Splits, Stored, chunks
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets.array import Array
from trainables.data.sets.celeba import CelebA, CelebAHalf
from trainables.data.sets.cifar10 import Cifar10
from trainables.data.sets.digits import Digits
from trainables.data.sets.dsprites import DSprites
from trainables.data.sets.frey import Frey
from trainables.data.sets.imagenet32 import ImageNet32
from trainables.data.sets.mnist import Fashion32, FashionMnist, Mnist, Mnist01, Mnist32
from trainables.data.sets.omniglot import Omniglot
from trainables.data.sets.shapes3d import Shapes3D
from trainables.data.sets.solids import Solids
from trainables.data.sets.sprites import Sprites
from trainables.data.sets.synthetic import Circle, Cross, Infinity, Mog, Sphere, Square, Star
from trainables.data.sets.tiny_imagenet import TinyImageNet

DATASETS: tuple[type[Dataset], ...] = (
    Digits,
    Mnist,
    Mnist32,
    Mnist01,
    FashionMnist,
    Fashion32,
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
    Sphere,
    Array,
)

__all__ = [
    "DATASETS",
    "Attributes",
    "Dataset",
    "Factors",
    "Facts",
    "Rows",
    "Splits",
    "Stored",
    "chunks",
    "load_splits",
    "open_splits",
    "read_facts",
]
