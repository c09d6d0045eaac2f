"""A model that is exported as safetensors and read again is the same, whole or pruned, whatever the method."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from orchestrator.export import folder
from tests.support.small_runs import METHODS, a_run
from trainables.common.errors import UsageError
from trainables.inference import fitted
from trainables.inference.fitted import Fitted
from trainables.inference.model import Model, Origin
from trainables.train import Training

FACTS = {"made_with": {"torch": "2"}}


def model_of(name: str) -> Model:
    """An untrained model, of which the rows say that three axes are relevant."""
    training = Training(a_run(name))
    rows = vars(fitted.fit(training.learner, training.splits.train, 2))
    rows |= {"score_D": torch.tensor([3.0, 0.0, 2.0, 0.0, 1.0, 0.0], dtype=torch.float64), "collapsed": False}
    return Model(training.learner, training.run, lambda: Fitted(**rows), Origin(name, 2))


def same(one: Model, other: Model) -> bool:
    x = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    pairs = [(one.reconstruct(x), other.reconstruct(x)), (one.sample(4), other.sample(4))]
    return all(np.allclose(mine, theirs, atol=1e-6) for mine, theirs in pairs) and one.run == other.run


@pytest.mark.parametrize("name", METHODS)
def test_a_model_that_is_read_again_is_the_same(name, tmp_path):
    model = model_of(name)
    folder.write(model, tmp_path, FACTS)
    assert folder.is_one(tmp_path) and same(folder.read(tmp_path), model)
    try:
        small = model.prune()
    except UsageError:  # those that cannot be cut are named in tests/trainables/inference/test_prune.py
        return
    folder.write(small, tmp_path, FACTS)
    assert same(folder.read(tmp_path), small) and folder.read(tmp_path).origin.axes == small.origin.axes


def test_what_training_alone_needs_is_not_exported(tmp_path):
    folder.write(model_of("mask_aae"), tmp_path, FACTS)
    with safe_open(tmp_path / folder.WEIGHTS, "pt") as file:
        names = set(file.keys())
    assert not [name for name in names if "critic" in name or "extras" in name]
    assert {"vae.mapping.m_L", "fitted.score_D"} <= names


def test_a_model_whose_rows_are_not_known_says_so_when_it_is_read_again(tmp_path):
    def absent() -> Fitted:
        raise UsageError("nothing was kept.")

    model = Model(Training(a_run("ard_vae")).learner, a_run("ard_vae"), absent, Origin("x", 1))
    folder.write(model, tmp_path, FACTS)
    with pytest.raises(UsageError, match=r"nothing was kept"):
        folder.read(tmp_path).sample(1)
