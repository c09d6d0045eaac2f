"""Downstream classifiers and the noise that is put on their input: good, useless and degenerate representations."""

import math

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
from torch import nn

from trainables.common.errors import Undefined
from trainables.data import Mnist
from trainables.data.loading import open_splits
from trainables.metrics.attributes_neural import attributes_neural, best_accuracies, started
from trainables.metrics.corruption import CORRUPTIONS, corrupted
from trainables.metrics.probes import Labelled, attributes, forest, forest_as_published, in_turns, seeds_of, svm
from trainables.noise import Noise, seed_of


def blobs(rows, classes=4, seed=0, spread=0.2):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return Labelled(np.eye(classes)[y] + spread * rng.normal(size=(rows, classes)), y)


def useless(rows, classes=4, seed=0):
    return Labelled(np.random.default_rng(seed).normal(size=(rows, 3)), np.arange(rows) % classes)


def test_classes_take_turns_until_the_rare_ones_are_used_up():
    y = np.array([0, 0, 0, 0, 1, 1, 2])
    order = in_turns(y, 0)
    assert y[order].tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert sorted(order) == list(range(7))
    assert (in_turns(y, 0) == order).all() and any((in_turns(y, seed) != order).any() for seed in range(1, 6))


def test_draws_of_one_seed_are_those_of_no_other():
    assert seeds_of(0, range(10, 20)) == tuple(range(10, 20))  # as the papers' code counts them
    drawn = [seed for own in range(200) for seed in seeds_of(own, range(10))]
    assert len(set(drawn)) == len(drawn)
    assert seeds_of(7, range(3)) == seeds_of(7, range(10))[:3]


def test_the_published_test_rows_of_mnist_have_the_reference_counts(real_data):
    labels = open_splits(Mnist(), real_data).test.y.numpy()
    counts = np.bincount(labels[in_turns(labels, 10)[-2000:]])
    assert counts.tolist() == [180, 335, 232, 210, 182, 92, 158, 228, 174, 209]


def test_forests_tell_classes_that_lie_apart_and_guess_where_nothing_tells_them():
    good = forest(blobs(100), blobs(200, seed=1), sizes=(20, 60), seeds=(10, 11))
    assert list(good) == ["forest_20", "forest_60"] and min(good.values()) > 0.9
    assert forest(useless(100), useless(400, seed=1), (60,), (10, 11))["forest_60"] == pytest.approx(0.25, abs=0.1)


def test_the_published_protocol_tests_on_the_last_rows_of_one_split():
    assert forest_as_published(blobs(100), sizes=(20,), test_rows=50)["forest_published_20"] > 0.9
    with pytest.raises(Undefined, match="training rows are of 1 classes"):
        forest_as_published(blobs(100, classes=1), sizes=(20,), test_rows=50)
    with pytest.raises(Undefined, match=r"60 \+ 50 rows asked for, 100 are there"):
        forest_as_published(blobs(100), sizes=(60,), test_rows=50)


def attribute_rows(rows, seed):
    z = np.random.default_rng(seed).normal(size=(rows, 3)) * [1, 100, 0] + [0, 5, 1]
    return Labelled(z, np.stack([z[:, 0] > 0, z[:, 1] > 105, np.ones(rows, dtype=bool)], axis=1))


def test_attributes_on_a_line_are_learned_and_the_baseline_is_the_majority():
    """One attribute halves the rows, one has a sixth of them, one is true of all: a baseline of (1/2 + 5/6 + 1) / 3."""
    found = attributes(attribute_rows(300, 0), attribute_rows(1000, 1), sizes=(50, 200), draws=2)
    assert found["attributes_majority"] == pytest.approx((0.5 + 0.841 + 1) / 3, abs=0.02)
    assert 0.93 < found["attributes_50"] < found["attributes_200"] <= 1


def test_an_attribute_that_no_training_row_has_is_said_to_be_false():
    train, test = attribute_rows(40, 0), attribute_rows(100, 1)
    train.y_N[:] = False
    assert attributes(train, test, sizes=(20,), draws=1)["attributes_20"] == pytest.approx((~test.y_N).mean())


def network_alone(train, test, attribute, key):
    """The best test accuracy of one attribute's network, in a plain loop; its start and batches are those of all."""
    generator = torch.Generator().manual_seed(seed_of(*key, "attributes"))
    first, second, *_ = started(train.z_ND.shape[1], train.y_N.shape[1], generator)
    network = nn.Sequential(nn.Linear(train.z_ND.shape[1], 10), nn.ReLU(), nn.Linear(10, 2))
    with torch.no_grad():
        for layer, weight in ((network[0], first), (network[2], second)):
            layer.weight.copy_(weight[attribute].T), layer.bias.zero_()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-7)
    z, y = torch.from_numpy(train.z_ND).float(), torch.from_numpy(train.y_N[:, attribute]).long()
    best, waited = -1.0, 0
    while waited < 20:
        for index in torch.randperm(len(z), generator=generator).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(z[index]), y[index]).backward()
            optimizer.step()
        said = network(torch.from_numpy(test.z_ND).float()).argmax(1).numpy()
        right = (said == test.y_N[:, attribute]).mean()
        best, waited = (right, 0) if right > best else (best, waited + 1)
    return best


def test_networks_of_all_attributes_at_once_learn_as_each_would_alone():
    train, test = attribute_rows(250, 0), attribute_rows(120, 1)
    train.z_ND[:, 1] /= 100
    test.z_ND[:, 1] /= 100
    train.y_N[:, 2] = np.random.default_rng(2).random(250) < 0.3  # nothing tells it: its network stops early
    found = best_accuracies(train, test, 0, 3)
    assert found.tolist() == pytest.approx([network_alone(train, test, a, (0, 3)) for a in range(3)], abs=1.5 / 120)
    assert found[0] > 0.9


def test_the_codes_attributes_are_trained_and_tested_within_one_split():
    both = attribute_rows(90, 0)
    both.z_ND[:, 1] /= 100
    order = np.random.default_rng(4).permutation(90)
    rows = both[order]
    expected = np.mean([best_accuracies(rows[:40], rows[-50:], 4, draw) for draw in range(2)])
    state = torch.get_rng_state()
    assert attributes_neural(both, (40,), 50, draws=2, seed=4) == {"attributes_neural_40": pytest.approx(expected)}
    assert (torch.get_rng_state() == state).all()
    with pytest.raises(Undefined, match=r"41 \+ 50 rows asked for, 90 are there"):
        attributes_neural(both, (41,), 50, draws=1)
    both.z_ND[3] = math.nan
    with pytest.raises(Undefined, match="not finite"):
        attributes_neural(both, (40,), 50, draws=1)


def test_machines_are_scored_on_each_test_and_the_clean_one_is_best():
    tests = {"clean": blobs(100, seed=1), "gaussian_0.4": blobs(100, seed=1, spread=0.8)}
    found = svm(blobs(200), tests, labels=40, draws=2)
    assert found["svm_clean"] > 0.95 > found["svm_gaussian_0.4"] > 0.25
    assert list(found) == ["svm_clean", "svm_gaussian_0.4"]


def clouds(rows, seed):
    """Two in 30 dimensions, of which one tells them apart: Bayes' accuracy is .933."""
    z, y = np.random.default_rng(seed).normal(size=(rows, 30)), np.arange(rows) % 2
    z[:, 0] += 1.5 * (2 * y - 1)
    return Labelled(z, y)


def self_trained_by_hand(train, test, labels, threshold=0.95, rounds=5):
    order = in_turns(train.y_N, 0)
    rows, others = train[order[:labels]], train.z_ND[np.sort(order[labels:])]
    cost = GridSearchCV(SVC(), {"C": [0.1, 1, 10, 100]}, cv=3).fit(rows.z_ND, rows.y_N).best_params_["C"]
    machine = CalibratedClassifierCV(SVC(C=cost), ensemble=False, cv=3)
    z, y = np.concatenate([rows.z_ND, others]), np.concatenate([rows.y_N, np.full(len(others), -1)])
    for _ in range(rounds):
        sure = machine.fit(z[y >= 0], y[y >= 0]).predict_proba(z)
        y = np.where((y < 0) & (sure.max(1) > threshold), sure.argmax(1), y)
    return machine.fit(z[y >= 0], y[y >= 0]).score(test.z_ND, test.y_N)


def test_self_training_learns_from_rows_without_labels():
    """24 labels do not tell a direction among 30; what the machine is sure of, in five rounds, does."""
    train, test = clouds(600, 0), clouds(20_000, 1)
    found = svm(train, {"clean": test}, labels=24, unlabelled=600, draws=1)
    assert found["self_trained_clean"] > found["svm_clean"] + 0.04
    assert found["self_trained_clean"] == self_trained_by_hand(train, test, 24)
    others = {self_trained_by_hand(train, test, 24, *way) for way in ((0.9, 5), (0.98, 5), (0.95, 4), (0.95, 6))}
    assert found["self_trained_clean"] not in others


@pytest.mark.parametrize("own", [(-1, 1), (0, -1), (-1, -7), (-1, 900)])
def test_any_whole_numbers_serve_as_labels(own):
    """Which numbers the classes have changes no accuracy; their order decides which class is served first."""
    train, test = clouds(600, 0), clouds(2000, 1)
    names = np.array(sorted(own))
    found = svm(Labelled(train.z_ND, names[train.y_N]), {"clean": Labelled(test.z_ND, names[test.y_N])}, 24, 600, 2)
    assert found == svm(train, {"clean": test}, labels=24, unlabelled=600, draws=2)


def test_test_rows_of_a_class_that_was_not_trained_count_as_wrong():
    train, test = blobs(200, classes=3), blobs(90, classes=3, seed=1)
    other = Labelled(test.z_ND, np.where(test.y_N == 2, 7, test.y_N))
    found = svm(train, {"all": test, "other": other}, labels=40, unlabelled=100, draws=1)
    for kind in ("svm", "self_trained"):
        assert found[f"{kind}_all"] == 1 and found[f"{kind}_other"] == pytest.approx(2 / 3)


def test_more_rows_than_there_are_cannot_be_asked_for():
    for score in (
        lambda: forest(blobs(30), blobs(10), sizes=(31,)),
        lambda: svm(blobs(30), {"clean": blobs(10)}, labels=31),
        lambda: attributes(attribute_rows(30, 0), attribute_rows(10, 1), sizes=(31,)),
    ):
        with pytest.raises(Undefined, match="31 training rows asked for, 30 are there"):
            score()


def test_machines_need_rows_of_each_class_for_cross_validation():
    for train, labels in ((blobs(30), 8), (blobs(30, classes=1), 20)):
        with pytest.raises(Undefined, match="2 classes of 3 are the least"):
            svm(train, {"clean": blobs(10)}, labels=labels)


def noise(rows, total=None):
    return Noise(0, "test", rows=rows, total=total or rows.stop)


@pytest.mark.parametrize("sd", [0.2, 0.3, 0.4])
def test_gaussian_noise_has_its_moments_in_the_units_of_the_image(sd):
    x = torch.full((200, 3, 16, 16), -1.0)
    added = (corrupted(f"gaussian_{sd}", x, (-1.0, 1.0), noise(slice(200))) - x) / 2
    assert added.mean().item() == pytest.approx(0, abs=5 * sd / math.sqrt(added.numel()))
    assert added.std().item() == pytest.approx(sd, rel=0.01)
    assert added.min() < -2 * sd  # not cut off at black


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_masks_blacken_that_share_of_pixels_in_all_channels(share):
    x = torch.full((200, 3, 16, 16), 0.7)
    found = corrupted(f"mask_{share}", x, (-1.0, 1.0), noise(slice(200)))
    black = found == -1
    assert black.double().mean().item() == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / (200 * 256)))
    assert (black[:, :1] == black).all()
    torch.testing.assert_close(found[~black], x[~black])
    assert (black[0] != black[1]).any()


@pytest.mark.parametrize(("data_range", "grey"), [((0.0, 1.0), 0.5), ((-1.0, 1.0), 0.0)])
def test_signed_noise_is_put_on_images_from_minus_one_to_one(data_range, grey):
    low, high = data_range
    x = torch.rand(50, 3, 16, 16) * (high - low) + low
    added = corrupted("gaussian_0.4_signed", x, data_range, noise(slice(50))) - x
    eps = noise(slice(50)).normal("corruption", 3, 16, 16)
    torch.testing.assert_close(added, 0.4 * eps * (high - low) / 2, rtol=0, atol=1e-5)
    masked = corrupted("mask_0.5_signed", x, data_range, noise(slice(50)))
    black = corrupted("mask_0.5", x, data_range, noise(slice(50))) == low
    torch.testing.assert_close(masked[black], torch.full((int(black.sum()),), grey))
    torch.testing.assert_close(masked[~black], x[~black])


def test_noise_belongs_to_the_row_whoever_holds_it():
    x = torch.rand(6, 1, 4, 4)
    for name in CORRUPTIONS:
        whole = corrupted(name, x, (0.0, 1.0), noise(slice(6)))
        torch.testing.assert_close(corrupted(name, x[2:5], (0.0, 1.0), noise(slice(2, 5), 6)), whole[2:5])


def test_clean_images_and_vectors_keep_their_values_and_shapes():
    x = torch.rand(5, 7) * 2 - 1
    torch.testing.assert_close(corrupted("clean", x, (-1.0, 1.0), noise(slice(5))), x)
    assert corrupted("mask_0.5", x, None, noise(slice(5))).shape == x.shape
