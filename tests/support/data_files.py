"""Small files in the formats of the data sets, and what is said of bad ones."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.common.errors import DataError
from trainables.data import Dataset
from trainables.data.loading import load_splits


def picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """(H, W) or (H, W, 3) uint8, or (H, W) bool, as a file. Pillow tells a file by its content, not by its name."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def put(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def zipped(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def complaint(dataset: Dataset, root: Path) -> str:
    """What is said when the set is loaded: one line, a sentence."""
    with pytest.raises(DataError) as caught:
        load_splits(dataset, root)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def present(root: Path, place: str) -> Path:
    """The data root, if it has the place; skips otherwise."""
    if not (root / place).exists():
        pytest.skip(f"no {place} in {root}: name a folder that has it by VAEORCH_DATA")
    return root
