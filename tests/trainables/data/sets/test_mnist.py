"""IDX files, the MNIST family read from them, and the download of what is absent."""

import gzip
import hashlib
import http.server
import socket
import struct
import threading
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from pydantic import ValidationError

from trainables.common.errors import DataError
from trainables.data.formats.idx import read_idx, read_pair
from trainables.data.loading import load_splits, read_facts
from trainables.data.sets.mnist import TEST, TRAIN, Fashion32, FashionMnist, Mnist, Mnist01, Mnist32

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # README of the real files
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def numbered_images(count: int) -> np.ndarray:
    """Images whose first four pixels tell their number, so that every later place can be traced back."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, :4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    return images


def numbers(x: torch.Tensor, margin: int = 0) -> np.ndarray:
    corner = x[:, 0, margin, margin : margin + 4].numpy()
    return np.ascontiguousarray(corner).view(">u4").ravel().astype(np.int64)


@pytest.fixture(scope="module")
def numbered_root(tmp_path_factory) -> Path:
    """Files of the published sizes, half unpacked and half packed; labels 0..9 in turn from 3 on."""
    root = tmp_path_factory.mktemp("numbered")
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / TRAIN[0]).write_bytes(idx_bytes(numbered_images(60_000)))
    (folder / TRAIN[1]).write_bytes(idx_bytes((np.arange(60_000) + 3) % 10))
    (folder / f"{TEST[0]}.gz").write_bytes(gzip.compress(idx_bytes(numbered_images(10_000)), 1))
    (folder / f"{TEST[1]}.gz").write_bytes(gzip.compress(idx_bytes((np.arange(10_000) + 3) % 10)))
    return root


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("name resolution\nfailed")

    def forbidden(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", forbidden)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (0, 28, 28)])
def test_idx_files_are_read_packed_or_not(tmp_path, packed, shape):
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / ("values.gz" if packed else "values")
    path.write_bytes(gzip.compress(idx_bytes(values)) if packed else idx_bytes(values))
    found = read_idx(path, rank=len(shape))
    assert found.dtype == np.uint8 and found.shape == shape and np.array_equal(found, values)


SOUND = idx_bytes(np.arange(24).reshape(2, 3, 4))
PACKED = gzip.compress(bytes(SOUND[:4]) + np.random.default_rng(0).bytes(2_000))


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("x", b"", "magic number 0x, 0x00000803 expected"),
    ("x", b"\x00\x00\x08\x01" + SOUND[4:], "magic number 0x00000801, 0x00000803 expected"),
    ("x", b"<html>not here</html>", "magic number 0x3c68746d, 0x00000803 expected"),
    ("x", SOUND[:10], "the header ends after 10 of 16 bytes"),
    ("x", SOUND[:-1], "23 values, 24 announced by its header"),
    ("x", SOUND + b"!", "25 values, 24 announced by its header"),
    ("x.gz", PACKED[:1_000], "the gzip file is truncated"),
    ("x.gz", PACKED[:-4], "the gzip file is truncated"),
    ("x.gz", PACKED[:-8] + bytes(8), "not a sound gzip file (CRC check failed"),
    ("x.gz", SOUND, "not a sound gzip file (Not a gzipped file"),
    ("x.gz", PACKED[:10] + b"\xff" * 200, "the gzip file is damaged"),
])  # fmt: skip
def test_a_damaged_idx_file_is_named_with_what_is_wrong_and_the_cure(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / name, rank=3)
    assert str(caught.value).startswith(f"{tmp_path / name}: {complaint}")
    assert str(caught.value).endswith(": delete it and get it again.") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("labels", "complaint"), [
    (np.zeros(4), "4 labels for the 3 images of images"),
    (np.array([0, 9, 10]), "row 2 has label 10, 0 to 9 expected"),
])  # fmt: skip
def test_labels_that_do_not_fit_their_images_are_refused(tmp_path, labels, complaint):
    images, path = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx_bytes(np.zeros((3, 2, 2))))
    path.write_bytes(idx_bytes(labels))
    with pytest.raises(DataError, match=f"{path}: {complaint}"):
        read_pair(images, path, classes=10)


def test_mnist_trains_on_the_first_50000_images_and_validates_on_the_last_10000(numbered_root, no_network):
    splits = load_splits(Mnist(), numbered_root)
    assert splits.facts() == read_facts(Mnist(), numbered_root)
    assert np.array_equal(numbers(splits.train.x), np.arange(50_000))
    assert np.array_equal(numbers(splits.val.x), np.arange(50_000, 60_000))
    assert np.array_equal(numbers(splits.test.x), np.arange(10_000))
    assert np.array_equal(splits.val.y, (np.arange(50_000, 60_000) + 3) % 10)
    assert splits.train.x.dtype == torch.uint8


def test_mnist32_is_mnist_with_two_zeros_on_each_side(numbered_root):
    small, padded = load_splits(Mnist(), numbered_root), load_splits(Mnist32(), numbered_root)
    assert padded.facts() == read_facts(Mnist32(), numbered_root)
    for split in ("train", "val", "test"):
        x, wide = getattr(small, split).x, getattr(padded, split).x
        assert torch.equal(wide[:, :, 2:30, 2:30], x) and wide.shape[1:] == (1, 32, 32)
        assert wide.sum() == x.sum()


def by_pillow(x: torch.Tensor) -> np.ndarray:
    """As torchvision's `Resize`, which DD-VAE's code uses, does it to a picture."""
    size = (32, 32)
    pictures = [Image.fromarray(image[0]).resize(size, Image.Resampling.BILINEAR) for image in x.numpy()]
    return np.stack([np.asarray(picture) for picture in pictures])[:, None]


def test_fashion32_is_enlarged_as_by_pillow_to_the_bit():
    """Random images have every size of step between neighbours."""
    chance = np.random.default_rng(0)
    x = torch.from_numpy(chance.integers(0, 256, (500, 1, 28, 28)).astype(np.uint8))
    x[:2] = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None]
    assert np.array_equal(Fashion32()._images(x).numpy(), by_pillow(x))


def test_real_fashion32_has_the_splits_and_labels_of_fashion_mnist(real_data, no_network):
    small, large = (load_splits(of(val_from_train=5_000), real_data) for of in (FashionMnist, Fashion32))
    assert large.facts() == read_facts(Fashion32(val_from_train=5_000))
    for split in ("train", "val", "test"):
        ours, theirs = getattr(large, split), getattr(small, split)
        assert len(ours) == len(theirs) and torch.equal(ours.y, theirs.y) and ours.shape == (1, 32, 32)
        assert np.array_equal(ours.x[-20:].numpy(), by_pillow(theirs.x[-20:]))
    assert large.train.x.dtype == torch.uint8


@pytest.mark.parametrize("of", [Mnist, Mnist32, Mnist01])
def test_binary_images_are_black_below_a_half_and_white_from_a_half_on(numbered_root, no_network, of):
    grey, binary = load_splits(of(), numbered_root), load_splits(of(binary=True), numbered_root)
    assert binary.facts() == read_facts(of(binary=True)) == grey.facts()
    for split in ("train", "val", "test"):
        x, batch = getattr(grey, split).x[:300].numpy(), getattr(binary, split).batch(torch.arange(300))
        assert np.array_equal(batch.numpy(), (x / 255 >= 0.5).astype(np.float32))
        assert torch.equal(getattr(binary, split).y, getattr(grey, split).y)
    assert set(grey.val.x.unique().tolist()) > {0, 127, 128, 255}


def test_mnist01_takes_the_first_zeros_and_ones_in_turns(numbered_root):
    splits = load_splits(Mnist01(), numbered_root)
    assert splits.facts() == read_facts(Mnist01(), numbered_root)
    zero, one = np.arange(7, 60_000, 10), np.arange(8, 60_000, 10)  # labels start from 3
    expected = np.stack([zero, one], axis=1)
    assert np.array_equal(numbers(splits.train.x), expected[:5_000].ravel())
    assert np.array_equal(numbers(splits.val.x), expected[5_000:5_500].ravel())
    assert np.array_equal(numbers(splits.test.x), expected[:980].ravel())
    assert splits.train.y[:6].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("dataset", [Mnist, Mnist32, FashionMnist, Fashion32])
@pytest.mark.parametrize("held", [5_000, 10_000])
def test_the_last_training_images_validate_as_many_as_asked_for(dataset, held):
    facts = read_facts(dataset(val_from_train=held))
    assert (facts.train_rows, facts.val_rows) == (60_000 - held, held)


def test_intel_vaes_split_trains_on_the_first_55000_images(numbered_root, no_network):
    splits = load_splits(Mnist(val_from_train=5_000), numbered_root)
    assert np.array_equal(numbers(splits.train.x), np.arange(55_000))
    assert np.array_equal(numbers(splits.val.x), np.arange(55_000, 60_000))


@pytest.mark.parametrize(("zeros", "ones", "share"), [(1, 1, 0.5), (2, 3, 0.4), (1, 3, 0.25), (1, 4, 0.2), (0, 1, 0)])
def test_mnist01_in_the_proportions_of_intel_vaes_table_3(numbered_root, no_network, zeros, ones, share):
    dataset = Mnist01(zeros=zeros, ones=ones)
    splits = load_splits(dataset, numbered_root)
    assert splits.facts() == read_facts(dataset)
    for rows, each in ((splits.train, 5_000), (splits.val, 500), (splits.test, 980)):
        assert (rows.y == 0).double().mean().item() == pytest.approx(share)
        found, counts = np.unique(numbers(rows.x)[rows.y == 1], return_counts=True)
        assert len(found) == each and set(counts) == {ones}
    assert splits.train.y[: 2 * (zeros + ones)].tolist() == 2 * ([0] * zeros + [1] * ones)


def test_mnist01_without_images_is_a_mistake():
    with pytest.raises(ValidationError, match="zeros and ones are both 0, which leaves no images: make one of them 1"):
        Mnist01(zeros=0, ones=0)


def test_files_of_another_size_are_refused(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for (images, labels), count in ((TRAIN, 100), (TEST, 10)):
        (folder / images).write_bytes(idx_bytes(np.zeros((count, 28, 28))))
        (folder / labels).write_bytes(idx_bytes(np.zeros(count)))
    with pytest.raises(DataError, match=f"{folder / TRAIN[0]}: 100 images of 28x28, 60000 of 28x28 expected"):
        load_splits(Mnist(), tmp_path)


def test_a_failed_download_names_the_missing_files_and_where_they_belong(tmp_path, no_network):
    with pytest.raises(DataError) as caught:
        load_splits(FashionMnist(), tmp_path)
    text, folder = str(caught.value), tmp_path / "FashionMNIST" / "raw"
    assert text.startswith(f"{folder}: no {', '.join(TRAIN + TEST)} (unpacked or .gz), and the download failed (")
    assert "name resolution failed" in text and "--data-root or VAEORCH_DATA" in text and "\n" not in text
    assert list(folder.iterdir()) == []


def test_a_failed_download_names_only_what_is_missing_and_keeps_the_rest(tmp_path, no_network):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in TRAIN:
        (folder / name).write_bytes(b"here")
    with pytest.raises(DataError, match=f"{folder}: no {TEST[0]}, {TEST[1]} "):
        load_splits(Mnist(), tmp_path)
    assert {path.name for path in folder.iterdir()} == set(TRAIN)


def test_a_data_root_that_is_a_file_is_told(tmp_path, no_network):
    (tmp_path / "root").write_text("no folder")
    with pytest.raises(DataError, match="Not a directory"):
        load_splits(Mnist(), tmp_path / "root")


def test_absent_files_are_downloaded_once(tmp_path, numbered_root, monkeypatch):
    """From a mirror on this machine, through torchvision's own code and checksums."""
    packed, mirror, root = numbered_root / "MNIST" / "raw", tmp_path / "mirror", tmp_path / "root"
    mirror.mkdir()
    for name in TRAIN + TEST:
        there = packed / f"{name}.gz"
        content = there.read_bytes() if there.exists() else gzip.compress((packed / name).read_bytes(), 1)
        (mirror / there.name).write_bytes(content)
    sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(mirror.iterdir())]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=mirror)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        first = load_splits(Mnist(), root)
        server.shutdown()
    assert np.array_equal(numbers(first.val.x), np.arange(50_000, 60_000))
    assert {path.name for path in (root / "MNIST" / "raw").iterdir()} == {f"{name}.gz" for name in TRAIN + TEST}
    assert torch.equal(load_splits(Mnist(), root).test.x, first.test.x)  # the mirror is gone
    assert socket.getdefaulttimeout() is None


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_real_mnist_has_the_published_counts_mean_and_deviation(real_data, no_network):
    splits = load_splits(Mnist(), real_data)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (50_000, 10_000, 10_000)
    assert (splits.train.y.bincount() + splits.val.y.bincount()).tolist() == TRAIN_COUNTS
    assert splits.test.y.bincount().tolist() == TEST_COUNTS
    assert _mean_and_deviation(splits) == pytest.approx((0.13066, 0.30811), abs=5e-6)
    assert splits.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_real_fashion_mnist_has_the_published_counts_mean_and_deviation(real_data, no_network):
    splits = load_splits(FashionMnist(), real_data)
    assert (splits.train.y.bincount() + splits.val.y.bincount()).tolist() == [6_000] * 10
    assert splits.test.y.bincount().tolist() == [1_000] * 10
    assert _mean_and_deviation(splits) == pytest.approx((0.28604, 0.35302), abs=5e-6)


def test_real_mnist01_is_balanced_and_holds_the_pictures_of_its_labels(real_data, no_network):
    splits = load_splits(Mnist01(), real_data)
    counts = [rows.y.bincount().tolist() for rows in (splits.train, splits.val, splits.test)]
    assert counts == [[5_000, 5_000], [500, 500], [980, 980]]
    hollow = splits.val.x[:, 0, 13:15, 13:15].float().mean(dim=(1, 2))  # the middle: empty in a zero, ink in a one
    assert hollow[splits.val.y == 0].mean() < 20 < 200 < hollow[splits.val.y == 1].mean()


def test_real_mnist32_in_the_range_of_a_batch(real_data, no_network):
    batch = load_splits(Mnist32(train_rows=100), real_data).train.batch(torch.arange(100))
    assert batch.shape == (100, 1, 32, 32) and batch.dtype == torch.float32
    assert (batch.min().item(), batch.max().item()) == (0.0, 1.0)


def _mean_and_deviation(splits) -> tuple[float, float]:
    """Of all 60,000 training images, by counting how often each byte occurs."""
    counts = sum(np.bincount(rows.x.numpy().ravel(), minlength=256) for rows in (splits.train, splits.val))
    values = np.arange(256) / 255
    mean = (counts * values).sum() / counts.sum()
    return mean, np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum())
