"""The numbers of what representations are good for, against classifiers that are trained here on the model's codes."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from tests.support.evaluations import DATA, a_small, draws, images, mean_codes, model, noises, values, with_attributes
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.downstream import chosen, probes
from trainables.evaluations.evaluate import find
from trainables.metrics.attributes_neural import attributes_neural
from trainables.metrics.probes import Labelled, in_turns

MAPPED = pytest.mark.parametrize("example", ["vae", "intel_vae sectors"])
"""The mean code is the representation, and a mapping makes another of it."""


@MAPPED
def test_machines_are_trained_on_clean_codes_and_tested_on_codes_of_noisy_images(example):
    training = model(example)
    noise = noises(90, 0, "val", "corruption")[0]
    noisy = images(training) + 0.2 * noise.normal("corruption", 1, 8, 8)
    order = in_turns(training.splits.train.y.numpy(), 0)[:60]
    train, y = mean_codes(training, "train")[order], training.splits.train.y.numpy()[order]
    machine = GridSearchCV(SVC(gamma="scale"), {"C": [0.1, 1, 10, 100]}, cv=3).fit(train, y)
    found = values(training, "svm", labels=60, unlabelled=0, draws=1)
    labels = training.splits.val.y.numpy()
    assert found["svm_clean"] == machine.score(mean_codes(training), labels)
    with torch.no_grad():
        code = training.learner.vae.represent(noisy).numpy()
    assert found["svm_gaussian_0.2"] == machine.score(code, labels)
    signed = values(training, "svm", labels=60, unlabelled=0, draws=1, signed=True)
    assert signed["svm_clean"] == found["svm_clean"] and signed != found


@MAPPED
def test_characters_that_no_training_row_has_are_told_apart_in_sets_of_five(example):
    """360 rows of 10 digits, in the place of Omniglot's test characters."""
    training = model(example, DATA["digits"] | {"train_rows": 200, "val_rows": None})
    val = training.splits.val
    training.splits = replace(training.splits, val=replace(val, y=val.y + 100))
    finding = find(a_small("svm", labels=None, unlabelled=20, draws=3), EvaluationContext(training))
    assert set(finding.values) > {"svm_clean", "self_trained_mask_0.5"}
    sets = [chosen(val.y.numpy() + 100, seed) for seed in range(3)]
    others, tested = sum(min(20, len(train) - 100) for train, _ in sets), sum(len(test) for _, test in sets)
    assert finding.provenance.counts == (("labelled", 300), ("unlabelled", others), ("test", tested), ("sets", 3))
    assert tested == pytest.approx(3 * len(val) / 8, abs=24)  # a quarter of 5 of 10 classes, in each set
    assert finding.provenance.settings[0] == ("labels", None)
    codes, scores = mean_codes(training), []
    for seed, (train, test) in enumerate(sets):
        rows = train[in_turns(val.y[train].numpy(), seed)[:100]]
        machine = GridSearchCV(SVC(), {"C": [0.1, 1, 10, 100]}, cv=3).fit(codes[rows], val.y[rows])
        scores.append(machine.score(codes[test], val.y[test]))
    assert finding.values["svm_clean"] == pytest.approx(np.mean(scores)) and np.mean(scores) > 0.4  # by chance 0.2


@MAPPED
def test_forests_are_the_mean_of_ten_draws_of_training_rows(example):
    training = model(example)
    codes, labels = mean_codes(training, "train"), training.splits.train.y.numpy()
    scores = []
    for seed in range(10, 20):
        rows = in_turns(labels, seed)[:20]
        forest = RandomForestClassifier(50, max_depth=4, random_state=0).fit(codes[rows], labels[rows])
        scores.append(forest.score(mean_codes(training), training.splits.val.y.numpy()))
    assert values(training, "forest", sizes=[20]) == {"forest_20": pytest.approx(np.mean(scores))}
    if example == "vae":
        assert list(values(training, "forest", sizes=None)) == [f"forest_{n}" for n in (10, 20, 50, 100, 500, 1000)]


def relabelled(training, **labels):
    """The same training with other labels of a split: a function of those that it has."""
    own = {split: getattr(training.splits, split) for split in labels}
    training.splits = replace(
        training.splits, **{split: replace(own[split], y=new(own[split].y)) for split, new in labels.items()}
    )
    return training


@pytest.mark.parametrize("name", ["forest", "svm"])
def test_rows_of_classes_that_were_not_trained_count_as_wrong_and_are_counted(name):
    seen = [EvaluationContext(relabelled(model(), val=new)) for new in (lambda y: y, lambda y: y + 50 * (y > 6))]
    known, some = (find(a_small(name), each) for each in seen)
    unknown = int((seen[0].rows("val").y > 6).sum())
    assert dict(some.provenance.counts) == dict(known.provenance.counts) | {"of unknown classes": unknown}
    assert "of unknown classes" not in dict(known.provenance.counts)
    clean = {"forest": "forest_20", "svm": "svm_clean"}[name]
    assert 0 < some.values[clean] < known.values[clean] and some.values[clean] <= 1 - unknown / 90


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"val": lambda y: y + 100}, "no training row has a class of the test rows"),
        ({"train": torch.ones_like, "val": torch.ones_like}, "training rows are of 1 classes: 2 are the least"),
    ],
)
def test_a_forest_without_classes_to_tell_apart_is_undefined(labels, said):
    finding = find(a_small("forest"), EvaluationContext(relabelled(model(), **labels)))
    assert said in finding.undefined and not finding.values


@MAPPED
def test_attributes_are_read_against_the_majority(example):
    training = with_attributes(model(example))
    codes, test = mean_codes(training, "train"), mean_codes(training)
    truth = training.splits.val.attributes.values.numpy()
    scores = []
    for draw in range(10):
        rows = np.random.default_rng(draw).permutation(len(codes))[:100]
        mean, sd = codes[rows].mean(0), codes[rows].std(0)
        for attribute in range(2):
            labels = training.splits.train.attributes.values.numpy()[rows, attribute]
            line = LogisticRegression(max_iter=1000).fit((codes[rows] - mean) / sd, labels)
            scores.append((line.predict((test - mean) / sd) == truth[:, attribute]).mean())
    finding = find(a_small("attributes", sizes=[100, 50]), EvaluationContext(training))
    majority = [max(share, 1 - share) for share in truth.mean(0)]
    assert finding.values["attributes_100"] == pytest.approx(np.mean(scores))
    assert finding.values["attributes_majority"] == np.mean(majority)
    lines = list(csv.reader(finding.tables["attributes.csv"].decode().splitlines()))
    assert [line[:2] for line in lines] == [
        ["size", "attribute"],
        *([size, name] for size in ("100", "50") for name in ("odd", "large")),
    ]
    expected = [(np.mean(scores[attribute::2]), majority[attribute]) for attribute in (0, 1)]
    assert [tuple(map(float, line[2:])) for line in lines[1:3]] == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize("example", ["vae", "intel_vae sparse"])
def test_published_attributes_are_told_by_sampled_latents_of_one_split(example, monkeypatch):
    monkeypatch.setattr(probes, "ATTRIBUTE_TEST_ROWS", 40)
    training = with_attributes(model(example))
    with torch.no_grad():
        z = training.learner.vae.mapping(draws(training, 90)).numpy()
    both = Labelled(z, training.splits.val.attributes.values.numpy())
    expected = attributes_neural(both, (20,), 40)["attributes_neural_20"]
    found = values(training, "attributes", sizes=[20], published=True)
    assert list(found) == ["attributes_majority", "attributes_20", "attributes_neural_20"]
    assert found["attributes_neural_20"] == pytest.approx(expected, abs=1e-9)
