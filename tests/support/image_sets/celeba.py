"""CelebA in its official format, with 12 images."""

import numpy as np

from tests.support.data_files import picture

IMAGES, ROWS = 12, {"official": (7, 3, 2), "random": (6, 2, 4)}
NAMES = [f"Attribute_{number}" for number in range(40)]
SIGNS = np.random.default_rng(0).choice([-1, 1], (IMAGES, 40))
PARTS = [0, 0, 1, 0, 2, 0, 0, 1, 0, 2, 0, 1]


def face(row: int, width: int = 178, height: int = 218) -> bytes:
    """Red tells the column, green the line, blue the image."""
    line, column = np.mgrid[:height, :width]
    return picture(np.stack([column, line, np.full_like(line, row)], axis=-1).astype(np.uint8))


def listed(rows) -> bytes:
    return "\n".join(f"{number:06}.jpg {row}" for number, row in enumerate(rows, start=1)).encode()


def attributes(signs=SIGNS, names=NAMES) -> bytes:
    rows = listed(" ".join(f"{sign:2}" for sign in row) for row in signs)
    return f"{len(signs)}\n{' '.join(names)} \n".encode() + rows


def files() -> dict[str, bytes]:
    faces = {f"celeba/img_align_celeba/{row + 1:06}.jpg": face(row) for row in range(IMAGES)}
    return faces | {"celeba/list_attr_celeba.txt": attributes(), "celeba/list_eval_partition.txt": listed(PARTS)}
