"""Files that would take more than they may: refused in a line, from their heads, before anything is allocated."""

import gzip
import io
import os
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.data_files import complaint, picture, put
from trainables.common.errors import DataError
from trainables.common.lazy import torch
from trainables.data.base import UNIT, Rows, Stored, bounds
from trainables.data.formats.archives import open_archive
from trainables.data.loading import load_splits, open_splits
from trainables.data.sets.array import Array
from trainables.data.sets.celeba import CelebAHalf
from trainables.data.sets.cifar10 import Cifar10
from trainables.data.sets.dsprites import FILE, DSprites
from trainables.data.sets.frey import Frey
from trainables.data.sets.grids import Grid
from trainables.data.sets.mnist import TEST, TRAIN, Mnist
from trainables.data.sets.shapes3d import Shapes3D

MIB = 1 << 20
MOST_BYTES = 100 * MIB  # that a refusal may take of memory


def refused(dataset, root: Path) -> str:
    """What is said when the set is loaded, at little cost."""
    tracemalloc.start()
    try:
        text = complaint(dataset, root)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return text


def own(path: Path) -> Array:
    return Array(path=str(path))


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(bounds, "available_bytes", lambda: 200 * MIB)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet"])
@pytest.mark.parametrize("kind", ["FIFO", "device"])
def test_a_data_file_without_end_is_refused_and_never_opened(tmp_path, name, kind):
    os.mkfifo(tmp_path / name) if kind == "FIFO" else os.symlink("/dev/zero", tmp_path / name)
    started = time.monotonic()
    said = refused(own(tmp_path / name), tmp_path)
    assert said == f"{tmp_path / name}: is a device, a FIFO or a socket and no file: name a plain file."
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(("dataset", "place"), [
    (Mnist(), f"MNIST/raw/{TRAIN[0]}"),
    (Frey(), "freyfaces/freyfaces.npy"),
    (DSprites(), FILE),
    (Shapes3D(), "3dshapes/3dshapes.h5"),
    (Cifar10(), "cifar-10-batches-py/data_batch_1"),
    (CelebAHalf(), "celeba/img_align_celeba.zip"),
])  # fmt: skip
def test_published_files_without_end_are_refused(tmp_path, dataset, place):
    for names in dataset.wanted():
        (tmp_path / names[0]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / names[0]).touch()
    (tmp_path / place).unlink()
    os.mkfifo(tmp_path / place)
    said = refused(dataset, tmp_path)
    assert said == f"{tmp_path / place}: is a device, a FIFO or a socket and no file: name a plain file."


def test_folders_of_pictures_leave_out_what_has_no_end(tmp_path):
    put(tmp_path / "own", {f"{row}.png": picture(np.zeros((6, 7), np.uint8)) for row in range(4)})
    os.symlink("/dev/zero", tmp_path / "own" / "zero.png")
    splits = load_splits(Array(images=str(tmp_path / "own")))
    assert len(splits.train) == 3 and "1 not a plain file" in splits.notes[0]


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_an_array_that_announces_more_than_there_is_is_refused(tmp_path):
    (tmp_path / "x.npy").write_bytes(header((10**9, 10**6)) + bytes(100))
    said = refused(own(tmp_path / "x.npy"), tmp_path)
    assert "1,000,000,000,000,000 bytes of numbers announced, 100 there" in said


def test_an_array_larger_than_memory_is_refused(tmp_path):
    rows = 10**13  # as many bytes, on a disk that need not hold them
    with (tmp_path / "x.npy").open("wb") as file:
        file.write(header((rows // 1_000, 1_000)))
        try:
            file.truncate(file.tell() + rows)
        except OSError:
            pytest.skip("this disk has no sparse files of such a size")
    said = refused(own(tmp_path / "x.npy"), tmp_path)
    assert f"{tmp_path / 'x.npy'}: takes 18,626.5 GiB of memory, " in said
    assert said.endswith(" are available: free some, or take fewer rows.")


def zeros_npz(path: Path, count: int, announced: int | None = None, key: str = "x") -> None:
    """An .npz file whose key holds so many zeros, and says so or something else."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{key}.npy", "w") as stream:
        stream.write(header(((announced or count) // 1_000, 1_000)))
        for start in range(0, count, MIB):
            stream.write(bytes(min(MIB, count - start)))


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path):
    zeros_npz(tmp_path / "x.npz", 70_000_000)
    said = refused(own(tmp_path / "x.npz"), tmp_path)
    assert " bytes that unpack to 66.8 MiB, over 500 times as much: " in said
    assert said.endswith("if they are meant so, write them uncompressed.")


def test_an_npz_key_that_unpacks_to_more_than_its_header_says_is_refused(tmp_path):
    zeros_npz(tmp_path / "x.npz", 5_000_000, announced=1_000_000)
    assert "'x' unpacks to 4,000,000 bytes more than its header says" in refused(own(tmp_path / "x.npz"), tmp_path)


def test_an_npz_key_that_announces_more_than_it_unpacks_to_is_refused(tmp_path):
    zeros_npz(tmp_path / "x.npz", 1_000_000, announced=10**12)
    assert "1,000,000,000,000 bytes of numbers announced, 1,000,000 there" in refused(own(tmp_path / "x.npz"), tmp_path)


def test_a_published_npz_that_is_a_bomb_is_refused(tmp_path):
    (tmp_path / FILE).parent.mkdir(parents=True)
    zeros_npz(tmp_path / FILE, 70_000_000, key="latents_classes")
    said = refused(DSprites(), tmp_path)
    assert said.startswith(f"{tmp_path / FILE}: key 'latents_classes': ") and "over 500 times as much" in said


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path):
    column = pa.array(np.zeros(4_000_000, np.float32))
    pq.write_table(pa.table({f"f{number}": column for number in range(5)}), tmp_path / "x.parquet")
    said = refused(own(tmp_path / "x.parquet"), tmp_path)
    assert " unpack to 76.3 MiB, over 500 times as much: " in said


def test_a_gzip_bomb_is_refused_when_it_exceeds_what_is_published(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in TRAIN + TEST:
        (folder / f"{name}.gz").touch()
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, 100_000, 28, 28)
    with gzip.open(folder / f"{TRAIN[0]}.gz", "wb", 1) as stream:
        stream.write(head)
        for _ in range(79):
            stream.write(bytes(1_000_000))
    said = refused(Mnist(), tmp_path)
    assert said.startswith(f"{folder / TRAIN[0]}.gz: over 67108864 values, 78400000 announced by its header: ")


def png_of(width: int, height: int) -> bytes:
    """A PNG file that announces a size which its pixels do not fill."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 14_000, 60_000])
def test_a_picture_of_too_many_pixels_is_refused_by_its_head(tmp_path, side, recwarn):
    put(tmp_path / "own", {"a.png": png_of(side, side), "b.png": png_of(side, side)})
    said = refused(Array(images=str(tmp_path / "own")), tmp_path)
    assert said.startswith(f"{tmp_path / 'own'}: a.png is no sound picture (") and "pixels" in said and not recwarn


def test_a_picture_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "celeba").mkdir()
    with zipfile.ZipFile(tmp_path / "celeba" / "img_align_celeba.zip", "w") as archive:
        for number in range(1, 10_001):
            archive.writestr(f"img_align_celeba/{number:06}.jpg", png_of(9_000, 9_000) if number == 1 else b"")
    names = " ".join(f"a{number}" for number in range(40))
    lines = "\n".join(f"{number:06}.jpg " + " ".join(["1"] * 40) for number in range(1, 10_001))
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text(f"10000\n{names}\n{lines}\n")
    opened = open_splits(CelebAHalf(), tmp_path)
    place = next(part for part in (opened.train, opened.val, opened.test) if 0 in part.order)
    with pytest.raises(DataError, match=r"row 0 \(.*000001.jpg\): 9000x9000 pixels, 89x109 expected"):
        place.take(place.order == 0).read()


def test_a_member_of_a_zip_that_is_a_bomb_is_refused(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x/list.txt", "w") as stream,
    ):
        for _ in range(100):
            stream.write(bytes(1_000_000))
    with pytest.raises(DataError, match=r"x.zip: x/list.txt: .* over 500 times as much"):
        open_archive(tmp_path / "x.zip").text("x/list.txt")


def test_an_h5_file_of_labels_without_end_is_refused(tmp_path, little_memory, monkeypatch):
    monkeypatch.setattr(Shapes3D, "grid", Grid(Shapes3D.grid.names, (2, 2, 2, 2, 2, 2)))
    (tmp_path / "3dshapes").mkdir()
    with h5py.File(tmp_path / "3dshapes" / "3dshapes.h5", "w") as file:
        file.create_dataset("labels", (10**9, 6), np.float64, chunks=(1_000, 6), compression="gzip")
        file.create_dataset("images", (64, 64, 64, 3), np.uint8)
    said = refused(Shapes3D(val_from_train=4), tmp_path)
    assert "takes 178.8 GiB of memory, 200.0 MiB are available" in said


def test_rows_that_memory_cannot_hold_are_refused_with_the_way_out(little_memory):
    def fetch(index):
        raise AssertionError("read")

    part = Stored(torch.arange(20_000), fetch, (3, 64, 64), UNIT)
    with pytest.raises(DataError) as caught:
        part.read()
    assert str(caught.value) == (
        "20,000 rows of 3x64x64: takes 234.4 MiB of memory, 200.0 MiB are available: free some, or take fewer rows, or "
        "prepare the set (vaeorch data prepare): then it is mapped."
    )


def test_rows_that_memory_can_hold_are_read(little_memory):
    part = Stored(torch.arange(16_000), lambda index: Rows(torch.zeros(0), None, UNIT), (3, 64, 64), UNIT)
    assert len(part.read()) == 0


def test_what_is_available_is_told_by_this_machine_or_its_container(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(bounds, "GROUP", tmp_path)
    assert bounds.available_bytes() > 1 << 30  # where there is no such file: all of the machine
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:   5000 kB\nSwapFree: 1000 kB\n")
    assert bounds.available_bytes() == 6_000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert bounds.available_bytes() == 6_000 * 1024
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.stat").write_text("anon 1000000\nfile 3900000\n")
    assert bounds.available_bytes() == 4_000_000


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_large_honest_files_pass(tmp_path, write):
    """Sparse drawings, which pack well, and 67 MiB of them."""
    x = np.zeros((1_400, 224, 224), np.uint8)
    x[np.arange(1_400)[:, None], np.random.default_rng(0).integers(0, 224, (1_400, 60)), np.arange(60)] = 255
    write(tmp_path / "x.npz", x=x)
    assert len(load_splits(own(tmp_path / "x.npz")).train) == 1_260
