"""The classifier of zeros and ones: images that are sure and unsure; what a mapping's clusters hold."""

import pytest
import torch
from scipy import stats
from torch import nn

from tests.support.small_runs import a_run
from trainables.common.errors import Undefined
from trainables.data import Mnist01, Rows
from trainables.data.loading import load_splits
from trainables.distributions.priors import Normal
from trainables.mappings.modules.sectors import Axis, Cuts
from trainables.metrics.ones_classifier import Logistic, finish, fitted, learned_proportion, statistics
from trainables.metrics.provenance import Provenance, differences
from trainables.sums import add
from trainables.train import Training

BY_BRIGHTNESS = Logistic(torch.tensor([2.0, 2.0], dtype=torch.float64), -2.0, (0.0, 1.0))


def test_a_probability_below_80_per_cent_either_way_is_uncertain():
    """sigmoid(2 * 0.6931) = 0.8 = the edge: logits of +-1.38 are uncertain, of +-1.39 are sure."""
    logits = torch.tensor([-1.39, -1.38, 0.5, 1.38, 1.39, 1.9])
    images = torch.stack([(logits + 2) / 4] * 2, dim=1)
    assert finish(statistics(BY_BRIGHTNESS, images)) == pytest.approx(
        {"uncertainty": 50, "proportion_of_ones": 200 / 3}
    )


def test_counts_add_over_shares():
    images = torch.rand(40, 2)
    whole, parts = (
        statistics(BY_BRIGHTNESS, images),
        [statistics(BY_BRIGHTNESS, part) for part in images.split([9, 31])],
    )
    assert finish(add(parts)) == finish(whole)


def test_images_in_another_range_are_the_same_images():
    images = torch.rand(40, 2)
    signed = Logistic(BY_BRIGHTNESS.weight_X, BY_BRIGHTNESS.bias, (-1.0, 1.0))
    torch.testing.assert_close(signed.probability(2 * images - 1), BY_BRIGHTNESS.probability(images), rtol=1e-6, atol=0)


def test_the_fit_separates_what_a_plane_separates():
    dark, bright = torch.rand(50, 1, 2, 2) * 0.4, 0.6 + torch.rand(50, 1, 2, 2) * 0.4
    rows = Rows(torch.cat([dark, bright]), torch.arange(100) // 50, (0.0, 1.0))
    found = fitted(rows)
    assert ((found.probability(rows.x) > 0.5) == rows.y.bool()).all()


def test_classifiers_are_told_apart_by_their_hash():
    other = Logistic(BY_BRIGHTNESS.weight_X, -2.5, (0.0, 1.0))
    one, two = (Provenance("logistic", some.sha256, (), "test", "none", 0) for some in (BY_BRIGHTNESS, other))
    assert [text.partition(":")[0] for text in differences(one, two)] == ["extractor_hash"]


def test_labels_other_than_both_zeros_and_ones_are_refused():
    x = torch.rand(4, 1, 2, 2)
    for labels in (None, torch.zeros(4).long(), torch.arange(4)):
        with pytest.raises(Undefined, match="needs rows labelled 0 and 1"):
            fitted(Rows(x, labels, (0.0, 1.0)))


def test_real_test_digits_are_sure_and_in_proportion(real_data):
    """The paper's row "Data": 0.2 +- 0.1 % uncertain, 50.0 +- 0.2 % ones."""
    splits = load_splits(Mnist01(train_rows=2000), real_data)
    found = finish(statistics(fitted(splits.train), splits.test.batch(torch.arange(len(splits.test)))))
    assert found["uncertainty"] < 0.5
    assert found["proportion_of_ones"] == pytest.approx(50.0, abs=0.2)


class TwoSided(nn.Module):
    """One axis cut at b; what lies above b after the mapping decodes to a bright image, the rest to a dark one."""

    def __init__(self, logit: float, bright_above: bool = True):
        super().__init__()
        axis = Axis(5.0, 0.5, True)
        axis.shares = nn.Parameter(torch.tensor([logit]))
        self.mapping, self.prior, self.sign = Cuts([axis]), Normal(1), 1 if bright_above else -1

    def decode(self, z):
        bright = (self.sign * (z - self.mapping.cuts[0].boundary()) > 0).to(z)
        return type("Decoded", (), {"mean_BX": bright.expand(-1, 2)})


def test_the_proportion_is_the_prior_mass_of_the_side_that_decodes_to_zeros():
    boundary = 8 * torch.tensor(-0.1).sigmoid().item() - 4
    below = stats.norm.cdf(boundary)
    found = learned_proportion(TwoSided(-0.1), BY_BRIGHTNESS)
    assert found == pytest.approx({"proportion_of_zeros": below, "least_proportion": below}, rel=1e-6)
    turned = learned_proportion(TwoSided(-0.1, bright_above=False), BY_BRIGHTNESS)
    assert turned == pytest.approx({"proportion_of_zeros": 1 - below, "least_proportion": below}, rel=1e-6)


def test_a_side_that_is_never_drawn_counts_for_little():
    found = learned_proportion(TwoSided(-8.0), BY_BRIGHTNESS)
    assert set(found) == {"least_proportion"} and found["least_proportion"] < 1e-4


def test_where_no_side_decodes_to_zeros_only_the_least_mass_is_known():
    bright = Logistic(torch.zeros(2, dtype=torch.float64), 1.0, (0.0, 1.0))  # all are ones
    below = stats.norm.cdf(8 * torch.tensor(-0.1).sigmoid().item() - 4)
    assert learned_proportion(TwoSided(-0.1), bright) == pytest.approx({"least_proportion": below}, rel=1e-6)


def test_a_model_without_clusters_has_no_proportion():
    with pytest.raises(Undefined, match="the model has no clusters"):
        learned_proportion(Training(a_run("vae")).learner.vae, BY_BRIGHTNESS)


def test_the_methods_own_mapping_has_its_proportions():
    vae = Training(a_run("intel_vae learned sectors")).learner.vae
    classifier = Logistic(torch.zeros(64, dtype=torch.float64), -1.0, (0.0, 1.0))  # all are zeros
    found = learned_proportion(vae, classifier, draws=2000)
    assert found == pytest.approx({"least_proportion": 1 / 3}, rel=1e-6)  # all clusters decode to zeros
