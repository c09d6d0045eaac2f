"""The pieces that many loaders share: blocks, archives, pictures, and what is said of damaged files."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.data_files import picture, put, zipped
from trainables.common.errors import DataError
from trainables.data import Rows, Stored, chunks
from trainables.data.base import UNIT, Attributes, Factors, hold_out, shuffled
from trainables.data.formats.archives import open_archive
from trainables.data.formats.blocks import Npz, gather
from trainables.data.formats.decoding import album, of_size, resized
from trainables.data.formats.locate import find
from trainables.data.sets.cifar10 import Cifar10

RNG = np.random.default_rng(0)


def rows_of(count: int) -> Rows:
    number = torch.arange(count)
    return Rows(
        number[:, None].to(torch.uint8),
        number,
        UNIT,
        Factors(number[:, None], ("row",), (count,)),
        Attributes(number[:, None] % 2 == 1, ("odd",)),
    )


def stored(count: int) -> Stored:
    whole = rows_of(count)
    return Stored(torch.arange(count), lambda index: whole.take(torch.from_numpy(index)), (1,), UNIT)


@pytest.mark.parametrize("kind", [rows_of, stored])
def test_labels_factors_and_attributes_stay_with_their_images(kind):
    part = kind(20).take(torch.tensor([7, 3, 3, 19])).take(slice(1, 4)).read()
    assert part.x.flatten().tolist() == part.y.tolist() == part.factors.values.flatten().tolist() == [3, 3, 19]
    assert part.attributes.values.flatten().tolist() == [True, True, True]
    assert (part.factors.names, part.factors.sizes, part.attributes.names) == (("row",), (20,), ("odd",))


@pytest.mark.parametrize("kind", [rows_of, stored])
@pytest.mark.parametrize(("size", "lengths"), [(8, [8, 8, 4]), (20, [20]), (99, [20])])
def test_chunks_are_the_split_in_its_order(kind, size, lengths):
    pieces = list(chunks(shuffled(kind(20)), size))
    assert [len(piece) for piece in pieces] == lengths
    assert torch.cat([piece.y for piece in pieces]).tolist() == shuffled(rows_of(20)).y.tolist()


@pytest.mark.parametrize("kind", [rows_of, stored])
def test_held_out_rows_are_the_last_of_a_fixed_shuffle(kind):
    splits = hold_out(kind(20), 5, 3).read()
    mixed = shuffled(kind(20)).read().y.tolist()
    assert sorted(mixed) == list(range(20)) != mixed
    assert splits.train.y.tolist() + splits.val.y.tolist() + splits.test.y.tolist() == mixed
    assert (len(splits.val), len(splits.test)) == (5, 3)
    assert hold_out(kind(20), 5).test is None


def test_nothing_is_fetched_before_it_is_read():
    asked = []
    part = Stored(torch.arange(9), lambda index: asked.append(index.tolist()) or rows_of(9), (1,), UNIT)
    kept = hold_out(part, 2).train.take(slice(3))
    assert (len(kept), asked) == (3, [])
    kept.read()
    assert asked == [kept.order.tolist()]


@pytest.mark.parametrize("index", [[0], [9, 0, 5, 5, 1], list(range(10)), [3, 4], list(range(9, -1, -1))])
def test_rows_gathered_from_blocks_are_those_of_the_whole(index):
    whole = RNG.integers(0, 256, (10, 2, 3)).astype(np.uint8)
    blocks = [whole[:4], whole[4:4], whole[4:9], whole[9:]]
    assert np.array_equal(gather(iter(blocks), np.array(index)), whole[index])


def test_no_block_is_read_beyond_the_last_row_wanted():
    def blocks():
        yield np.zeros((4, 1), np.uint8)
        yield np.ones((4, 1), np.uint8)
        raise AssertionError("a block too many")

    assert gather(blocks(), np.array([7, 0])).tolist() == [[1], [0]]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_read_in_blocks_as_numpy_reads_it(tmp_path, save, monkeypatch):
    monkeypatch.setattr("trainables.data.formats.blocks.BLOCK_BYTES", 50)
    x = RNG.integers(0, 256, (23, 3, 4)).astype(np.uint8)
    save(tmp_path / "x.npz", x=x, y=np.arange(23))
    file = Npz(tmp_path / "x.npz")
    blocks = list(file.bytes_of("x"))
    assert [len(block) for block in blocks] == [4, 4, 4, 4, 4, 3] and np.array_equal(np.concatenate(blocks), x)
    assert file.shape("x") == (23, 3, 4) and np.array_equal(file.array("y"), np.arange(23))


@pytest.mark.parametrize(("values", "said"), [
    ({"y": np.zeros(3)}, "key 'x': is not there"),
    ({"x": np.zeros((3, 2))}, "key 'x': holds float64 where rows of uint8 are expected"),
    ({"x": np.zeros((3, 2), np.uint8, order="F")}, "key 'x': holds columns where rows of uint8 are expected"),
])  # fmt: skip
def test_an_npz_without_rows_of_bytes_is_refused(tmp_path, values, said):
    np.savez(tmp_path / "x.npz", **values)
    with pytest.raises(DataError, match=f"{tmp_path / 'x.npz'}: {said}: delete it and get it again"):
        list(Npz(tmp_path / "x.npz").bytes_of("x"))


def test_an_npz_whose_array_ends_early_is_refused(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.zeros((100, 10), np.uint8))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue()[:-1])
    with pytest.raises(DataError, match="ends before its last row"):
        list(Npz(tmp_path / "x.npz").bytes_of("x"))


def test_a_folder_and_its_zip_give_the_same_names_and_contents(tmp_path):
    files = {"top/b/2.txt": b"two", "top/a.txt": b"one\r\nline"}
    put(tmp_path, files | {"top/b/.hidden": b""})
    zipped(tmp_path / "top.zip", files | {"top/": b"", "__MACOSX/top/a.txt": b"", "top/.DS_Store": b""})
    for archive in (open_archive(tmp_path / "top"), open_archive(tmp_path / "top.zip")):
        assert archive.names == ("top/a.txt", "top/b/2.txt")
        assert archive.content("top/b/2.txt") == b"two" and archive.text("top/a.txt") == ["one", "line"]
        with pytest.raises(DataError, match=f"{archive.path}: no top/c.txt in it"):
            archive.text("top/c.txt")


def test_pictures_come_in_the_order_asked_for_channels_first(tmp_path):
    pixels = RNG.integers(0, 256, (6, 4, 5, 3)).astype(np.uint8)
    put(tmp_path / "top", {f"{row}.png": picture(pixels[row]) for row in range(6)})
    archive = open_archive(tmp_path / "top")
    found = album(archive, archive.names, (3, 4, 5), of_size(5, 4)).pixels(np.array([5, 0, 0, 2]))
    assert np.array_equal(found, pixels[[5, 0, 0, 2]].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("content", "said"), [
    (b"no picture", "no picture of a known kind"),
    (b"", "no picture of a known kind"),
    (picture(RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8), "JPEG")[:-300], "image file is truncated"),
    (picture(RNG.integers(0, 256, (40, 50)).astype(np.uint8))[:-300], "damaged or something else"),
    (picture(np.zeros((50, 40), np.uint8)), "40x50 pixels, 50x40 expected"),
])  # fmt: skip
def test_a_picture_that_cannot_be_had_is_told_by_file_row_and_name(tmp_path, content, said):
    zipped(tmp_path / "x.zip", {"x/a.png": picture(np.zeros((40, 50), np.uint8)), "x/b.png": content})
    archive = open_archive(tmp_path / "x.zip")
    with pytest.raises(DataError) as caught:
        album(archive, archive.names, (1, 40, 50), of_size(50, 40)).pixels(np.array([0, 1]))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'x.zip'}: row 1 (x/b.png): ") and said in text and "\n" not in text


def test_damage_within_a_zip_file_is_told_by_its_checksum(tmp_path):
    path, pixels = tmp_path / "x.zip", RNG.integers(0, 256, (40, 50)).astype(np.uint8)
    zipped(path, {"x/a.png": picture(pixels)})
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    archive = open_archive(path)
    with pytest.raises(DataError, match=r"row 0 \(x/a.png\): damaged or something else \(Bad CRC-32"):
        album(archive, archive.names, (1, 40, 50), of_size(50, 40)).pixels(np.array([0]))


def test_a_file_that_is_no_zip_is_told(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match="x.zip: damaged or something else .* delete it and get it again"):
        open_archive(tmp_path / "x.zip")


def lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def cubic(x):
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


KERNELS = {
    "box": lambda x: (x > -0.5) & (x <= 0.5),
    "bilinear": lambda x: np.clip(1 - np.abs(x), 0, None),
    "bicubic": cubic,
    "lanczos": lanczos,
}


@pytest.mark.parametrize("how", KERNELS)
@pytest.mark.parametrize("size", [140, 148, 178, 105])
def test_pictures_are_scaled_by_the_named_filter_with_antialiasing(how, size):
    """Against the kernel stretched over the pixels that fall into one, as a matrix on either side."""
    side = 28 if size == 105 else 64
    pixels = RNG.integers(0, 256, (size, size)).astype(np.uint8)
    scale = size / side
    distance = (np.arange(size) + 0.5 - (np.arange(side)[:, None] + 0.5) * scale) / scale
    weight = KERNELS[how](distance).astype(float)
    weight /= weight.sum(axis=1, keepdims=True)
    expected = np.clip(weight @ np.clip(pixels @ weight.T, 0, 255), 0, 255)
    found = np.asarray(resized(Image.fromarray(pixels), side, how), float)
    assert np.abs(found - expected).max() <= 1.1  # two roundings


def test_a_missing_file_is_told_with_where_it_was_looked_for_and_where_to_get_it(tmp_path):
    with pytest.raises(DataError) as caught:
        find(Cifar10, tmp_path, "a.zip", "a")
    assert str(caught.value) == (
        f"{tmp_path}: no a.zip nor a: get it from www.cs.toronto.edu/~kriz/cifar.html and put it there, "
        "or name another data root (--data-root or VAEORCH_DATA)."
    )
