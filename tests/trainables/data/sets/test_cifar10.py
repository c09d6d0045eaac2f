"""CIFAR-10 in its three forms."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.support.data_files import complaint, picture, present, put
from tests.support.image_sets.cifar10 import BATCH, TEST_X, TEST_Y, TRAIN_X, TRAIN_Y, batches, python_2
from trainables.common.errors import DataError
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets import cifar10
from trainables.data.sets.cifar10 import Cifar10


def python_3(protocol: int):
    return lambda x, y: pickle.dumps({b"data": x.reshape(len(x), -1), b"labels": y.tolist()}, protocol)


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(cifar10, "BATCH_ROWS", BATCH)
    for form in ("python", "parquet"):
        monkeypatch.setitem(cifar10.ROWS, form, (5 * BATCH, BATCH))


def parquet(root: Path, column: str = "image") -> None:
    (root / "cifar10").mkdir()
    for name, x, y in (("train", TRAIN_X, TRAIN_Y), ("test", TEST_X, TEST_Y)):
        images = [{"bytes": picture(image.transpose(1, 2, 0)), "path": f"{row}.png"} for row, image in enumerate(x)]
        pq.write_table(pa.table({column: images, "label": y}), root / "cifar10" / f"{name}.parquet", row_group_size=7)


def check(splits) -> None:
    assert torch.equal(torch.cat([splits.train.x, splits.val.x]), torch.from_numpy(TRAIN_X))
    assert torch.equal(torch.cat([splits.train.y, splits.val.y]), torch.from_numpy(TRAIN_Y))
    assert torch.equal(splits.test.x, torch.from_numpy(TEST_X)) and torch.equal(splits.test.y, torch.from_numpy(TEST_Y))
    assert (len(splits.train), len(splits.val)) == (80, 20)


@pytest.mark.parametrize("write", [python_2, python_3(2), python_3(4)], ids=["python_2", "protocol_2", "protocol_4"])
def test_the_official_pickles_are_read_in_their_order(tmp_path, small, write):
    put(tmp_path, batches(write))
    check(load_splits(Cifar10(), tmp_path))


@pytest.mark.parametrize("column", ["image", "img"])
def test_the_parquet_files_are_read_in_their_order(tmp_path, small, column):
    parquet(tmp_path, column)
    check(load_splits(Cifar10(files="parquet"), tmp_path))


def test_the_handwritten_pickle_is_what_pickle_reads_too():
    found = pickle.loads(python_2(TEST_X, TEST_Y), encoding="latin1")
    assert np.array_equal(found["data"], TEST_X.reshape(BATCH, -1)) and found["labels"] == TEST_Y.tolist()


@pytest.mark.parametrize(("held", "rows"), [(None, (40_000, 10_000)), (5_000, (45_000, 5_000))])
@pytest.mark.parametrize(("signed", "values"), [(False, (0.0, 1.0)), (True, (-1.0, 1.0))])
def test_split_and_range_are_those_asked_for(held, rows, signed, values):
    facts = read_facts(Cifar10(val_from_train=held, signed=signed))
    assert (facts.shape, facts.range, (facts.train_rows, facts.val_rows)) == ((3, 32, 32), values, rows)


def test_signed_bytes_span_minus_one_to_one(tmp_path, small):
    put(tmp_path, batches(python_2))
    train = load_splits(Cifar10(signed=True), tmp_path).train
    batch = train.batch(torch.arange(5))
    np.testing.assert_allclose(batch, TRAIN_X[:5] / 127.5 - 1, atol=1e-6)


def test_holding_all_images_out_is_a_mistake_of_that_field():
    with pytest.raises(DataError, match="4000 of 4000 images held out") as caught:
        read_facts(Cifar10(files="sprites", val_from_train=4_000))
    assert caught.value.field == "val_from_train"


@pytest.mark.parametrize(("content", "said"), [
    (b"<html>", "not a sound pickle"),
    (pickle.dumps([1]), "no mapping of 'data' and 'labels'"),
    (pickle.dumps({"labels": []}), "'data' is no array of 20 x 3072 bytes"),
    (python_3(2)(TEST_X[1:], TEST_Y[1:]), "'data' is no array of 20 x 3072 bytes"),
    (python_3(2)(TEST_X, TEST_Y[1:]), "its labels are no 20 whole numbers"),
    (python_3(2)(TEST_X, TEST_Y / 2), "its labels are no 20 whole numbers"),
    (python_3(2)(TEST_X, np.array([3, 10] * 10)), "row 1 has label 10, 0 to 9 expected"),
])  # fmt: skip
def test_an_unsound_pickle_is_told_with_the_row(tmp_path, small, content, said):
    put(tmp_path, batches(python_2) | {"cifar-10-batches-py/data_batch_3": content})
    assert complaint(Cifar10(), tmp_path).startswith(f"{tmp_path / 'cifar-10-batches-py/data_batch_3'}: {said}")


def test_a_picture_of_another_size_in_a_parquet_file_is_told_with_its_row(tmp_path, small):
    parquet(tmp_path)
    path = tmp_path / "cifar10" / "test.parquet"
    images = pq.read_table(path)["image"].to_pylist()
    images[7]["bytes"] = picture(np.zeros((33, 32, 3), np.uint8))
    pq.write_table(pa.table({"image": images, "label": TEST_Y}), path)
    said = complaint(Cifar10(files="parquet"), tmp_path)
    assert said.startswith(f"{path}: row 7 (7.png): 32x33 pixels, 32x32 expected")


@pytest.mark.parametrize("table", [{"label": TEST_Y}, {"image": [1] * BATCH, "label": TEST_Y}, {"image": [1]}])
def test_a_parquet_file_without_the_columns_is_told(tmp_path, small, table):
    parquet(tmp_path)
    pq.write_table(pa.table(table), tmp_path / "cifar10" / "test.parquet")
    assert complaint(Cifar10(files="parquet"), tmp_path).startswith(f"{tmp_path / 'cifar10' / 'test.parquet'}: ")


@pytest.mark.parametrize("form", ["python", "parquet", "sprites"])
def test_absent_files_are_told(tmp_path, form):
    assert "get it from www.cs.toronto.edu/~kriz/cifar.html" in complaint(Cifar10(files=form), tmp_path)


def test_real_sprites_have_the_known_pixels_and_counts(real_data):
    splits = load_splits(Cifar10(files="sprites"), present(real_data, "cifar10/lossless"))
    assert splits.facts() == read_facts(Cifar10(files="sprites"))
    counts = torch.cat([splits.train.y, splits.val.y]).bincount().tolist()
    assert counts == [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    assert splits.test.y.bincount().tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
    assert splits.train.x[0, :, 0, 0].tolist() == [59, 62, 63] and splits.test.x[0, :, 0, 0].tolist() == [158, 112, 49]


def test_real_jpegs_are_the_pictures_of_the_sprites_with_the_known_loss(real_data):
    root = present(real_data, "cifar10/train.parquet")
    exact, lossy = load_splits(Cifar10(files="sprites"), root), open_splits(Cifar10(files="parquet"), root)
    pairs = [(exact.train, lossy.train), (exact.val, lossy.train.take(slice(3_200, None))), (exact.test, lossy.test)]
    difference = []
    for rows, others in pairs:
        same = others.take(slice(len(rows))).read()
        assert torch.equal(same.y, rows.y)
        difference.append((same.x.float() - rows.x.float()).flatten())
    error = torch.cat(difference)
    assert error.square().mean().sqrt() == pytest.approx(8.09, abs=0.005)
    assert error.abs().mean() == pytest.approx(5.81, abs=0.005)
