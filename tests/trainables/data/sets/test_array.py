"""The user's own file: how its arrays are understood, and what is said of a bad one."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from trainables.common.errors import DataError
from trainables.data.loading import load_splits, read_facts
from trainables.data.sets.array import Array

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(20, 3)).astype(np.float32)


def saved(path: Path, x: np.ndarray, y: np.ndarray | None = None) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **({"x": x} if y is None else {"x": x, "y": y}))
    else:
        np.save(path, x)
    return path


def parquet(path: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def loaded(path: Path, **fields):
    return load_splits(Array(path=str(path), **fields))


def all_rows(splits) -> np.ndarray:
    return torch.cat([splits.train.x, splits.val.x]).numpy()


def complaint(path: Path, **fields) -> str:
    """What is said of a bad file; facts and load must say the same."""
    dataset = Array(path=str(path), **fields)
    with pytest.raises(DataError) as caught:
        load_splits(dataset)
    with pytest.raises(DataError) as again:
        read_facts(dataset)
    text = str(caught.value)
    assert str(again.value) == text and caught.value.field == "path"
    assert text.startswith(f"{path}: ") and "\n" not in text and text.endswith(".")
    return text.removeprefix(f"{path}: ")


def in_order(rows: np.ndarray) -> np.ndarray:
    flat = rows.reshape(len(rows), -1)
    return flat[np.lexsort(flat.T)]


@pytest.mark.parametrize(("shape", "stored"), [
    ((12, 5), (5,)),
    ((12, 6, 7), (1, 6, 7)),
    ((12, 6, 7, 3), (3, 6, 7)),
    ((12, 6, 7, 1), (1, 6, 7)),
    ((12, 3, 6, 7), (3, 6, 7)),
    ((12, 1, 6, 7), (1, 6, 7)),
    ((12, 4, 5, 5), (4, 5, 5)),
])  # fmt: skip
def test_the_shape_tells_vectors_from_images_and_where_the_channels_are(tmp_path, shape, stored):
    path = saved(tmp_path / "x.npy", RNG.integers(0, 256, shape).astype(np.uint8))
    assert read_facts(Array(path=str(path))).shape == loaded(path).train.x.shape[1:] == stored


def test_channels_last_are_moved_to_the_front(tmp_path):
    x = np.arange(10 * 6 * 7 * 3).astype(np.float32).reshape(10, 6, 7, 3)
    image = loaded(saved(tmp_path / "x.npy", x)).train.x[0].numpy()
    row = int(image[0, 0, 0]) // (6 * 7 * 3)
    for channel in range(3):
        assert np.array_equal(image[channel], x[row, :, :, channel])


@pytest.mark.parametrize(("values", "expected"), [
    (np.array([0, 255], np.uint8), (0.0, 1.0)),
    (np.array([0.0, 1.0]), (0.0, 1.0)),
    (np.array([0.2, 0.4], np.float16), (0.0, 1.0)),
    (np.array([-1e-3, 1.0]), (-1.0, 1.0)),
    (np.array([-1.0, -0.5]), (-1.0, 1.0)),
    (np.array([0.0, 1.001]), None),
    (np.array([-1.001, 0.0]), None),
    (np.array([0.0, 255.0]), None),
])  # fmt: skip
@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 1)])
def test_the_range_is_told_by_the_values(tmp_path, values, expected, shape):
    splits = loaded(saved(tmp_path / "x.npy", values.reshape(shape)))
    assert splits.train.range == splits.val.range == splits.facts().range == expected
    assert splits.train.x.dtype == (torch.uint8 if values.dtype == np.uint8 else torch.float32)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".NPY"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_row_is_kept_once_whatever_its_format(tmp_path, suffix, dtype, order):
    stored = tmp_path / f"x{suffix.lower()}"
    saved(stored, VECTORS.astype(dtype, order=order))
    splits = loaded(stored.rename(tmp_path / f"x{suffix}"))
    assert np.array_equal(in_order(all_rows(splits)), in_order(VECTORS))


def test_labels_go_with_their_rows(tmp_path):
    y = RNG.permutation(20).astype(np.uint8)
    splits = loaded(saved(tmp_path / "x.npz", np.repeat(y[:, None], 3, axis=1).astype(float), y))
    for rows in (splits.train, splits.val):
        assert rows.y.dtype == torch.int64 and torch.equal(rows.x[:, 0].long(), rows.y)


@pytest.mark.parametrize(("rows", "fraction", "held"), [(100, 0.1, 10), (20, 0.25, 5), (2, 0.001, 1), (3, 0.999, 2)])
def test_a_fraction_is_held_out_by_the_same_shuffle_each_time(tmp_path, rows, fraction, held):
    path = saved(tmp_path / "x.npy", np.arange(rows, dtype=np.float64)[:, None])
    first, again = loaded(path, val_fraction=fraction), loaded(path, val_fraction=fraction)
    assert (len(first.train), len(first.val), first.test) == (rows - held, held, None)
    assert sorted(all_rows(first).ravel()) == list(range(rows))
    assert torch.equal(first.train.x, again.train.x)
    assert rows < 10 or first.val.x.ravel().tolist() != list(range(rows - held, rows))


def test_row_limits_apply_after_the_split(tmp_path):
    path = saved(tmp_path / "x.npy", VECTORS)
    whole, part = loaded(path), loaded(path, train_rows=4, val_rows=1)
    assert torch.equal(part.train.x, whole.train.x[:4]) and torch.equal(part.val.x, whole.val.x[:1])
    with pytest.raises(DataError, match="19 rows asked for, but array has 18"):
        read_facts(Array(path=str(path), train_rows=19))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 3), pa.large_list(pa.float64())])
def test_a_list_column_x_of_a_parquet_file_is_vectors(tmp_path, kind):
    path = parquet(tmp_path / "x.parquet", x=pa.array(VECTORS.tolist(), kind), name=["a"] * 20, y=list(range(20)))
    splits = loaded(path)
    assert np.array_equal(in_order(all_rows(splits)), in_order(VECTORS))
    assert sorted(torch.cat([splits.train.y, splits.val.y]).tolist()) == list(range(20))


def test_bytes_in_a_list_column_stay_bytes(tmp_path):
    path = parquet(tmp_path / "x.parquet", x=pa.array([[0, 255]] * 4, pa.list_(pa.uint8())))
    assert loaded(path).train.x.dtype == torch.uint8


def test_number_columns_of_a_parquet_file_are_the_dimensions_in_their_order(tmp_path):
    path = parquet(tmp_path / "x.parquet", b=VECTORS[:, 0], y=list(range(20)), x=VECTORS[:, 1], a=VECTORS[:, 2])
    assert np.array_equal(in_order(all_rows(loaded(path))), in_order(VECTORS))


def test_a_parquet_file_of_several_row_groups_is_read_whole(tmp_path):
    pq.write_table(pa.table({"x": VECTORS.tolist()}), tmp_path / "x.parquet", row_group_size=6)
    assert np.array_equal(in_order(all_rows(loaded(tmp_path / "x.parquet"))), in_order(VECTORS))


def test_a_relative_path_is_made_absolute_where_the_record_is_written(tmp_path, monkeypatch):
    saved(tmp_path / "x.npy", VECTORS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here, home = Array(path="x.npy"), Array(path="~/x.npy")
    monkeypatch.chdir("/")
    assert here.path == home.path == str(tmp_path / "x.npy") and len(load_splits(here).train) == 18
    assert Array(**here.model_dump()) == here


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), "0.1"])
def test_the_held_out_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(ValidationError):
        Array(path="x.npy", val_fraction=fraction)


@pytest.mark.parametrize(("x", "said"), [
    (np.zeros(5), "x has 1 dimensions (5,): write (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W)"),
    (np.zeros((2, 2, 2, 2, 2)), "x has 5 dimensions"),
    (np.array(1.0), "x has 0 dimensions"),
    (np.zeros((0, 5)), "x of shape (0, 5) is too small"),
    (np.zeros((5, 0)), "x of shape (5, 0) is too small"),
    (np.zeros((1, 5)), "x of shape (1, 5) is too small: at least one row to train on and one to validate are needed"),
    (np.zeros((9, 8, 8, 8)), "x of shape (9, 8, 8, 8): just one of the axes 1 and 3 must be the 1 to 4 channels"),
    (np.zeros((9, 3, 8, 3)), "x of shape (9, 3, 8, 3): just one of the axes 1 and 3"),
    (np.zeros((9, 2), np.int64), "x holds int64: write uint8 (0 to 255) or floats"),
    (np.zeros((9, 2), bool), "x holds bool"),
    (np.zeros((9, 2), np.complex64), "x holds complex64"),
    (np.full((9, 2), "a"), "x holds <U1"),
    (np.zeros((9, 2), [("r", "u1")]), "x holds [('r', 'u1')]"),
    (np.array([[0.0], [1.0], [np.nan], [np.inf]]), "row 2 of x is the first with a NaN or infinite value"),
    (np.array([[[0.0, 1.0]], [[0.0, -np.inf]]]), "row 1 of x is the first with a NaN or infinite value"),
    (np.array([[1.0], [1e300]]), "row 1 of x is the first with a NaN or infinite value"),
    (np.array([[1.0], [None]]), "not a sound .{} file of plain numbers (Object arrays cannot be loaded"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_an_array_that_cannot_be_data_is_told(tmp_path, x, said, suffix):
    assert complaint(saved(tmp_path / f"x.{suffix}", x)).startswith(said.replace("{}", suffix))


@pytest.mark.parametrize(("y", "said"), [
    (np.zeros(19, int), "y has shape (19,), x has 20 rows"),
    (np.zeros((20, 1), int), "y has shape (20, 1), x has 20 rows"),
    (np.arange(20) / 2, "y holds float64, and row 1 0.5: 20 different numbers in 20 rows, of which at most 10"),
    (np.full(20, np.nan), "y holds float64, and row 0 nan: label every row, with whole numbers, text, or true"),
    (np.full(20, 1j), "y holds complex128: write whole numbers, text, or true and false"),
    (np.full(20, None), "not a sound .npz file of plain numbers (Object arrays cannot be loaded"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_told(tmp_path, y, said):
    assert complaint(saved(tmp_path / "x.npz", VECTORS, y)).startswith(said)


def test_a_pickle_in_a_file_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = saved(tmp_path / "x.npy", np.array([[Trap()], [None]]))
    complaint(path)
    complaint(saved(tmp_path / "x.npz", np.array([[Trap()], [None]])))
    assert not (tmp_path / "sprung").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "sprung").exists()  # so the trap would have sprung


def test_a_missing_file_is_told(tmp_path):
    for suffix in ("npy", "npz", "parquet"):
        assert complaint(tmp_path / f"x.{suffix}") == "there is no such file: mend the path."


@pytest.mark.parametrize("name", ["x.csv", "x", "x.npy.gz", "folder"])
def test_an_unknown_suffix_is_told_with_the_known_ones(tmp_path, name):
    said = f"unknown suffix '{Path(name).suffix}': use one of .npy, .npz, .parquet."
    assert complaint(tmp_path / name) == said


def test_a_folder_with_the_name_of_a_file_is_told(tmp_path):
    for suffix in ("npy", "npz", "parquet"):
        (tmp_path / f"x.{suffix}").mkdir()
        assert complaint(tmp_path / f"x.{suffix}").startswith(f"not a sound .{suffix} file of plain numbers (")


def test_an_npz_without_x_is_told_with_the_keys_it_has(tmp_path):
    np.savez(tmp_path / "x.npz", images=VECTORS, labels=np.zeros(20))
    assert complaint(tmp_path / "x.npz").startswith("no key 'x' among images, labels: write it with numpy.savez")
    zipfile.ZipFile(tmp_path / "empty.npz", "w").close()
    assert complaint(tmp_path / "empty.npz").startswith("no key 'x' among none")


def some_file(path: Path) -> bytes:
    """A sound file of 20 vectors, as bytes."""
    if path.suffix == ".parquet":
        parquet(path, x=VECTORS.tolist())
    elif path.suffix == ".npz":
        np.savez_compressed(path, x=VECTORS)
    else:
        saved(path, VECTORS)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_a_file_that_is_empty_cut_short_or_something_else_is_told(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    sound = some_file(path)
    for content in (b"", b"not data at all", sound[: len(sound) // 2], sound[:-20], b"\x80\x04N."):
        path.write_bytes(content)
        assert complaint(path).startswith(f"not a sound {suffix} file of plain numbers (")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_a_file_with_damaged_bytes_is_told_or_read_but_never_a_crash(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    sound, refused = some_file(path), 0
    for _ in range(150):
        content = bytearray(sound)
        start = int(RNG.integers(len(content)))
        content[start : start + 4] = RNG.bytes(4)
        path.write_bytes(content)
        try:
            loaded(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(("columns", "said"), [
    ({"a": [1.0, 2.0], "c": ["u", "v"]}, "column 'c' is string, not numbers"),
    ({"a": [True, False]}, "column 'a' is bool, not numbers"),
    ({"y": [1, 2]}, "no column 'x', nor any other than 'y'"),
    ({"x": [[1.0, 2.0], [1.0]]}, "the lists of column 'x' have 1 to 2 numbers: make them equally long"),
    ({"x": [[1.0, 2.0], None]}, "row 1 of column 'x' is empty: drop or fill it"),
    ({"x": [[1.0, 2.0], [1.0, None]]}, "row 1 of x is the first with a NaN or infinite value"),
    ({"a": [None, 2.0]}, "row 0 of x is the first with a NaN or infinite value"),
    ({"x": [["u"], ["v"]]}, "x holds object"),
    ({"x": [[[1.0]], [[2.0]]]}, "x holds object"),
    ({"a": [1, 2]}, "x holds int64"),
    ({"a": [1.0, 2.0], "y": [0.5, 1.5]}, "y holds float64, and row 0 0.5: 2 different numbers in 2 rows"),
    ({"a": [1.0, 2.0], "y": ["u", None]}, "row 1 of y is None, which is no text: label every row"),
    ({"a": [1.0, 2.0], "y": [7, None]}, "y holds float64, and row 1 nan"),
    ({"a": pa.array([], pa.float32())}, "x of shape (0, 1) is too small"),
    ({"x": pa.array([], pa.list_(pa.float32()))}, "x of shape (0, 0) is too small"),
])  # fmt: skip
def test_a_parquet_file_that_cannot_be_vectors_is_told(tmp_path, columns, said):
    assert complaint(parquet(tmp_path / "x.parquet", **columns)).startswith(said)
