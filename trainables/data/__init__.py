"""The data sets: DATASETS is the table, one line each; every one is a record that loads itself."""

from trainables.data.array import Array
from trainables.data.base import DataError, Dataset, Facts, Rows, Splits
from trainables.data.digits import Digits
from trainables.data.mnist import FashionMnist, Mnist, Mnist01, Mnist32
from trainables.data.synthetic import Circle, Infinity, Mog, Square, Star
from trainables.data.unready import CelebA, ImageNet32

DATASETS: tuple[type[Dataset], ...] = (
    Digits,
    Mnist,
    Mnist32,
    Mnist01,
    FashionMnist,
    Circle,
    Square,
    Star,
    Infinity,
    Mog,
    Array,
    ImageNet32,
    CelebA,
)

__all__ = ["DATASETS", "DataError", "Dataset", "Facts", "Rows", "Splits"]
