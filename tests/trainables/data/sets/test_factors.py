"""Sets with known factors: two published formats, and two that are drawn here."""

import itertools
import math
from functools import cache

import h5py
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.support.data_files import complaint
from tests.support.image_sets.factors import SHAPES, SIZES, SPRITES, save_shapes, save_sprites, shapes_labels
from trainables.common.errors import Unfit
from trainables.data.loading import load_splits, open_splits, read_facts
from trainables.data.sets.dsprites import FILE, DSprites
from trainables.data.sets.grids import Grid
from trainables.data.sets.shapes3d import Shapes3D
from trainables.data.sets.solids import EYE, LIGHT, SCALES, TURN, WALL, Solids, rays, rgb, view
from trainables.data.sets.sprites import RADII, REACH, Sprites

DRAWN = (Sprites, Solids)


@cache
def whole(dataset):
    """Images and factors of both splits."""
    splits = load_splits(dataset)
    parts = (splits.train, splits.val)
    return torch.cat([rows.x for rows in parts]).numpy(), torch.cat([rows.factors.values for rows in parts]).numpy()


def test_a_grid_counts_through_all_combinations_the_last_factor_fastest():
    grid = Grid(("a", "b", "c"), (2, 3, 4))
    assert grid.values(np.arange(grid.rows)).tolist() == [
        list(row) for row in itertools.product(range(2), range(3), range(4))
    ]
    grid.check(grid.values(np.arange(24)))
    wrong = grid.values(np.arange(24))
    wrong[17, 1] += 1
    with pytest.raises(Unfit, match=r"row 17 has factors \[1, 2, 1\], \[1, 1, 1\] expected"):
        grid.check(wrong)
    with pytest.raises(Unfit, match=r"factors of shape \(23, 3\), \(24, 3\) expected"):
        grid.check(wrong[1:])


@pytest.fixture
def few_sprites(tmp_path, monkeypatch):
    monkeypatch.setattr(DSprites, "grid", Grid(DSprites.grid.names, (3, 2, 4, 4, 4)))
    (tmp_path / FILE).parent.mkdir()
    save_sprites(tmp_path)
    return tmp_path


def test_dsprites_have_their_published_sizes():
    facts = read_facts(DSprites())
    assert (facts.shape, facts.range, facts.train_rows, facts.val_rows) == ((1, 64, 64), (0.0, 1.0), 727_280, 10_000)
    assert DSprites.grid.sizes == (3, 6, 40, 32, 32)


def test_dsprites_are_read_in_blocks_each_image_once_with_its_factors(few_sprites, monkeypatch):
    monkeypatch.setattr("trainables.data.formats.blocks.BLOCK_BYTES", 50 * 64 * 64)
    splits, opened = (
        load_splits(DSprites(val_from_train=50), few_sprites),
        open_splits(DSprites(val_from_train=50), few_sprites),
    )
    assert (len(splits.train), len(splits.val), splits.test) == (334, 50, None)
    assert sorted(torch.cat([opened.train.order, opened.val.order]).tolist()) == list(range(384))
    for rows, order in ((splits.train, opened.train.order), (splits.val, opened.val.order)):
        assert np.array_equal(rows.x[:, 0], 255 * SPRITES[order])
        assert np.array_equal(rows.factors.values.T, np.unravel_index(order, (3, 2, 4, 4, 4)))
    assert rows.factors.names == ("shape", "scale", "orientation", "pos_x", "pos_y")
    assert splits.train.batch(torch.arange(9)).unique().tolist() == [0, 1]


@pytest.mark.parametrize(("changed", "said"), [
    ({"imgs": SPRITES[1:]}, "images (383, 64, 64), (384, 64, 64) expected"),
    ({"imgs": np.where(np.arange(384)[:, None, None] == 77, 5, SPRITES).astype(np.uint8)},
     "row 77 holds 5, 0 and 1 expected"),
    ({"imgs": SPRITES.astype(float)}, "key 'imgs': holds float64 where rows of uint8 are expected"),
    ({"latents_classes": np.zeros((384, 6), int)}, "row 1 has factors [0, 0, 0, 0, 0], [0, 0, 0, 0, 1] expected"),
    ({"latents_classes": np.zeros(384, int)}, "damaged or something else"),
    ({"latents_classes": np.array([None])}, "key 'latents_classes': damaged or something else (Object arrays"),
])  # fmt: skip
def test_unsound_dsprites_are_told_with_the_row(few_sprites, changed, said):
    save_sprites(few_sprites, **changed)
    assert complaint(DSprites(val_from_train=50), few_sprites).startswith(f"{few_sprites / FILE}: {said}")


@pytest.fixture
def few_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr(Shapes3D, "grid", Grid(Shapes3D.grid.names, SIZES))
    monkeypatch.setattr("trainables.data.sets.shapes3d.BLOCK_BYTES", 50 * 64 * 64 * 3)
    (tmp_path / "3dshapes").mkdir()
    save_shapes(tmp_path)
    return tmp_path


def test_3d_shapes_have_their_published_sizes():
    facts = read_facts(Shapes3D())
    assert (facts.shape, facts.range, facts.train_rows, facts.val_rows) == ((3, 64, 64), (0.0, 1.0), 470_000, 10_000)


def test_3d_shapes_are_read_in_blocks_each_image_once_with_its_factors(few_shapes):
    splits, opened = (
        load_splits(Shapes3D(val_from_train=40), few_shapes),
        open_splits(Shapes3D(val_from_train=40), few_shapes),
    )
    assert sorted(torch.cat([opened.train.order, opened.val.order]).tolist()) == list(range(288))
    for rows, order in ((splits.train, opened.train.order), (splits.val, opened.val.order)):
        assert np.array_equal(rows.x, SHAPES[order].transpose(0, 3, 1, 2))
        assert np.array_equal(rows.factors.values.T, np.unravel_index(order, SIZES))
    assert rows.factors.names[-1] == "orientation" and rows.factors.sizes == SIZES


@pytest.mark.parametrize(("changed", "said"), [
    ({"images": SHAPES[1:]}, "images (287, 64, 64, 3) of uint8, (288, 64, 64, 3) of uint8 expected"),
    ({"images": SHAPES.astype(float)}, "images (288, 64, 64, 3) of float64"),
    ({"labels": np.roll(shapes_labels(), 1, axis=0)},
     "row 0 has factors [1, 2, 1, 1, 3, 2], [0, 0, 0, 0, 0, 0] expected"),
    ({"labels": shapes_labels() + 0.01}, "row 0 has factors [-1, "),
    ({"labels": shapes_labels()[:, 1:]}, "labels of shape (288, 5), 6 columns expected"),
])  # fmt: skip
def test_unsound_3d_shapes_are_told_with_the_row(few_shapes, changed, said):
    save_shapes(few_shapes, **changed)
    path = few_shapes / "3dshapes" / "3dshapes.h5"
    assert complaint(Shapes3D(val_from_train=40), few_shapes).startswith(f"{path}: {said}")


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_a_file_that_is_no_h5_or_holds_something_else_is_told(few_shapes, content):
    path = few_shapes / "3dshapes" / "3dshapes.h5"
    h5py.File(path, "w").close()
    if content is not None:
        path.write_bytes(content)
    assert complaint(Shapes3D(val_from_train=40), few_shapes).startswith(f"{path}: damaged or something else (")


@pytest.mark.parametrize("dataset", [DSprites, Shapes3D, Sprites, Solids])
def test_some_images_are_left_to_train_on(dataset):
    with pytest.raises(ValidationError):
        dataset(val_from_train=dataset.grid.rows)
    assert read_facts(dataset(val_from_train=dataset.grid.rows - 1)).train_rows == 1


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("dataset", DRAWN)
def test_drawn_sets_hold_every_combination_once_and_no_two_images_alike(dataset, side):
    x, factors = whole(dataset(side=side))
    place = np.ravel_multi_index(factors.T, dataset.grid.sizes)
    assert sorted(place) == list(range(math.prod(dataset.grid.sizes)))
    assert x.shape[2:] == (side, side) and x.dtype == np.uint8
    assert len({image.tobytes() for image in x}) == len(x)


@pytest.mark.parametrize("dataset", DRAWN)
def test_a_drawn_image_does_not_depend_on_which_others_are_asked_for(dataset):
    train = open_splits(dataset(side=32)).train
    some = torch.tensor([600, 3, 3, 40])
    assert torch.equal(train.take(some).read().x, train.read().x[some])


def sprite_area(shape: int, radius: float) -> float:
    """In closed form; the heart's by a sum over the angle, of the largest radius that the curve allows."""
    if shape < 2:
        return (2, math.pi / 2)[shape] * radius**2
    angle = np.linspace(0, 2 * np.pi, 2_001)[:-1]
    reach = np.linspace(0, 1.5, 3_001)
    x, y = np.cos(angle)[:, None] * reach, np.sin(angle)[:, None] * reach
    edge = np.where((x**2 + y**2 - 1) ** 3 <= x**2 * y**3, reach, 0).max(axis=1)
    return (edge**2 / 2).mean() * 2 * np.pi * (radius / 1.43) ** 2


def test_sprites_have_the_area_and_place_that_their_factors_say():
    x, factors = (part[::7] for part in whole(Sprites()))
    assert set(np.unique(x)) == {0, 255}
    low, high = RADII
    radius = low + (high - low) * factors[:, 1] / 3
    expected = np.array([sprite_area(shape, 1.0) for shape in range(3)])[factors[:, 0]] * radius**2
    area = (x[:, 0] / 255).sum(axis=(1, 2)) * (2 / 64) ** 2
    assert np.abs(area / expected - 1).max() < 0.15 and abs((area / expected).mean() - 1) < 2e-3
    middle = (2 * np.arange(64) + 1) / 64 - 1
    ink = x[:, 0] / 255.0
    across = (ink.sum(axis=1) * middle).sum(axis=1) / ink.sum(axis=(1, 2))
    up = -(ink.sum(axis=2) * middle).sum(axis=1) / ink.sum(axis=(1, 2))
    even = factors[:, 0] < 2  # a heart's centre of mass is not its middle
    places = REACH * np.linspace(-1, 1, 8)
    assert np.abs(across - places[factors[:, 3]])[even].max() < 0.015
    assert np.abs(up - places[factors[:, 4]])[even].max() < 0.015


def test_sprites_turn_anticlockwise_over_a_quarter():
    """By the main axis of the ellipse, from its second moments."""
    x, factors = whole(Sprites())
    some = (factors[:, 0] == 1) & (factors[:, 1] == 3)
    middle = (2 * np.arange(64) + 1) / 64 - 1
    for image, turn in zip(x[some, 0], factors[some, 2], strict=True):
        line, column = np.nonzero(image)
        (xx, xy), (_, yy) = np.cov(middle[column], -middle[line])
        found = 0.5 * math.atan2(2 * xy, xx - yy)
        assert abs(math.remainder(found - turn * math.pi / 16, math.pi)) < 0.08


def test_no_sprite_touches_the_edge():
    x, _ = whole(Sprites(side=32))
    assert not (x[:, 0, [0, -1]].any() or x[:, 0, :, [0, -1]].any())


@pytest.mark.parametrize(("hue", "colour"), [
    (0, (1, 0, 0)), (1 / 6, (1, 1, 0)), (1 / 3, (0, 1, 0)), (1 / 2, (0, 1, 1)), (2 / 3, (0, 0, 1)),
    (1 / 12, (1, 0.5, 0)),
])  # fmt: skip
def test_hues_are_colours(hue, colour):
    assert rgb(np.array([hue]))[:, 0].tolist() == pytest.approx(colour)


def met(shape: int, size: float, ray: np.ndarray, eye: np.ndarray) -> bool:
    """Whether a ray meets the thing, by sampling it densely and asking each point whether it is inside."""
    point = eye + np.linspace(2, 7, 4_001)[:, None] * ray
    x, y, z = point.T
    inside = (
        (np.maximum(np.abs(x), np.abs(z)) < 0.75 * size) & (y > 0) & (y < 1.5 * size),
        (np.hypot(x, z) < 0.75 * size) & (y > 0) & (y < 2 * size),
        x**2 + (y - size) ** 2 + z**2 < size**2,
        x**2 + z**2 + np.maximum(np.abs(y - size) - 0.4 * size, 0) ** 2 < (0.6 * size) ** 2,
    )[shape]
    return bool(inside.any())


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize(("scale", "orientation"), [(0, 2), (2, 2)])
def test_a_pixel_shows_the_thing_where_its_ray_passes_through_it(shape, scale, orientation):
    """Seen straight on, so that the test need not turn; but for a few pixels that graze the edge."""
    part, _ = view(scale, shape, orientation, 32)
    expected = [met(shape, SCALES[scale // 2], ray, np.array(EYE)) for ray in rays(32)]
    assert (np.array(expected) != (part == 2)).sum() <= 2 < (part == 2).sum()


@pytest.mark.parametrize("orientation", range(5))
def test_floor_and_walls_are_where_the_turned_room_has_them(orientation):
    """Each ray's way to the floor, and to the four walls as planes that are turned by the factor's angle."""
    angle = TURN * (orientation / 2 - 1)
    part, brightness = view(0, 2, orientation, 32)
    normals = [(math.sin(angle + turn), 0, math.cos(angle + turn)) for turn in np.arange(4) * math.pi / 2]
    for ray, shown, bright in zip(rays(32), part, brightness, strict=True):
        walls = [((WALL - np.dot(EYE, out)) / np.dot(ray, out), out) for out in normals if np.dot(ray, out) > 0]
        way, out = min(walls)
        floor = -EYE[1] / ray[1] if ray[1] < 0 else math.inf
        if shown != 2 and abs(way - floor) > 1e-6:
            assert shown == (way < floor)
            normal = -np.array(out) if way < floor else np.array([0, 1, 0])
            assert bright == pytest.approx(0.4 + 0.6 * max(normal @ LIGHT, 0))


def test_the_ball_is_lit_as_its_closed_form_says():
    part, brightness = view(2, 2, 2, 64)
    ray, centre = rays(64)[part == 2], np.array([0, SCALES[1], 0])
    b = ray @ (EYE - centre)
    way = -b - np.sqrt(np.maximum(b**2 - (np.sum((EYE - centre) ** 2) - SCALES[1] ** 2), 0))
    normal = (EYE + way[:, None] * ray - centre) / SCALES[1]
    expected = 0.4 + 0.6 * np.clip(normal @ LIGHT, 0, 1)
    assert np.abs(brightness[part == 2] - expected).max() < 2e-3


def test_solids_colour_floor_wall_and_thing_by_their_factors():
    rows = load_splits(Solids(side=32, train_rows=200)).train
    for image, factors in zip(rows.x.numpy(), rows.factors.values.tolist(), strict=True):
        part, brightness = view(*factors[3:], 32)
        for hue, which in zip(factors[:3], range(3), strict=True):
            expected = np.rint(255 * rgb(np.array(hue / 4))[:, None] * brightness[part == which])
            assert np.array_equal(image.reshape(3, -1)[:, part == which], expected)
