"""Numbers of data that are generated from the relevant axes, or from all."""

import numpy as np
import pytest
import torch

from tests.support.evaluations import (
    a_small,
    draws,
    frechet_by_eigenvalues,
    images,
    mean_codes,
    model,
    noises,
    rounded,
    values,
)
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.relevance import measure


@torch.no_grad()
def with_faint_axes(example):
    """A model whose decoder sees little of the axes 1 and 4: too little to be relevant."""
    training = model(example)
    first = next(module for module in training.learner.vae.decoder.modules() if isinstance(module, torch.nn.Linear))
    first.weight.data[:, [1, 4]] *= 0.05
    return training


def by_axes(training, axes, rows=700):
    """The latents of generated data, as `measure` decodes them."""
    sample = EvaluationContext(training).sampler(0, axes)
    with torch.no_grad():
        return torch.cat([sample(noise) for noise in noises(rows, 0, "generated", 0)])


@pytest.mark.parametrize("example", ["vae", "ard_vae", "rae", "intel_vae sparse"])
def test_only_relevant_axes_move_and_the_others_stand_at_their_mean(example):
    training = with_faint_axes(example)
    vae = training.learner.vae
    found = measure(vae, images(training, "train"))
    with torch.no_grad():
        base = training.run.method.sampler(vae, training.splits.train, 0)
        expected = torch.cat([base(noise) for noise in noises(700, 0, "generated", 0)])
    mean = mean_codes(training, "train").mean(0)
    for row in expected:  # one value at a time
        for axis in range(6):
            row[axis] = row[axis] if found.active()[axis] else float(mean[axis])
    assert not found.active()[[1, 4]].any() and found.active().any()
    torch.testing.assert_close(by_axes(training, "relevant"), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        made = vae.decode(expected).mean_BX
    pixels = made.numpy().reshape(700, -1).astype(np.float64)
    distance = frechet_by_eigenvalues(np.rint(pixels * 255) / 255, rounded(images(training)[:80]))
    got = values(training, "frechet", features="pixels", generated=700, real=80, axes="relevant")
    assert got == {"frechet_pixels_relevant": pytest.approx(distance, rel=1e-4)}


def test_all_axes_of_ard_vae_move_whatever_the_method_generates_with():
    training = model("ard_vae", dead=(1, 4))
    codes = draws(training, 1010, "train").double()
    z = by_axes(training, "all", 20_000).double()
    torch.testing.assert_close(
        z.mean(0), torch.from_numpy(mean_codes(training, "train")).double().mean(0), rtol=0, atol=0.05
    )
    torch.testing.assert_close(z.var(0), codes.square().mean(0), rtol=0.12, atol=0)
    assert (by_axes(training, None)[:, [1, 4]].var(0) < 1e-9).all()  # of the method: `active`


@pytest.mark.parametrize("example", ["vae", "rae", "geco_l0_arm_vae"])
def test_of_other_methods_all_axes_are_those_of_the_method(example):
    training = model(example)
    assert torch.equal(by_axes(training, "all"), by_axes(training, None))


def test_axes_are_in_the_name_of_a_number_in_its_provenance_and_in_what_is_kept_of_it():
    seen = EvaluationContext(with_faint_axes("vae"))
    plain, relevant, whole = (
        find(a_small("frechet_ard", features="pixels", axes=axes), seen) for axes in (None, "relevant", "all")
    )
    assert [list(found.values) for found in (plain, relevant, whole)] == [
        [f"frechet_pixels_ard{suffix}"] for suffix in ("", "_relevant", "_all")
    ]
    assert list(plain.values.values()) == list(whole.values.values()) != list(relevant.values.values())
    assert plain.provenance.settings == ()
    assert relevant.provenance.settings == (("axes", "relevant"),)
    assert relevant.provenance.counts[-1] == ("relevance", 1010)


@pytest.mark.parametrize("name", ["frechet", "frechet_intel", "frechet_ard", "prd", "uncertainty", "parzen"])
def test_what_was_found_before_there_were_axes_is_found_again(name):
    """The identity of an evaluation is part of its result's key."""
    assert "axes" not in a_small(name).identity()
    assert a_small(name, axes="all").identity() == a_small(name).identity() | {"axes": "all"}
