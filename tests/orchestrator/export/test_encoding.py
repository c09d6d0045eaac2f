"""Rows of a user's files are read as those that the model was trained on."""

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.errors import UserError
from orchestrator.export.encoding import read_rows
from tests.support.small_runs import a_run
from trainables.inference.building import blank
from trainables.inference.model import Model, Origin
from trainables.run import Run

OWN = {"name": "array", "path": "/nowhere/rows.npy"}


def model_of(**data) -> Model:
    run = Run.model_validate(a_run("vae").model_dump(mode="json") | {"data": OWN | data})
    return Model(blank(run, ((1, 8, 8), (0.0, 1.0))), run, lambda: None, Origin("x", 1))


def test_images_are_cropped_resized_and_scaled_as_in_training(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3, 20, 24), dtype=np.uint8)
    np.save(tmp_path / "rows.npy", x)
    found, labels = read_rows(tmp_path / "rows.npy", model_of(crop=16, resize=8))
    expected = [Image.fromarray(one[2:18, 4:20]).resize((8, 8), Image.Resampling.BILINEAR) for one in x]
    assert np.array_equal(found[:, 0], np.stack(list(map(np.asarray, expected)))) and labels is None
    np.save(tmp_path / "floats.npy", x[:, :8, :8].astype(np.float64))
    found, _ = read_rows(tmp_path / "floats.npy", model_of(scale=255))
    assert np.allclose(found[:, 0], x[:, :8, :8] / 255) and found.max() <= 1


def test_pictures_of_unequal_sizes_are_framed_as_in_training(tmp_path):
    for number, side in enumerate((12, 20)):
        Image.new("L", (side, side), 100 * number).save(tmp_path / f"{number}.png")
    found, _ = read_rows(tmp_path, model_of(resize=8))
    assert found.shape == (2, 1, 8, 8) and torch.from_numpy(found).float().mean((1, 2, 3)).tolist() == [0.0, 100.0]
    with pytest.raises(UserError, match="resize"):
        read_rows(tmp_path, model_of())


def test_a_single_row_is_enough(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((1, 8, 8), np.float32))
    assert read_rows(tmp_path / "rows.npy", model_of())[0].shape == (1, 1, 8, 8)
