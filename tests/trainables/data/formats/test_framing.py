"""Cropping and resizing: pixel for pixel what Pillow does, whether images are files or numbers, in every order."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tests.support.data_files import picture, put
from tests.support.prepared_sets import same_sets
from trainables.common.errors import DataError
from trainables.data.base.bounds import GIB
from trainables.data.loading import load_splits, read_facts
from trainables.data.prepared import index_file, prepare
from trainables.data.sets.array import Array

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 21, 30, 3)).astype(np.uint8)
ASKED = [{"resize": 8}, {"crop": 16}, {"crop": [15, 20]}, {"crop": [20, 15], "resize": [9, 40]}, {"resize": [21, 30]}]


def by_pillow(pixels: np.ndarray, crop=None, resize=None) -> np.ndarray:
    """(H, W) or (H, W, 3), cropped and resized by Pillow alone."""
    image = Image.fromarray(pixels)
    if crop:
        height, width = (crop, crop) if isinstance(crop, int) else crop
        top, left = (image.height - height) // 2, (image.width - width) // 2
        image = image.crop((left, top, left + width, top + height))
    if resize:
        height, width = (resize, resize) if isinstance(resize, int) else resize
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def saved(path, x, **fields) -> Array:
    np.savez(path, x=x, y=np.arange(len(x)))
    return Array(path=str(path), **fields)


def in_order(dataset: Array) -> np.ndarray:
    """All images, in the order of their labels or, without any, of their files."""
    splits = load_splits(dataset)
    x, y = (torch.cat([getattr(splits.train, name), getattr(splits.val, name)]) for name in ("x", "y"))
    return x[y.argsort()].numpy()


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_bytes_of_an_array_are_those_that_pillow_makes(tmp_path, asked):
    found = in_order(saved(tmp_path / "x.npz", COLOUR, **asked))
    assert found.dtype == np.uint8
    for image, pixels in zip(found, COLOUR, strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), by_pillow(pixels, **asked))


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_pictures_in_files_give_the_same_bytes_as_an_array(tmp_path, asked):
    put(tmp_path / "all", {f"{row:02}/a.png": picture(pixels) for row, pixels in enumerate(COLOUR)})
    pictures = Array(images=str(tmp_path / "all"), **asked)
    array = saved(tmp_path / "x.npz", COLOUR, **asked)
    assert np.array_equal(in_order(pictures), in_order(array))
    assert read_facts(pictures) == read_facts(array)


@pytest.mark.parametrize("shape", [(12, 21, 30), (12, 2, 21, 30), (12, 21, 30, 4)])
def test_each_channel_is_resized_by_itself(tmp_path, shape):
    x = RNG.integers(0, 256, shape).astype(np.uint8)
    found = in_order(saved(tmp_path / "x.npz", x, crop=20, resize=7))
    for image, pixels in zip(found, x, strict=True):
        planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, int(pixels.shape.index(min(shape[1:]))), 0)
        assert np.array_equal(image, [by_pillow(plane, crop=20, resize=7) for plane in planes])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int64])
def test_other_numbers_are_resized_as_float32_and_scaled_last(tmp_path, dtype):
    x = RNG.integers(0, 1000, (12, 21, 30)).astype(dtype)
    found = in_order(saved(tmp_path / "x.npz", x, crop=[20, 16], resize=8, scale=1000))
    for image, plane in zip(found, x, strict=True):
        expected = by_pillow(plane.astype(np.float32), crop=[20, 16], resize=8) / np.float32(1000)
        assert image.dtype == np.float32 and np.array_equal(image[0], expected)


def test_floats_in_a_range_stay_in_it(tmp_path):
    x = RNG.random((12, 21, 30)).astype(np.float32).round()
    for side in (3, 50):
        assert read_facts(saved(tmp_path / "x.npz", x, resize=side)).range == (0.0, 1.0)


def test_pictures_of_unequal_sizes_are_made_equal(tmp_path):
    sizes = {"a/0": (20, 30), "a/1": (31, 17), "b/2": (16, 16), "b/3": (24, 24)}
    pixels = {name: RNG.integers(0, 256, (*size, 3)).astype(np.uint8) for name, size in sizes.items()}
    put(tmp_path, {f"{name}.png": picture(one) for name, one in pixels.items()})
    for asked in ({"resize": [12, 10]}, {"crop": [16, 12]}, {"crop": 15, "resize": 30}):
        splits = load_splits(Array(images=str(tmp_path), **asked))
        found = {one.numpy().tobytes() for one in torch.cat([splits.train.x, splits.val.x])}
        expected = {by_pillow(one, **asked).transpose(2, 0, 1).tobytes() for one in pixels.values()}
        assert found == expected and splits.train.classes == ("a", "b")


def test_a_picture_that_exif_turns_is_cropped_as_it_is_shown(tmp_path):
    shown = COLOUR[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(tmp_path / "0.png", exif=exif)
    put(tmp_path, {"1.png": picture(COLOUR[1])})
    splits = load_splits(Array(images=str(tmp_path), crop=[20, 9], resize=8))
    found = {one.numpy().tobytes() for one in torch.cat([splits.train.x, splits.val.x])}
    assert by_pillow(shown, crop=[20, 9], resize=8).transpose(2, 0, 1).tobytes() in found


@pytest.mark.parametrize("kind", ["array", "pictures"])
def test_a_prepared_set_has_the_same_bytes_and_names(tmp_path, kind):
    put(tmp_path / "own", {f"{'ab'[row % 2]}/{row}.png": picture(pixels) for row, pixels in enumerate(COLOUR)})
    np.savez(tmp_path / "x.npz", x=COLOUR, y=np.array(["a", "b"] * 6))
    place = {"images": str(tmp_path / "own")} if kind == "pictures" else {"path": str(tmp_path / "x.npz")}
    dataset = Array(**place, crop=20, resize=9)
    files = load_splits(dataset, tmp_path)
    prepare.prepare(dataset, tmp_path)
    mapped = load_splits(dataset, tmp_path)
    same_sets(mapped, files)
    assert mapped.train.classes == mapped.val.classes == files.train.classes == files.val.classes == ("a", "b")


def test_a_set_has_a_prepared_set_for_each_crop_and_size(tmp_path):
    plain = Array(path="/x.npy")
    assert not {"crop", "resize"} & plain.model_dump().keys()
    others = [Array(path="/x.npy", **asked) for asked in ASKED]
    assert len({index_file.key(one) for one in (plain, *others)}) == 1 + len(ASKED)
    assert index_file.key(Array(path="/x.npy", resize=8)) == index_file.key(Array(path="/x.npy", resize=[8, 8]))
    assert [Array.model_validate_json(one.model_dump_json()) for one in others] == others
    assert [Array.model_validate(json.loads(one.model_dump_json())) for one in others] == others


def complaint(dataset: Array) -> tuple[str, str]:
    """The field that is blamed, and the text without the path."""
    with pytest.raises(DataError) as caught:
        read_facts(dataset)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return caught.value.field, text.partition(": ")[2]


def test_a_crop_larger_than_an_image_is_told(tmp_path):
    said = "21x30 pixels, height x width, are less than the crop 22x30: crop less."
    assert complaint(saved(tmp_path / "x.npz", COLOUR, crop=[22, 30])) == ("crop", said)
    put(tmp_path / "own", {"a.png": picture(COLOUR[0]), "b.png": picture(COLOUR[0, :20])})
    said = "b.png: 20x30 pixels, height x width, are less than the crop 21x21: crop less."
    assert complaint(Array(images=str(tmp_path / "own"), crop=21, resize=64)) == ("crop", said)


@pytest.mark.parametrize("field", ["crop", "resize"])
def test_vectors_have_no_size(tmp_path, field):
    dataset = saved(tmp_path / "x.npz", COLOUR.reshape(12, -1), **{field: 8})
    assert complaint(dataset) == (
        field,
        f"'{field}' is for images, and x of shape (12, 1890) is vectors: leave it out.",
    )


def test_images_that_memory_cannot_hold_are_refused_before_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr("trainables.data.base.bounds.available_bytes", lambda: GIB)
    field, said = complaint(saved(tmp_path / "x.npz", COLOUR, resize=16_000))
    assert field == "resize" and said.startswith("resized to 16000x16000, x takes 8.6 GiB of memory, 1.0 GiB are av")


@pytest.mark.parametrize("value", [0, -1, 20_000, 8.0, True, "8", [8], [8, 8, 8], [8, 0], [8, "8"], {}])
@pytest.mark.parametrize("field", ["crop", "resize"])
def test_what_is_no_size_is_refused(field, value):
    with pytest.raises(ValidationError, match="must be a side or .height, width., in pixels from 1 to 16384"):
        Array(path="/x.npy", **{field: value})


def test_images_that_lose_their_proportions_are_told(tmp_path):
    put(tmp_path / "own", {"a.png": picture(COLOUR[0]), "b.png": picture(COLOUR[0, :20, :20])})
    notes = load_splits(Array(images=str(tmp_path / "own"), resize=8)).notes
    told = "1 of 2 pictures have other proportions than 8x8 and are stretched: 'crop' leaves proportions as they are."
    assert notes == (told,)
    notes = load_splits(Array(images=str(tmp_path / "own"), crop=20, resize=8)).notes
    assert notes == ()
    told = "images of 21x30 are stretched to 8x8: 'crop' leaves proportions as they are."
    assert told in load_splits(saved(tmp_path / "x.npz", COLOUR, resize=8)).notes


def test_a_picture_that_shrank_since_the_set_was_opened_is_told(tmp_path):
    from trainables.data.loading import open_splits

    put(tmp_path / "own", {"a.png": picture(COLOUR[0]), "b.png": picture(COLOUR[1])})
    opened = open_splits(Array(images=str(tmp_path / "own"), crop=20))
    put(tmp_path / "own", {name: picture(COLOUR[0, :9]) for name in ("a.png", "b.png")})
    with pytest.raises(DataError, match=r"row \d \(own/..png\): 9x30 pixels, height x width, are less than the crop"):
        opened.read()
