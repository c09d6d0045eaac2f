"""A pruned model computes what the large one does with its other axes held, for every method that lets axes be cut."""

import copy

import numpy as np
import pytest
import torch

from tests.support.small_runs import METHODS, a_run
from trainables.common.errors import UsageError
from trainables.inference import fitted
from trainables.inference import prune as pruning
from trainables.inference.building import blank
from trainables.inference.fitted import Fitted
from trainables.inference.model import Model, Origin
from trainables.inference.prune import prune
from trainables.networks import NETWORKS
from trainables.run import Run
from trainables.train import Training

ACTIVE = torch.tensor([True, True, False, True, True, False])
HELD = torch.tensor([0.0, 0.0, 0.7, 0.0, 0.0, -1.3], dtype=torch.float64)
MIXING = {
    "intel_vae sphere": "the mapping of intel_vae mixes axes",
    "intel_vae sparse": "the mapping of intel_vae mixes axes",
    "intel_vae sparse latents": "the mapping of intel_vae mixes axes",
    "intel_vae hierarchical": "does not work with the 4 axes that are left: mapping.groups",
    "sylvester_vae": "cannot be cut",
}
"""Methods whose axes depend on each other, and what they say."""


@pytest.mark.parametrize("name", [name for name in METHODS if name not in MIXING])
def test_a_pruned_model_equals_the_masked_one(name):
    run = a_run(name)
    learner = Training(run).learner.eval()
    small, smaller = prune(learner, run, ACTIVE, HELD)
    assert smaller.network.latent_dim == small.vae.latent_dim == 4
    large = learner.vae
    x_BX = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        z_BL = large.represent(x_BX)
        masked_BX = large.decode(torch.where(ACTIVE, z_BL, HELD.float())).mean_BX
        assert torch.allclose(small.vae.represent(x_BX), z_BL[:, ACTIVE], atol=1e-5)
        assert torch.allclose(small.vae.decode(small.vae.represent(x_BX)).mean_BX, masked_BX, atol=1e-5)


@pytest.mark.parametrize("name", MIXING)
def test_a_method_whose_axes_depend_on_each_other_is_refused_with_the_reason(name):
    run = a_run(name)
    with pytest.raises(UsageError, match=MIXING[name]):
        prune(Training(run).learner.eval(), run, ACTIVE, HELD)


SMALL = {"mlp": {"hidden": [16]}}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.model_fields["name"].default)
def test_axes_can_be_cut_out_of_every_network(network, monkeypatch):
    name = network.model_fields["name"].default
    shape = getattr(network, "made_for", (1, 8, 8))
    data = {"name": "sprites", "train_rows": 8, "val_rows": 4} if shape[0] == 3 else {"name": "solids", "train_rows": 8}
    run = Run.model_validate(
        {
            "method": {"name": "vae"},
            "network": {"name": name, "latent_dim": 6} | SMALL.get(name, {}),
            "data": data,
            "epochs": 1,
            "batch_size": 2,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner = blank(run, (tuple(shape), (0.0, 1.0)))
    monkeypatch.setattr(pruning, "ROWS", 1)  # enough to tell: some networks are large
    if name == "dd_fashion":
        with pytest.raises(UsageError, match="decoder.1.weight has no bias for each of its outputs"):
            prune(learner, run, ACTIVE, HELD)
        prune(learner, run, ACTIVE, 0 * HELD)
        return
    small, _ = prune(learner, run, ACTIVE, HELD)
    large = sum(value.numel() for value in learner.vae.parameters())
    assert sum(value.numel() for value in small.vae.parameters()) < large


def closed(name: str, close) -> Model:
    """A model whose mapping has closed two axes."""
    training = Training(a_run(name))
    close(training.learner.vae.mapping)
    rows = fitted.fit(training.learner, training.splits.train, 2)
    return Model(training.learner, training.run, lambda: rows, Origin(name, 2))


@torch.no_grad()
def close_gates(mapping) -> None:
    mapping.logits_L[[1, 4]] = -1.0


@torch.no_grad()
def close_mask(mapping) -> None:
    mapping.m_L[[1, 4]] = 0.05
    mapping.m_L[[0, 2, 3, 5]] = 2.0


@pytest.mark.parametrize(("name", "close"), [("geco_l0_arm_vae", close_gates), ("mask_aae", close_mask)])
def test_gates_and_masks_tell_which_axes_stay(name, close):
    model = closed(name, close)
    small = model.prune()
    assert small.origin.axes == (0, 2, 3, 5) and model.active.tolist() == [True, False, True, True, False, True]
    x = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    held = model.represent(x)
    held[:, [1, 4]] = model.relevance.mean[[1, 4]]
    assert np.allclose(small.reconstruct(x), model.decode(held), atol=1e-5)
    assert np.allclose(small.represent(x), held[:, [0, 2, 3, 5]], atol=1e-5)


def with_scores(name: str, *scores: float, collapsed: bool = False) -> Model:
    """A small model of which the training rows are said to have these scores."""
    training = Training(a_run(name))
    rows = vars(fitted.fit(training.learner, training.splits.train, 2))
    rows |= {"score_D": torch.tensor(scores, dtype=torch.float64), "collapsed": collapsed}
    return Model(training.learner, training.run, lambda: Fitted(**rows), Origin(name, 2))


def test_relevant_axes_are_the_fewest_with_99_percent_of_the_score():
    model = with_scores("vae", 10.0, 0.01, 5.0, 0.02, 3.0, 0.03)
    assert model.prune().origin.axes == (0, 2, 4)
    assert model.prune().prune().origin.axes == (0, 2, 4)  # nothing is left to cut


def test_all_axes_of_a_pruned_model_are_active_though_their_total_is_smaller():
    smaller = with_scores("vae", 97.5, 1.0, 0.9, 0.6, 0.0, 0.0).prune()
    assert smaller.origin.axes == (0, 1, 2) and smaller.active.tolist() == [True] * 3
    assert smaller.fitted.relevance.active().sum() == 2  # of those three alone the third would not be


def test_a_collapsed_model_has_nothing_to_keep():
    with pytest.raises(UsageError, match="has collapsed"):
        with_scores("vae", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, collapsed=True).prune()


@pytest.mark.parametrize("name", ["ard_vae", "rae"])
def test_samples_of_a_pruned_model_have_the_distribution_of_those_axes(name):
    """Means and covariances of its sampler's latents against those of the large one, on the axes that stay."""
    model = with_scores(name, 10.0, 0.0, 5.0, 0.0, 3.0, 0.0)
    if name == "ard_vae":  # its sampler moves the relevant axes alone: here those that stay
        rows = vars(model.fitted) | {"sampler": moving(model, [0, 2, 4])}
        model = Model(model.module, model.run, lambda: Fitted(**rows), model.origin)
    found = [latents(one) for one in (model, model.prune())]
    large, small = found[0][:, [0, 2, 4]], found[1]
    scale = large.std(0)  # the difference of two means has an error of .007 of it, of two covariances .01 of its square
    assert np.allclose((small.mean(0) - large.mean(0)) / scale, 0, atol=0.035)
    assert np.allclose((np.cov(small.T) - np.cov(large.T)) / np.outer(scale, scale), 0, atol=0.05)


def moving(model: Model, axes: list[int]) -> dict[str, torch.Tensor]:
    second_D = torch.zeros(6, dtype=torch.float64)
    second_D[axes] = model.fitted.second_D[axes]
    return {"mean_D": model.fitted.mean_D, "second_D": second_D}


def latents(model: Model) -> np.ndarray:
    """40,000 latents that a model generates from."""
    seen = []
    other = copy.copy(model)
    other._learner = copy.deepcopy(model.module)
    decode = other._learner.vae.decode
    other._learner.vae.decode = lambda z: (seen.append(z), decode(z))[1]
    other.sample(40_000)
    return torch.cat(seen).double().numpy()
