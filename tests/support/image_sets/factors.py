"""dSprites and 3D Shapes in their published formats, with a few hundred images."""

import itertools

import h5py
import numpy as np

from trainables.data.sets.dsprites import FILE
from trainables.data.sets.shapes3d import ENDS

RNG = np.random.default_rng(0)
SPRITES = RNG.integers(0, 2, (384, 64, 64)).astype(np.uint8)


def save_sprites(root, **changed) -> None:
    classes = np.stack(np.unravel_index(np.arange(384), (1, 3, 2, 4, 4, 4)), axis=1)
    values = {"imgs": SPRITES, "latents_classes": classes, "metadata": np.array({"a": "pickle"}, object)}
    np.savez_compressed(root / FILE, **(values | changed))


SIZES = (2, 3, 2, 2, 4, 3)
SHAPES = RNG.integers(0, 256, (288, 64, 64, 3)).astype(np.uint8)


def shapes_labels() -> np.ndarray:
    ways = [np.linspace(*ends, size) for ends, size in zip(ENDS, SIZES, strict=True)]
    return np.array(list(itertools.product(*ways)))


def save_shapes(root, images=SHAPES, labels=None) -> None:
    with h5py.File(root / "3dshapes" / "3dshapes.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=(7, 64, 64, 3), compression="gzip")
        file.create_dataset("labels", data=shapes_labels() if labels is None else labels)
