"""Data sets with their files, small or real, that tests prepare; and how rows are compared."""

from pathlib import Path

import numpy as np
import torch

from tests.support.data_files import picture, present, put
from tests.support.image_sets import celeba, cifar10, factors, imagenet
from trainables.common.records import name_of
from trainables.data import DATASETS, Dataset, Rows
from trainables.data.prepared import prepare
from trainables.data.sets.array import Array
from trainables.data.sets.celeba import CelebA, CelebAHalf
from trainables.data.sets.cifar10 import ROWS, Cifar10
from trainables.data.sets.dsprites import FILE, DSprites
from trainables.data.sets.frey import Frey
from trainables.data.sets.grids import Grid
from trainables.data.sets.imagenet32 import ImageNet32
from trainables.data.sets.mnist import FashionMnist, Mnist, Mnist01, Mnist32
from trainables.data.sets.omniglot import Omniglot
from trainables.data.sets.shapes3d import Shapes3D
from trainables.data.sets.tiny_imagenet import TinyImageNet

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 6, 7, 3)).astype(np.uint8)
AT_HAND = {name_of(record): record() for record in DATASETS if not record.home and name_of(record) != "array"}
REAL = {
    "mnist": (Mnist(), "MNIST"),
    "mnist32": (Mnist32(binary=True), "MNIST"),
    "mnist01": (Mnist01(zeros=1, ones=3), "MNIST"),
    "fashion_mnist": (FashionMnist(val_from_train=5_000), "FashionMNIST"),
    "frey": (Frey(), "freyfaces"),
    "cifar10 parquet": (Cifar10(files="parquet", signed=True), "cifar10"),
    "cifar10 sprites": (Cifar10(files="sprites"), "cifar10/lossless"),
    "omniglot": (Omniglot(files="small"), "omniglot-py"),
    "celeba_half": (CelebAHalf(crop=148), "celeba"),
    "tiny_imagenet": (TinyImageNet(files="subset"), "tiny-imagenet-200-subset.zip"),
}


def real(name: str, root: Path) -> tuple[Dataset, Path]:
    """A data set whose files are in the folder of real data; skips where they are not."""
    dataset, place = REAL[name]
    return dataset, present(root, place)


def _celeba(root: Path, monkeypatch) -> Dataset:
    monkeypatch.setattr(CelebA, "images", celeba.IMAGES)
    monkeypatch.setattr(CelebA, "rows", celeba.ROWS)
    put(root, celeba.files())
    return CelebA(signed=True)


def _cifar10(root: Path, monkeypatch) -> Dataset:
    monkeypatch.setattr("trainables.data.sets.cifar10.BATCH_ROWS", cifar10.BATCH)
    monkeypatch.setitem(ROWS, "python", (5 * cifar10.BATCH, cifar10.BATCH))
    put(root, cifar10.batches(cifar10.python_2))
    return Cifar10()


def dsprites(root: Path, monkeypatch) -> Dataset:
    """384 images of 4 KiB."""
    monkeypatch.setattr(DSprites, "grid", Grid(DSprites.grid.names, (3, 2, 4, 4, 4)))
    (root / FILE).parent.mkdir()
    factors.save_sprites(root)
    return DSprites(val_from_train=50)


def _shapes3d(root: Path, monkeypatch) -> Dataset:
    monkeypatch.setattr(Shapes3D, "grid", Grid(Shapes3D.grid.names, factors.SIZES))
    (root / "3dshapes").mkdir()
    factors.save_shapes(root)
    return Shapes3D(val_from_train=40)


def _imagenet32(root: Path, monkeypatch) -> Dataset:
    monkeypatch.setattr(ImageNet32, "images", (50, 7))
    (root / "imagenet32").mkdir()
    for name, rows in zip(imagenet.FILES, imagenet.PARTS, strict=True):
        imagenet.batch(root / "imagenet32" / name, rows)
    return ImageNet32(val_from_train=10)


def saved(path: Path, x: np.ndarray, **y: np.ndarray) -> Dataset:
    """One's own file."""
    np.savez(path, x=x, **y) if path.suffix == ".npz" else np.save(path, x)
    return Array(path=str(path))


def pictures(root: Path, images: np.ndarray = IMAGES) -> Dataset:
    """One's own folder of classes."""
    put(root / "own", {f"{'ab'[row % 2]}/{row:03}.png": picture(image) for row, image in enumerate(images)})
    return Array(images=str(root / "own"))


SMALL = {
    "celeba": _celeba,
    "cifar10 python": _cifar10,
    "dsprites": dsprites,
    "shapes3d": _shapes3d,
    "imagenet32": _imagenet32,
    "array of bytes": lambda root, _: saved(root / "x.npy", IMAGES),
    "array of floats": lambda root, _: saved(root / "x.npy", RNG.normal(size=(40, 5))),
    "array with labels": lambda root, _: saved(root / "x.npz", IMAGES / 255, y=np.arange(30)),
    "array of pictures": lambda root, _: pictures(root),
}


def prepared_in(folder: Path, dataset: Dataset, root: Path, monkeypatch, shard_bytes: int) -> Path:
    """The folder of the set, prepared in shards of so many bytes."""
    monkeypatch.setattr(prepare, "SHARD_BYTES", shard_bytes)
    return prepare.prepare(dataset, root, folder)


def same_rows(ours: Rows, theirs: Rows) -> None:
    """All that Rows hold is equal, bit for bit."""
    assert (len(ours), ours.shape, ours.range, ours.x.dtype) == (
        len(theirs),
        theirs.shape,
        theirs.range,
        theirs.x.dtype,
    )
    index = torch.arange(len(theirs))
    assert torch.equal(ours.x.index_select(0, index), theirs.x.index_select(0, index))
    assert (ours.y is None) == (theirs.y is None)
    assert ours.y is None or (ours.y.dtype == theirs.y.dtype and torch.equal(ours.y, theirs.y))
    for mine, other in ((ours.factors, theirs.factors), (ours.attributes, theirs.attributes)):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert mine.names == other.names and getattr(mine, "sizes", None) == getattr(other, "sizes", None)
            assert mine.values.dtype == other.values.dtype and torch.equal(mine.values, other.values)


def same_sets(ours, theirs) -> None:
    for split in ("train", "val"):
        same_rows(getattr(ours, split), getattr(theirs, split))
    assert (ours.test is None) == (theirs.test is None)
    if ours.test is not None:
        same_rows(ours.test, theirs.test)


def shards_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


def flip(path: Path, place: int, bit: int = 1) -> None:
    """Damage one bit of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)
