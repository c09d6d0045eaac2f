"""Evaluations that take a moment, and models to try them on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.support.small_runs import METHODS
from trainables.common.records import name_of
from trainables.data import Attributes, Digits, Mnist01, Rows, Splits
from trainables.data.loading import load_splits
from trainables.evaluations import EVALUATIONS, Evaluation
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.noise import Noise
from trainables.run import Run
from trainables.train import Training

SETTINGS = {
    "frechet": {"features": "classifier", "generated": 130, "real": 70},
    "frechet_intel": {"features": "classifier", "generated": 130, "real": 70},
    "frechet_ard": {"features": "classifier", "generated": 130, "real": 70},
    "prd": {"features": "classifier", "generated": 130, "real": 70},
    "hoyer": {"rows": 80},
    "magnitudes": {"rows": 80},
    "factor_vae": {"rows": 300},
    "mig": {"rows": 300},
    "mmd": {"split": "train"},
    "information": {"rows": 80},
    "svm": {"labels": 60, "unlabelled": 30, "draws": 1},
    "forest": {"sizes": [20]},
    "attributes": {"sizes": [20]},
    "uncertainty": {"generated": 50},
    "parzen": {"generated": 90, "real": 60},
    "nearest": {"generated": 90, "real": 60},
    "iwae": {"rows": 30, "k": 3},
}
DATA = {
    "digits": {"name": "digits", "train_rows": 1010, "val_rows": 90},
    "sprites": {"name": "sprites", "side": 32, "train_rows": 300, "val_rows": 60},
    "mnist01": {"name": "mnist01"},  # see `zeros_and_ones`
    "circle": {"name": "circle", "train_rows": 1010, "val_rows": 120},
}
WITHOUT_DENSITY = {"rae", "wae_mmd", "mask_aae", "vimae", "sparse_vae"}


def small(**more: object) -> list[Evaluation]:
    """One of each, with small settings; `more` goes to those that have such a field."""
    return [a_small(name_of(kind), **more) for kind in EVALUATIONS]


def a_small(name: str, **more: object) -> Evaluation:
    kind = next(kind for kind in EVALUATIONS if name_of(kind) == name)
    known = {field: value for field, value in more.items() if field in kind.model_fields}
    return kind.model_validate(SETTINGS.get(name, {}) | known)


def a_model(example: str = "vae", data: str | dict = "digits", **changes: object) -> Run:
    values = {
        "method": METHODS[example],
        "network": {"name": "mlp", "hidden": [16], "latent_dim": 6},
        "data": DATA[data] if isinstance(data, str) else data,
        "likelihood": {"name": "gaussian"} if data == "circle" else {"name": "squared_error"},
        "batch_size": 32,
        "epochs": 1,
    }
    return Run.model_validate(values | changes)


def zeros_and_ones(self: Mnist01, root: Path) -> Splits:
    """What `mnist01` opens, in small: the zeros and ones of scikit-learn's digits."""
    rows = load_splits(Digits()).train
    some = rows.take(rows.y < 2)
    return Splits(some.take(slice(160)), some.take(slice(160, 220)), some.take(slice(220, None)))


def with_attributes(training: Training) -> Training:
    """Two attributes for each digit: whether it is odd, and whether it is above four."""

    def attributed(rows: Rows) -> Rows:
        return replace(rows, attributes=Attributes(torch.stack([rows.y % 2 == 1, rows.y > 4], 1), ("odd", "large")))

    training.splits = Splits(attributed(training.splits.train), attributed(training.splits.val), None)
    return training


def noises(rows, *key):
    """The noise of each block of 500 rows."""
    return [Noise(*key, start, rows=slice(min(500, rows - start)), total=500) for start in range(0, rows, 500)]


def values(training, name, **settings):
    finding = find(a_small(name, **settings), EvaluationContext(training))
    assert not finding.undefined
    return finding.values


def model(example="vae", data="digits", dead=(), **changes):
    """An untrained model, in evaluation mode; the decoder does not see the axes `dead`. Of GECO's gates 3 are open."""
    training = Training(a_model(example, data, **changes))
    training.learner.eval()
    if example == "geco_l0_arm_vae":
        training.learner.vae.mapping.logits_L.data[[0, 2, 3]] = -1.0
    first = next(module for module in training.learner.vae.decoder.modules() if isinstance(module, torch.nn.Linear))
    first.weight.data[:, list(dead)] = 0
    return training


def images(rows, split="val", part=slice(None)):
    some = getattr(rows.splits, split)
    return some.batch(torch.arange(len(some))[part])


@torch.no_grad()
def mean_codes(training, split="val"):
    return training.learner.vae.represent(images(training, split)).numpy()


@torch.no_grad()
def draws(training, rows, split="val"):
    """Samples of q of the first rows of a split, by the noise of their block."""
    x = images(training, split)[:rows]
    parts = zip(x.split(500), noises(len(x), 0, split, "code"), strict=True)
    return torch.cat([training.learner.vae.encode(some).draw(noise).y_BD for some, noise in parts])


def frechet_by_eigenvalues(one, other):
    """The Frechet distance of rows of features, from the eigenvalues of the product of their covariances."""
    (m1, s1), (m2, s2) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (one, other))
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
    return ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root


def rounded(x):
    """Images as rows of values that a byte can hold, in [0, 1]."""
    return np.rint(x.numpy().reshape(len(x), -1).astype(np.float64) * 255) / 255
