"""Facts that hold for every data set of the table; digits and the synthetic sets in particular."""

import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from sklearn.datasets import load_digits

from tests.support import ROOT
from tests.support.data_files import complaint
from trainables.common.errors import DataError
from trainables.common.records import name_of, summary
from trainables.data import DATASETS, Rows, chunks
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets.celeba import CelebA
from trainables.data.sets.digits import Digits
from trainables.data.sets.mnist import Published
from trainables.data.sets.solids import Solids
from trainables.data.sets.sprites import Sprites
from trainables.data.sets.synthetic import Circle, Cross, Infinity, Mog, Sphere, Square, Star

SYNTHETIC = (Circle, Square, Star, Infinity, Mog, Cross, Sphere)
AT_HAND = (Digits, Sprites, Solids, *SYNTHETIC)  # needs no file
LEVEL = 1e-4  # a dozen checks of fixed draws: chance alone fails one in a thousand times, a wrong formula surely
MISSING = Path("/there/is/no/such/folder")


@pytest.mark.parametrize("dataset", DATASETS, ids=name_of)
def test_every_data_set_states_its_name_summary_source_licence_and_citation(dataset):
    assert name_of(dataset).isidentifier() and name_of(dataset) == name_of(dataset).lower()
    assert 10 < len(summary(dataset)) < 120 and summary(dataset).endswith(".")
    assert dataset.source and dataset.licence and dataset.citation


def test_names_are_told_apart():
    assert len({name_of(dataset) for dataset in DATASETS}) == len(DATASETS)


@pytest.mark.parametrize("dataset", [d for d in DATASETS if name_of(d) != "array"], ids=name_of)
def test_facts_of_a_known_set_need_no_file(dataset):
    facts = read_facts(dataset(train_rows=7, val_rows=5), MISSING)
    assert (facts.train_rows, facts.val_rows) == (7, 5)
    assert read_facts(dataset(), MISSING).train_rows > 7


@pytest.mark.parametrize("dataset", AT_HAND, ids=name_of)
def test_loaded_rows_agree_with_the_facts(dataset):
    assert load_splits(dataset(), MISSING).facts() == read_facts(dataset(), MISSING)


@pytest.mark.parametrize("dataset", AT_HAND, ids=name_of)
def test_loading_twice_gives_the_same_rows(dataset):
    first, second = load_splits(dataset(), MISSING), load_splits(dataset(), MISSING)
    assert torch.equal(first.train.x, second.train.x) and torch.equal(first.val.x, second.val.x)


@pytest.mark.parametrize("dataset", AT_HAND, ids=name_of)
def test_row_limits_keep_the_first_rows(dataset):
    whole, part = load_splits(dataset(), MISSING), load_splits(dataset(train_rows=30, val_rows=20), MISSING)
    assert torch.equal(part.train.x, whole.train.x[:30]) and torch.equal(part.val.x, whole.val.x[:20])
    assert part.train.y is None or torch.equal(part.train.y, whole.train.y[:30])


@pytest.mark.parametrize("dataset", [*AT_HAND, CelebA], ids=name_of)
@pytest.mark.parametrize("field", ["train_rows", "val_rows"])
def test_more_rows_than_there_are_is_a_mistake_of_that_field(dataset, field):
    there = getattr(read_facts(dataset(), MISSING), field)
    assert getattr(read_facts(dataset(**{field: there}), MISSING), field) == there
    with pytest.raises(DataError, match=f"{there + 1} rows asked for, but {name_of(dataset)} has {there}") as caught:
        read_facts(dataset(**{field: there + 1}), MISSING)
    assert caught.value.field == field


@pytest.mark.parametrize("rows", [0, -1, 2.5, "10", True])
def test_row_limits_are_positive_whole_numbers(rows):
    with pytest.raises(ValidationError):
        Digits(train_rows=rows)


@pytest.mark.parametrize("dataset", AT_HAND, ids=name_of)
def test_chunks_of_each_split_are_what_is_loaded(dataset):
    """Images as bytes, or points; with labels or factors beside them."""
    opened, whole = open_splits(dataset(train_rows=500), MISSING), load_splits(dataset(train_rows=500), MISSING)
    for split in ("train", "val"):
        pieces, rows = list(chunks(getattr(opened, split), 200)), getattr(whole, split)
        assert torch.equal(torch.cat([piece.x for piece in pieces]), rows.x)
        if rows.y is not None:
            assert torch.equal(torch.cat([piece.y for piece in pieces]), rows.y)
        if rows.factors is not None:
            assert torch.equal(torch.cat([piece.factors.values for piece in pieces]), rows.factors.values)


@pytest.mark.parametrize(
    "dataset",
    [d for d in DATASETS if d.home and not issubclass(d, Published)],
    ids=name_of,
)
def test_a_set_whose_files_are_absent_says_where_to_get_them_and_where_to_put_them(dataset, tmp_path):
    said = complaint(dataset(), tmp_path)
    assert said.startswith(f"{tmp_path}: no ") and f": get it from {dataset.home} and put it there" in said
    assert "--data-root or VAEORCH_DATA" in said


def test_a_data_error_keeps_its_field_across_processes():
    error = pickle.loads(pickle.dumps(DataError("x.npy: wrong", "path")))
    assert (str(error), error.field) == ("x.npy: wrong", "path")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_bytes_are_spread_over_the_range_from_end_to_end(low, high):
    x = torch.arange(256, dtype=torch.uint8).reshape(256, 1)
    batch = Rows(x, None, (low, high)).batch(torch.arange(256))
    expected = np.linspace(low, high, 256, dtype=np.float64)
    assert batch.dtype == torch.float32 and (batch.min(), batch.max()) == (low, high)
    np.testing.assert_allclose(batch[:, 0].double(), expected, atol=1.2e-7)


def test_a_batch_is_picked_by_index_and_leaves_the_bytes_alone():
    rows = Rows(torch.tensor([[0], [51], [255]], dtype=torch.uint8), None, (0.0, 1.0))
    assert rows.batch(torch.tensor([2, 0, 2])).flatten().tolist() == [1.0, 0.0, 1.0]
    assert rows.x.flatten().tolist() == [0, 51, 255]


def test_floats_pass_a_batch_as_they_are():
    rows = Rows(torch.tensor([[-7.5], [3.25]]), None, None)
    assert rows.batch(torch.tensor([1, 0])).flatten().tolist() == [3.25, -7.5]


def test_digits_are_scikit_learns_images_each_once_with_its_label():
    splits, bunch = load_splits(Digits(), None), load_digits()
    assert (len(splits.train), len(splits.val), splits.test) == (1_500, 297, None)
    images = torch.cat([splits.train.x, splits.val.x]).flatten(1).double() * (16 / 255)
    labels = torch.cat([splits.train.y, splits.val.y])
    found = np.column_stack([images.round().numpy(), labels.numpy()])
    expected = np.column_stack([bunch.data, bunch.target])
    assert np.array_equal(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])


def test_both_splits_of_digits_hold_every_class_in_its_share():
    splits = load_splits(Digits(), None)
    counts = torch.stack([splits.train.y.bincount(), splits.val.y.bincount()])
    assert stats.chi2_contingency(counts.numpy()).pvalue > LEVEL


def test_points_of_the_circle_are_evenly_spread_at_radius_2():
    x = _points(Circle)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 2, atol=1e-6)
    assert _uniform(np.arctan2(x[:, 1], x[:, 0]), -math.pi, math.pi)


def test_points_of_the_sphere_are_evenly_spread_at_radius_2():
    """By Archimedes, each coordinate of such a point is uniform; so is the angle around an axis."""
    x = _points(Sphere)
    assert x.shape[1] == 3
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 2, atol=1e-6)
    assert all(_uniform(x[:, axis], -2, 2) for axis in range(3))
    assert _uniform(np.arctan2(x[:, 1], x[:, 0]), -math.pi, math.pi)


def test_points_of_the_square_are_evenly_spread_over_its_four_sides():
    x, half = _points(Square), math.sqrt(2)
    np.testing.assert_allclose(np.abs(x).max(axis=1), half, atol=1e-6)
    upright = np.abs(np.abs(x[:, 0]) - half) < 1e-6
    side = np.where(upright, x[:, 0] > 0, 2 + (x[:, 1] > 0))
    assert stats.chisquare(np.bincount(side, minlength=4)).pvalue > LEVEL
    assert _uniform(np.concatenate([x[upright, 1], x[~upright, 0]]), -half, half)


def test_points_of_the_star_are_evenly_spread_over_its_ten_edges():
    """Its corners by hand: outer ones at radius 2, the first straight up; inner ones at 2/3, half way between."""
    angle = math.pi / 2 + np.arange(11) * math.pi / 5
    corner = np.where(np.arange(11) % 2 == 0, 2, 2 / 3)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start, edge = corner[:-1], np.diff(corner, axis=0)
    offset = _points(Star)[:, None] - start
    along = np.clip((offset * edge).sum(2) / (edge**2).sum(1), 0, 1)
    distance = np.linalg.norm(offset - along[..., None] * edge, axis=2)
    nearest = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-6
    assert stats.chisquare(np.bincount(nearest, minlength=10)).pvalue > LEVEL
    assert _uniform(along[np.arange(len(nearest)), nearest], 0, 1)


def test_points_of_infinity_lie_on_its_curve_and_are_spread_by_angle():
    x = _points(Infinity)
    np.testing.assert_allclose(x[:, 1] ** 2, x[:, 0] ** 2 * (1 - x[:, 0] ** 2 / 4), atol=1e-5)
    assert _uniform(np.arccos(np.clip(x[:, 0] / 2, -1, 1)), 0, math.pi)
    assert stats.binomtest(int((x[:, 1] > 0).sum()), len(x)).pvalue > LEVEL


def test_the_mixture_has_two_equal_gaussians_and_labels_them():
    train = load_splits(Mog(), None).train
    x, right = train.x.double().numpy(), train.y.numpy() == 1
    assert stats.binomtest(int(right.sum()), len(x)).pvalue > LEVEL
    standard = (x - np.where(right, 2, -2)[:, None] * [1, 0]) / 0.3
    assert stats.kstest(standard.ravel(), "norm").pvalue > LEVEL
    assert abs(np.corrcoef(standard.T)[0, 1]) < 4 / math.sqrt(len(x))


def test_points_of_the_cross_are_wide_along_the_axis_that_labels_them_and_narrow_along_the_other():
    train = load_splits(Cross(), None).train
    x, axis = train.x.double().numpy(), train.y.numpy()
    assert stats.binomtest(int(axis.sum()), len(x)).pvalue > LEVEL
    rows = np.arange(len(x))
    assert stats.kstest(x[rows, axis], "norm").pvalue > LEVEL
    assert stats.kstest(x[rows, 1 - axis] / 0.05, "norm").pvalue > LEVEL


@pytest.mark.parametrize("dataset", SYNTHETIC, ids=name_of)
def test_validation_points_are_their_own_and_do_not_depend_on_the_number_of_rows(dataset):
    few, many = load_splits(dataset(rows=100), None), load_splits(dataset(rows=5_000), None)
    assert (len(few.train), len(many.train), len(few.val)) == (100, 5_000, 2_000)
    assert torch.equal(few.val.x, many.val.x)
    assert not torch.isin(many.val.x, many.train.x).all(dim=1).any()


def _points(dataset) -> np.ndarray:
    splits = load_splits(dataset(), None)
    assert splits.train.x.dtype == torch.float32 and splits.train.range is None
    return splits.train.x.double().numpy()


def _uniform(values: np.ndarray, low: float, high: float) -> bool:
    return stats.kstest(values, "uniform", (low, high - low)).pvalue > LEVEL


def test_records_of_data_sets_load_nothing_heavy():
    code = "import sys, trainables.data; print([name for name in HEAVY if name in sys.modules])"
    code = f"HEAVY = ('torch', 'numpy', 'sklearn', 'pyarrow', 'h5py', 'PIL'); {code}"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert loaded.strip() == "[]"
