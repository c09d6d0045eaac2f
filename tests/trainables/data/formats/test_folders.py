"""The user's own pictures: a folder of them, or a folder for each class."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tests.support.data_files import picture, put
from trainables.common.errors import DataError
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets.array import Array

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 6, 7)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (12, 6, 7, 3)).astype(np.uint8)


def flat(images: np.ndarray) -> dict[str, bytes]:
    return {f"{row:03}.png": picture(image) for row, image in enumerate(images)}


def of_mode(mode: str) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (7, 6)).save(stream, "PNG")
    return stream.getvalue()


def complaint(folder) -> str:
    """What is said; facts and load must say the same."""
    said = []
    for ask in (read_facts, load_splits):
        with pytest.raises(DataError) as caught:
            ask(Array(images=str(folder)))
        said.append(str(caught.value))
        assert caught.value.field == "images"
    assert said[0] == said[1] and "\n" not in said[0] and said[0].endswith(".")
    assert said[0].startswith(f"{folder}: ")
    return said[0].removeprefix(f"{folder}: ")


@pytest.mark.parametrize(("images", "shape"), [(GREY, (1, 6, 7)), (COLOUR, (3, 6, 7)), (GREY > 127, (1, 6, 7))])
def test_each_picture_of_a_folder_is_there_once_in_bytes(tmp_path, images, shape):
    put(tmp_path, flat(images) | {"notes.txt": b"no picture", ".hidden.png": b""})
    dataset = Array(images=str(tmp_path), val_fraction=0.25)
    splits, opened = load_splits(dataset), open_splits(dataset)
    assert splits.facts() == read_facts(dataset)
    assert (splits.facts().shape, len(splits.train), len(splits.val), splits.train.y) == (shape, 9, 3, None)
    order = torch.cat([opened.train.order, opened.val.order])
    found = torch.cat([splits.train.x, splits.val.x]).numpy()
    values = images.astype(np.uint8) * 255 if images.dtype == bool else images
    assert np.array_equal(found, values.reshape(12, 6, 7, -1).transpose(0, 3, 1, 2)[order])
    assert sorted(order.tolist()) == list(range(12)) and splits.train.range == (0.0, 1.0)


def test_folders_of_classes_label_their_pictures_in_the_order_of_their_names(tmp_path):
    classes = ["dog", "ant", "cat"]
    put(tmp_path, {f"{classes[row % 3]}/{row}.png": picture(np.full((6, 7), row, np.uint8)) for row in range(12)})
    splits = load_splits(Array(images=str(tmp_path)))
    for rows in (splits.train, splits.val):
        expected = [{"ant": 0, "cat": 1, "dog": 2}[classes[value % 3]] for value in rows.x[:, 0, 0, 0].tolist()]
        assert rows.y.tolist() == expected and rows.y.dtype == torch.int64


def test_grey_pictures_among_coloured_ones_become_colour(tmp_path):
    put(tmp_path, flat(COLOUR[:5]) | {"grey.png": picture(GREY[0]), "palette.png": of_mode("P")})
    splits = load_splits(Array(images=str(tmp_path)))
    found = torch.cat([splits.train.x, splits.val.x])
    assert found.shape[1:] == (3, 6, 7)
    assert any(np.array_equal(x, np.stack([GREY[0]] * 3)) for x in found.numpy())


def test_pictures_are_decoded_only_as_they_are_asked_for(tmp_path):
    put(tmp_path, flat(COLOUR) | {"004.png": picture(COLOUR[4])[:-40]})
    dataset = Array(images=str(tmp_path))
    assert read_facts(dataset).train_rows == 11
    opened = open_splits(dataset)
    sound = opened.train.take(opened.train.order != 4)
    assert len(sound.read()) in (10, 11)
    with pytest.raises(
        DataError, match=rf"{tmp_path}: row 4 \({tmp_path.name}/004.png\): damaged .*: mend or remove it\.$"
    ):
        load_splits(dataset)


@pytest.mark.parametrize(("files", "said"), [
    ({}, "0 pictures (.png, .jpg,"),
    ({"a.png": picture(GREY[0])}, "1 pictures (.png, .jpg,"),
    ({"a.png": picture(GREY[0]), "b.png": picture(GREY[0].T)},
     "b.png has 6x7 pixels, a.png 7x6: make all equally large, or name the size that they get by 'resize' or 'crop'."),
    ({"a.png": picture(GREY[0]), "k/b.png": picture(GREY[0])},
     "k/b.png: put all pictures into the folder itself, or all"),
    ({"k/a/a.png": picture(GREY[0]), "k/a/b.png": picture(GREY[0])},
     "k/a/a.png: put all pictures into the folder itself, or all"),
    ({"a.png": picture(GREY[0]), "b.png": b"<html>"}, "b.png is no sound picture ("),
    ({"a.png": picture(GREY[0]), "b.png": of_mode("RGBA")}, "b.png has transparency: write 8-bit grey or colour"),
    ({"a.png": picture(GREY[0]), "b.png": of_mode("LA")}, "b.png has transparency: write 8-bit grey or colour"),
    ({"a.png": picture(GREY[0]), "b.png": of_mode("I;16")}, "b.png has Pillow's mode I;16: write 8-bit grey or colour"),
])  # fmt: skip
def test_a_folder_that_cannot_be_data_is_told_with_the_picture(tmp_path, files, said):
    folder = tmp_path / "pictures"
    folder.mkdir()
    put(folder, files)
    assert complaint(folder).startswith(said)


def test_a_missing_folder_is_told(tmp_path):
    assert complaint(tmp_path / "none") == "there is no such folder: mend the path."


@pytest.mark.parametrize("fields", [{}, {"path": "x.npy", "images": "pictures"}])
def test_a_file_or_a_folder_is_named_but_not_both(fields):
    with pytest.raises(ValidationError, match="array needs one of 'path', a file, and 'images', a folder"):
        Array(**fields)


def test_a_relative_folder_is_made_absolute_where_the_record_is_written(tmp_path, monkeypatch):
    put(tmp_path / "pictures", flat(GREY))
    monkeypatch.chdir(tmp_path)
    here = Array(images="pictures")
    monkeypatch.chdir("/")
    assert here.images == str(tmp_path / "pictures") and read_facts(here).shape == (1, 6, 7)
