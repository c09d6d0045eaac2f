"""A model whose latents tell nothing of the images has no active axis; the count of any other is as published."""

import math

import numpy as np
import pytest
import torch

from tests.support.small_runs import a_run
from trainables.metrics.active import active_counts
from trainables.metrics.basic import active
from trainables.metrics.view import batches_of, look
from trainables.relevance import (
    at_rows,
    collapsed,
    fewest,
    measure,
    moments,
    mute_codes,
    mute_decoder,
    relevance,
    spread,
)
from trainables.sums import add
from trainables.train import Training

ROWS = 4000
GENERATOR = torch.Generator().manual_seed(0)


def codes(between, within, offset=0.0):
    """Samples and means of axes that vary so much over images, and so much around their mean."""
    between, within = torch.tensor(between).double(), torch.tensor(within).double()
    mean = offset + between * torch.randn(ROWS, len(between), generator=GENERATOR, dtype=torch.float64)
    return mean + within * torch.randn(mean.shape, generator=GENERATOR, dtype=torch.float64), mean


def by_hand(z, mean):
    z, mean = z.numpy(), mean.numpy()
    return bool(np.all((mean.var(0) < 0.01 * z.var(0)) | (np.ptp(mean, 0) == 0)))


@pytest.mark.parametrize(
    ("between", "within", "expected"),
    [
        ([0.0, 0.0], [1.0, 1.0], True),
        ([0.05, 0.08], [1.0, 1.0], True),
        ([0.05, 0.12], [1.0, 1.0], False),  # of one axis alone
        ([1.0, 1.0], [0.1, 0.5], False),
        ([0.0, 0.0], [0.0, 0.0], True),  # a deterministic encoder that sees nothing
        ([1e-4, 0.0], [0.0, 0.0], False),  # and one that sees little
    ],
)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, -3.0])
def test_a_model_is_collapsed_whatever_the_scale_and_place_of_its_axes(between, within, expected, scale, offset):
    z, mean = codes(between, within, offset)
    assert mute_codes(moments(scale * z, scale * mean)) is by_hand(z, mean) is expected


def test_a_constant_that_single_precision_rounds_is_a_constant():
    mean = torch.full((ROWS, 2), 0.7) * (1 + torch.rand(ROWS, 1, generator=GENERATOR) * 1e-7)
    assert mute_codes(moments(mean, mean))


def test_of_one_image_nothing_can_be_told():
    z, mean = torch.ones(1, 2), torch.zeros(1, 2)
    assert not mute_codes(moments(z, mean))


def test_sums_of_shares_tell_what_those_of_all_rows_do():
    z, mean = codes([0.2, 0.2], [1.0, 1.0], 2.0)
    parts = [moments(*some) for some in zip(z.split([1000, 3000]), mean.split([1000, 3000]), strict=True)]
    added = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    for name, value in moments(z, mean).items():
        torch.testing.assert_close(added[name], value, rtol=1e-12, atol=1e-9)
    assert mute_codes(added) is mute_codes(moments(z, mean)) is False


@pytest.mark.parametrize(("share", "expected"), [(0.0, True), (0.009, True), (0.011, False), (1.0, False)])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_decoder_is_mute_whose_data_vary_by_less_than_a_hundredth_of_what_the_data_do(share, expected, workers):
    x = 3 * torch.randn(90, 1, 4, 4, generator=GENERATOR, dtype=torch.float64) + 7
    decoded = 5 + math.sqrt(share) * (x - x.mean(0))
    parts = [spread(*some) for some in zip(decoded.chunk(workers), x.chunk(workers), strict=True)]
    sums = add(parts) | {"jacobian_rows": torch.tensor(90.0)}
    assert mute_decoder(sums) is bool(decoded.var(0).sum() < 0.01 * x.var(0).sum()) is expected


def test_a_deterministic_encoder_with_a_decoder_that_heeds_it_not_has_no_active_axis():
    """Its codes vary, so that only what is decoded tells: an RAE with spectral norm on a plain network, for one."""
    training = Training(a_run("rae"))
    views = []
    for scale in (1.0, 1e-3):
        with torch.no_grad():
            training.learner.vae.decoder[0].weight *= scale
        views.append(look(training.learner, batches_of(training.splits.val, 32, 0, training.device)))
    heeding, mute = views
    assert not mute_codes(moments(mute.z_ND, mute.mean_ND))
    assert active(mute) == 0
    assert set(
        active_counts(moments(mute.z_ND, mute.mean_ND), at_rows(mute.vae, mute.first_JD, mute.first_JX)).values()
    ) == {0.0}
    assert training.validate()["val/active"] == 0


def seen(blind):
    """A view of an untrained model whose encoder sees all, or nothing of the images, and its training."""
    training = Training(a_run("vae"))
    with torch.no_grad():
        last = [module for module in training.learner.vae.encoder.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.weight[:6] *= 0.0 if blind else 10.0
    return look(training.learner, batches_of(training.splits.val, 32, 0, training.device)), training


def test_a_collapsed_model_has_no_active_axis_and_generates_as_before():
    view, training = seen(blind=True)
    assert active(view) == 0
    assert training.validate()["val/active"] == 0
    sums = moments(view.z_ND, view.mean_ND), at_rows(view.vae, view.first_JD, view.first_JX)
    assert set(active_counts(*sums).values()) == {0.0}
    x = training.splits.train.batch(torch.arange(100))
    assert measure(view.vae, x).active().any()  # what generation moves, by the published rule


def test_the_count_of_a_model_that_sees_is_the_published_one():
    view, _ = seen(blind=False)
    sums = moments(view.z_ND, view.mean_ND), at_rows(view.vae, view.first_JD, view.first_JX)
    assert not collapsed(*sums)
    assert active(view) == int(fewest(relevance(*sums, view.vae.relevance_form).score_D).sum()) > 0
    assert active_counts(*sums)["active_99"] == active(view)
