"""Labels of any kind: which numbers they become, and what their classes are called."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from trainables.common.errors import Unfit
from trainables.data.formats.labels import whole_numbers
from trainables.data.loading import load_splits
from trainables.data.sets.array import Array


@pytest.mark.parametrize(("y", "numbers", "names"), [
    (np.array([7, 3, 7, 3]), [7, 3, 7, 3], ()),
    (np.array([7, 3], np.uint8), [7, 3], ()),
    (np.array([2.0, -1.0]), [2, -1], ()),
    (np.array([True, False, True]), [1, 0, 1], ("false", "true")),
    (np.array(["cat", "ant", "cat"]), [1, 0, 1], ("ant", "cat")),
    (np.array([b"cat", b"ant"]), [1, 0], ("ant", "cat")),
    (np.array(["new\nline", "b"], object), [1, 0], ("b", "new?line")),
    (np.array([0.5, -1.5, 0.5, 10.0, 0.5, 10.0]), [1, 0, 1, 2, 1, 2], ("-1.5", "0.5", "10.0")),
    (np.array([0.1, 0.2, 0.1, 0.2], np.float32), [0, 1, 0, 1], ("0.1", "0.2")),
])  # fmt: skip
def test_labels_of_any_kind_become_whole_numbers_and_keep_their_names(y, numbers, names):
    y_N, classes, _ = whole_numbers(y, len(y))
    assert (y_N.tolist(), y_N.dtype, classes) == (numbers, np.int64, names)


@pytest.mark.parametrize(("y", "told"), [
    (np.array([True, False, True]), "2 classes, labels, with rows: false 1, true 2."),
    (np.array([0.5, 1.5] * 2),
     "2 classes, numbers as labels 0, 1, ... in the order of sorting, with rows: 0.5 2, 1.5 2."),
])  # fmt: skip
def test_what_becomes_of_labels_is_told(y, told):
    assert whole_numbers(y, len(y))[2] == [told]


@pytest.mark.parametrize(("y", "most"), [(np.arange(1000) / 2, 50), (np.array([0.5, 1.5, 2.5, 0.5, 1.5]), 2)])
def test_measurements_are_no_classes(y, most):
    with pytest.raises(Unfit, match=f"different numbers in {len(y):,} rows, of which at most {most} count as classes"):
        whole_numbers(y, len(y))


@pytest.mark.parametrize(("y", "names"), [
    (["cat", "ant"] * 10, ("ant", "cat")),
    ([True, False] * 10, ("false", "true")),
    ([0.5, 1.5] * 10, ("0.5", "1.5")),
    ([3, 4] * 10, ()),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_all_splits_of_a_file_know_the_names(tmp_path, suffix, y, names):
    path, x = tmp_path / f"x.{suffix}", np.arange(20, dtype=np.float32)[:, None] / 20
    np.savez(path, x=x, y=y) if suffix == "npz" else pq.write_table(pa.table({"x": x.tolist(), "y": y}), path)
    splits = load_splits(Array(path=str(path)))
    assert splits.train.classes == splits.val.classes == splits.train.take(slice(1)).classes == names
    told = [str(value).lower() for value in y]
    for row, label in zip(
        torch.cat([splits.train.x, splits.val.x]), torch.cat([splits.train.y, splits.val.y]), strict=True
    ):
        assert told[round(float(row) * 20)] == (names[label] if names else str(int(label)))
