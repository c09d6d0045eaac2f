"""Sheets of images against what the evaluations draw and measure of the same model."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.evaluations import a_small, images, model
from tests.support.small_runs import METHODS
from trainables import pictures
from trainables.common.errors import Undefined
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.figures import axes, planes, sheets

SIDE, ENLARGED, PAD = 8, 4, 2  # of digits in the pictures of an evaluation


def cells(png: bytes, rows: int, columns: int) -> np.ndarray:
    """The images (R, C, H, W) in a picture that an evaluation has drawn."""
    whole, step = np.asarray(Image.open(io.BytesIO(png)).convert("L")), SIDE * ENLARGED + PAD
    assert whole.shape == (rows * step + PAD, columns * step + PAD)
    starts = [[(PAD + row * step, PAD + column * step) for column in range(columns)] for row in range(rows)]
    cut = [[whole[y : y + step - PAD : ENLARGED, x : x + step - PAD : ENLARGED] for y, x in row] for row in starts]
    return np.array(cut)


@pytest.mark.parametrize("example", ["vae", "ard_vae", "intel_vae hierarchical"])
def test_traversals_are_those_of_the_evaluation(example):
    training = model(example, dead=(1, 4))
    drawn = find(a_small("traversals"), EvaluationContext(training)).pictures
    found = sheets.traversals(EvaluationContext(training))
    rows, steps = found.images_ASHWK.shape[:2]
    assert (rows, steps) == (6, pictures.TRAVERSAL_STEPS)
    np.testing.assert_array_equal(found.images_ASHWK[..., 0], cells(drawn["traversals_first.png"], rows, steps))


@pytest.mark.parametrize("example", METHODS)
def test_every_method_can_be_shown(example):
    seen = EvaluationContext(model(example))
    space = planes.latent_space(seen)
    assert space.prior_N2.shape[1] == space.codes_N2.shape[1] == space.posteriors_ES2.shape[2] == 6
    assert sheets.samples(seen, 1, 2).shape == sheets.reconstructions(seen, 1, 2)[:1].shape == (1, 2, SIDE, SIDE, 1)
    assert sum(sheets.traversals(seen).share_A) == pytest.approx(1)
    assert len(axes.profile(seen).variance_L) == 6


def test_axes_that_the_decoder_does_not_see_come_last_and_are_rejected():
    seen = EvaluationContext(model(dead=(1, 4)))
    found = sheets.traversals(seen)
    assert set(found.axes[-2:]) == {1, 4}
    assert found.relevant_A[-2:] == (False, False) and found.share_A[-2:] == (0, 0)
    assert sum(found.share_A) == pytest.approx(1)
    assert sum(found.relevant_A) == find(a_small("active"), seen).values["active_99"]
    assert (found.images_ASHWK[-2:] == found.images_ASHWK[-1, :1]).all()


def test_levels_are_those_of_the_evaluation():
    training = model("intel_vae hierarchical")
    drawn = find(a_small("traversals"), EvaluationContext(training)).pictures
    found, chosen = sheets.levels(EvaluationContext(training))
    np.testing.assert_array_equal(found[..., 0], cells(drawn["levels_first.png"], 2, pictures.TRAVERSAL_STEPS))
    assert chosen[0] < 2 <= chosen[1]


def test_reconstructions_stand_below_their_originals():
    training = model()
    found = sheets.reconstructions(EvaluationContext(training), pairs=2, columns=3)
    assert found.shape == (4, 3, SIDE, SIDE, 1)
    x_BX = images(training)[:6]
    with torch.no_grad():
        again_BX = training.learner.vae.decode(training.learner.vae.represent(x_BX)).mean_BX
    for rows, expected_BX in ((found[::2], x_BX), (found[1::2], again_BX)):
        expected = (expected_BX.clamp(0, 1) * 255).round().numpy().reshape(2, 3, SIDE, SIDE, 1)
        np.testing.assert_array_equal(rows, expected)
    with pytest.raises(Undefined, match="90 images, 2 too many"):
        sheets.reconstructions(EvaluationContext(training), pairs=30, columns=8)


def test_samples_are_those_that_evaluations_measure():
    seen = EvaluationContext(model())
    found = sheets.samples(seen, rows=2, columns=3)
    first_BX = next(seen.generated(10))[:6]
    np.testing.assert_array_equal(found.reshape(6, -1), (first_BX.clamp(0, 1) * 255).round().flatten(1).numpy())


def test_colours_stay_in_their_pixel_and_the_span_is_black_to_full():
    x_RCX = torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 1, 3, 1, 1)
    assert sheets.as_bytes(x_RCX, (-1.0, 1.0)).tolist() == [[[[[0, 128, 255]]]]]


def test_a_profile_has_the_priors_variance_and_the_score_of_the_evaluation():
    training = model("ard_vae")
    seen = EvaluationContext(training)
    training.learner.vae.prior.b_D.copy_(torch.arange(1.0, 7.0))
    found = axes.profile(seen)
    np.testing.assert_allclose(found.variance_L, np.arange(1, 7) / 0.5)
    np.testing.assert_array_equal(found.score_L, seen.relevance().score_D.numpy())
    other = EvaluationContext(model())
    np.testing.assert_allclose(axes.profile(other).variance_L, other.relevance().variance_D.numpy())
