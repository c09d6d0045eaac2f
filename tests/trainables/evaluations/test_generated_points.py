"""Generated points in the plane, with the noise of their likelihood, against the rows of a split."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from tests.support.evaluations import images, model, noises, values


def test_generated_points_are_compared_with_the_first_rows_of_the_split():
    training = model("vae", "circle", network={"name": "mlp", "hidden": [8], "latent_dim": 2})
    vae = training.learner.vae
    sample = training.run.method.sampler(vae, training.splits.train, 0)
    with torch.no_grad():
        blocks = [vae.decode(sample(one)).sample(one.normal("data", 2)) for one in noises(700, 0, "generated", 0)]
    points, real = torch.cat(blocks), images(training, "val", slice(60))
    forth, back = cKDTree(real).query(points)[0], cKDTree(points).query(real)[0]
    expected = {"nearest_real": np.median(forth), "nearest_generated": np.median(back)}
    assert values(training, "nearest", generated=700, real=60) == pytest.approx(expected, rel=1e-5)
