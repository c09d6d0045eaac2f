"""Pictures: which are drawn for what, and that what they show is the model's."""

import math

import matplotlib.pyplot
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.utils import make_grid

from trainables import pictures
from trainables.data import Rows, Splits
from trainables.distributions.likelihoods import Gaussian, SquaredError
from trainables.learner import Learner, assemble
from trainables.methods import ARDVAE, BetaVAE
from trainables.model import VAE
from trainables.networks.ard import ArdMnist
from trainables.networks.mlp import Mlp
from trainables.relevance import Relevance

UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
GAP = 2  # pixels between the images of a grid
HISTORY = [{"val/variance_min": 0.5 / n, "val/variance_max": 2.0 * n} for n in (1, 2, 3)]


def linear_vae(shape, span=UNIT, latent_dim=2, method=None, likelihood=None) -> VAE:
    """A VAE whose encoder and decoder are one linear layer each."""
    torch.manual_seed(0)
    network = Mlp(latent_dim=latent_dim, hidden=())
    return assemble(method or BetaVAE(), network, likelihood or SquaredError(), torch.zeros(1, *shape), span).eval()


def constant_vae(shape, span, raw: list[float], **others) -> VAE:
    """One whose decoder gives the raw value raw[c] all over channel c."""
    vae = linear_vae(shape, span, **others)
    nn.init.zeros_(vae.decoder[0].weight)
    vae.decoder[0].bias.data = torch.tensor(raw).repeat_interleave(math.prod(shape[1:]))
    return vae


def byte_rows(count: int, shape, span=UNIT) -> Rows:
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    return Rows(x, torch.arange(count) % 3, span)


def drawn(vae: VAE, rows: Rows, folder, seed=0) -> dict[str, np.ndarray]:
    """File name -> pixels, read back from disk."""
    paths = pictures.draw(Learner(BetaVAE(), vae), Splits(rows, rows, None), folder, HISTORY, seed)
    return {path.name: np.asarray(Image.open(path)) for path in paths}


def tile(sheet: np.ndarray, row: int, column: int, side: int) -> np.ndarray:
    """One image of a grid."""
    top, left = (GAP + place * (side + GAP) for place in (row, column))
    return sheet[top : top + side, left : left + side]


LOGIT = {share: math.log(share / (1 - share)) for share in (0.2, 0.4, 0.6)}


@pytest.mark.parametrize(
    ("span", "raw", "pixel"),
    [
        (UNIT, [LOGIT[0.2]], [51, 51, 51]),
        (UNIT, [LOGIT[0.2], LOGIT[0.4], LOGIT[0.6]], [51, 102, 153]),
        (SIGNED, [math.atanh(-0.6)], [51, 51, 51]),
        (SIGNED, [math.atanh(-0.6), math.atanh(-0.2), math.atanh(0.2)], [51, 102, 153]),
    ],
    ids=["grey", "colour", "grey in [-1, 1]", "colour in [-1, 1]"],
)
def test_a_constant_decoder_gives_its_known_pixel_everywhere(tmp_path, span, raw, pixel):
    shape = (len(raw), 32, 32)
    vae = constant_vae(shape, span, raw)
    sheets = drawn(vae, byte_rows(16, shape, span), tmp_path)
    assert sheets["samples.png"].shape == (8 * 34 + GAP, 8 * 34 + GAP, 3)
    assert (tile(sheets["samples.png"], 0, 0, 32) == pixel).all()
    assert (tile(sheets["samples.png"], 7, 7, 32) == pixel).all()
    assert (tile(sheets["traversals.png"], 1, 9, 32) == pixel).all()
    assert (tile(sheets["reconstructions.png"], 1, 3, 32) == pixel).all()
    assert (sheets["samples.png"][:GAP] == 255).all()


@pytest.mark.parametrize("span", [UNIT, SIGNED])
@pytest.mark.parametrize("channels", [1, 3])
def test_originals_stand_above_their_reconstructions_byte_for_byte(tmp_path, span, channels):
    shape = (channels, 32, 32)
    rows = byte_rows(40, shape, span)
    vae = constant_vae(shape, span, [0.0] * channels)
    sheet = drawn(vae, rows, tmp_path)["reconstructions.png"]
    assert sheet.shape == (8 * 34 + GAP, 8 * 34 + GAP, 3)
    for row, column in ((0, 0), (0, 7), (2, 3), (6, 7)):
        original = rows.x[row // 2 * 8 + column].permute(1, 2, 0).expand(-1, -1, 3).numpy()
        np.testing.assert_array_equal(tile(sheet, row, column, 32), original)
        assert (abs(tile(sheet, row + 1, column, 32).astype(int) - 127.5) < 1).all()


def test_reconstructions_are_those_of_the_mean_representation():
    vae = linear_vae((1, 32, 32))
    x_BX = torch.rand(8, 1, 32, 32)
    sheet = np.asarray(pictures.reconstructions(vae, x_BX, UNIT))
    expected = 255 * torch.sigmoid(vae.decoder(vae.encoder(x_BX)[:, :2])).detach()
    np.testing.assert_allclose(tile(sheet, 1, 5, 32)[..., 0], expected[5, 0], rtol=0, atol=0.501)


@pytest.mark.parametrize(("count", "columns", "rows"), [(5, 5, 2), (8, 8, 2), (13, 8, 2), (500, 8, 8)])
def test_reconstructions_fill_whole_rows_of_whatever_rows_there_are(tmp_path, count, columns, rows):
    sheet = drawn(linear_vae((1, 32, 32)), byte_rows(count, (1, 32, 32)), tmp_path)["reconstructions.png"]
    assert sheet.shape[:2] == (rows * 34 + GAP, columns * 34 + GAP)


def test_small_images_are_enlarged_by_a_whole_number():
    image = torch.tensor([[0.0, 0.2], [0.4, 0.6]]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    sheet = np.asarray(pictures.grid(image, UNIT, 2))
    expected = np.kron([[0, 51], [102, 153]], np.ones((16, 16)))
    np.testing.assert_array_equal(tile(sheet, 0, 1, 32)[..., 0], expected)


@pytest.mark.parametrize(("images", "channels", "columns"), [(2, 3, 8), (8, 1, 8), (11, 3, 4), (9, 1, 3), (3, 1, 1)])
def test_images_are_tiled_as_by_torchvision(images, channels, columns):
    x_BCHW = torch.rand(images, channels, 5, 7)
    theirs = make_grid(x_BCHW, nrow=columns, pad_value=1.0)
    assert torch.equal(pictures.tiled(x_BCHW, columns).expand(3, -1, -1), theirs)


def test_values_beyond_the_range_are_clipped_not_wrapped():
    sheet = np.asarray(pictures.grid(torch.tensor([-0.5, 1.5]).view(2, 1, 1, 1).expand(2, 1, 32, 32), UNIT, 2))
    assert (tile(sheet, 0, 0, 32) == 0).all()
    assert (tile(sheet, 0, 1, 32) == 255).all()


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 51, 102]), (4, [0, 51, 102])])
def test_images_of_one_to_four_channels_can_be_shown(channels, shown):
    image = (torch.arange(channels) * 0.2).view(1, channels, 1, 1).expand(2, channels, 32, 32)
    assert (tile(np.asarray(pictures.grid(image, UNIT, 2)), 0, 0, 32) == shown).all()


def test_images_without_bounds_are_scaled_by_the_data(tmp_path):
    x = torch.rand(16, 1, 32, 32) * 6 + 2
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0.0, 10.0
    sheets = drawn(constant_vae((1, 32, 32), None, [2.0]), Rows(x, None, None), tmp_path)
    assert (tile(sheets["samples.png"], 3, 3, 32) == 51).all()
    assert tile(sheets["reconstructions.png"], 0, 0, 32)[0, :2, 0].tolist() == [0, 255]


def test_images_that_are_all_alike_and_unbounded_can_be_drawn(tmp_path):
    rows = Rows(torch.full((4, 1, 32, 32), 3.0), None, None)
    sheet = drawn(constant_vae((1, 32, 32), None, [3.0]), rows, tmp_path)["reconstructions.png"]
    assert (tile(sheet, 0, 0, 32) == 0).all()


def test_traversals_move_one_axis_per_row_the_most_relevant_first():
    vae = linear_vae((1, 2, 2), None, latent_dim=3)
    weight = torch.tensor([[0.1, 0, 0], [0, 0.05, 0], [0, 0, 0.15], [0, 0, 0]])
    vae.decoder[0].weight.data, vae.decoder[0].bias.data = weight, torch.full((4,), 0.5)
    base = torch.tensor([0.7, -0.3, 0.4])
    variance = torch.tensor([0.25, 4.0, 1.0], dtype=torch.float64)
    scores = Relevance(torch.tensor([1.0, 9.0, 4.0], dtype=torch.float64), torch.zeros(3), variance)
    sheet = np.asarray(pictures.traversals(vae, base, scores, UNIT))
    assert sheet.shape[:2] == (3 * 34 + GAP, 10 * 34 + GAP)
    for row, axis in enumerate((1, 2, 0)):
        for column, step in enumerate(np.linspace(-3, 3, 10)):
            z = base.clone()
            z[axis] = step * variance[axis].sqrt()
            values = 255 * (weight @ z + 0.5).clamp(0, 1).view(2, 2)
            np.testing.assert_allclose(tile(sheet, row, column, 32)[::16, ::16, 0], values, rtol=0, atol=0.51)


def test_traversals_of_a_wide_latent_space_show_its_most_relevant_axes_only():
    vae = linear_vae((1, 32, 32), latent_dim=50)
    scores = Relevance(torch.arange(50.0), torch.zeros(50), torch.ones(50))
    sheet = pictures.traversals(vae, torch.zeros(50), scores, UNIT)
    assert sheet.size == (10 * 34 + GAP, pictures.TRAVERSED_AXES * 34 + GAP)


def test_relevance_of_a_linear_model_is_squared_slope_times_second_moment():
    vae = linear_vae((3,), None, latent_dim=3)
    nn.init.zeros_(vae.encoder[1].weight)
    vae.encoder[1].bias.data = torch.tensor([3.0, 0.1, 100.0, -20.0, -20.0, -20.0])  # means, log variances
    vae.decoder[0].weight.data = torch.diag(torch.tensor([1.0, 10.0, 0.1]))
    x_BX = torch.randn(200, 3)
    with torch.no_grad():
        scores = pictures.scores_of(vae, x_BX, vae.represent(x_BX), seed=0)
    torch.testing.assert_close(scores.score_D, torch.tensor([9.0, 1.0, 100.0], dtype=torch.float64), rtol=1e-3, atol=0)


CURVES = ["reconstructions.png", "samples.png"]
GRIDS = ["reconstructions.png", "samples.png", "traversals.png"]


@pytest.mark.parametrize(
    ("shape", "latent_dim", "method", "names"),
    [
        ((1, 8, 8), 3, BetaVAE(), GRIDS),
        ((3, 8, 8), 2, BetaVAE(), [*GRIDS, "latents.png"]),
        ((1, 8, 8), 1, ARDVAE(), [*GRIDS, "samples_pruned.png", "variances.png"]),
        ((1, 8, 8), 2, ARDVAE(), [*GRIDS, "samples_pruned.png", "variances.png", "latents.png"]),
        ((2,), 2, BetaVAE(), ["samples.png", "latents.png"]),
        ((5,), 3, BetaVAE(), CURVES),
        ((1,), 3, BetaVAE(), CURVES),
        ((5,), 3, ARDVAE(), [*CURVES, "variances.png"]),
    ],
)
def test_only_the_pictures_that_apply_are_drawn(tmp_path, shape, latent_dim, method, names):
    span = UNIT if len(shape) == 3 else None
    rows = byte_rows(20, shape) if span else Rows(torch.randn(20, *shape), None, None)
    vae = linear_vae(shape, span, latent_dim, method)
    folder = tmp_path / "a" / "b"
    paths = pictures.draw(Learner(method, vae), Splits(rows, rows, None), folder, HISTORY, 0)
    assert [path.name for path in paths] == names
    assert sorted(folder.iterdir()) == sorted(paths)
    for path in paths:
        with Image.open(path) as image:
            assert image.format == "PNG"
            image.load()


def test_cloud_holds_the_data_and_as_many_samples_with_the_likelihoods_noise():
    rows = Rows(torch.randn(1000, 2), None, None)
    vae = constant_vae((2,), None, [0.0, 0.0, 0.0, 0.0], likelihood=Gaussian())
    vae.decoder[0].bias.data = torch.tensor([5.0, -5.0, math.log(4.0), math.log(0.25)])  # means, log variances
    figure = pictures.pictures_of(vae, rows, BetaVAE().sampler(vae, rows, 0), [], 0)["samples.png"]
    data, samples = (np.asarray(points.get_offsets()) for points in figure.axes[0].collections)
    np.testing.assert_array_equal(data, rows.x)
    assert samples.shape == (1000, 2)
    np.testing.assert_allclose(samples.mean(0), [5, -5], atol=0.3)
    np.testing.assert_allclose(samples.std(0), [2, 0.5], rtol=0.1)


def test_vectors_are_curves_beside_their_reconstructions_from_the_mean_representation():
    vae, rows = linear_vae((5,), None, latent_dim=3), Rows(torch.randn(6, 5), None, None)
    figure = pictures.pictures_of(vae, rows, BetaVAE().sampler(vae, rows, 0), [], 0)["reconstructions.png"]
    with torch.no_grad():
        made = vae.decode(vae.represent(rows.x)).mean_BX
    shown = [axes for axes in figure.axes if axes.lines]
    assert len(shown) == 6
    for axes, x, x_made in zip(shown, rows.x, made, strict=True):
        for line, values, label in zip(axes.lines, (x, x_made), ("original", "reconstruction"), strict=True):
            assert line.get_label() == label
            np.testing.assert_allclose(line.get_xydata(), np.stack([range(5), values], 1), rtol=1e-6)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["original", "reconstruction"]


def test_curves_of_samples_stand_beside_as_many_of_the_data():
    vae, rows = constant_vae((5,), None, [0.0] * 5), Rows(torch.randn(30, 5), None, None)
    vae.decoder[0].bias.data = torch.arange(5.0)
    figure = pictures.pictures_of(vae, rows, BetaVAE().sampler(vae, rows, 0), [], 0)["samples.png"]
    data, samples = ([line.get_ydata() for line in axes.lines] for axes in figure.axes)
    np.testing.assert_allclose(data, rows.x[: pictures.OVERLAID], rtol=1e-6)
    np.testing.assert_allclose(samples, [range(5)] * pictures.OVERLAID, rtol=1e-6)


def test_variance_curves_are_the_history_and_bars_are_sorted_by_relevance():
    variance, score = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 6.0, 3.0], dtype=torch.float64)
    curves, bars, shares = pictures.variances(HISTORY, variance, score).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in curves.lines}
    assert lines["variance_max"] == [[1, 2], [2, 4], [3, 6]]
    assert lines["variance_min"] == [[1, 0.5], [2, 0.25], [3, 0.5 / 3]]
    assert [bar.get_height() for bar in bars.patches] == [2, 4, 1]
    assert [bar.get_height() for bar in shares.patches] == pytest.approx([0.6, 0.3, 0.1])


def test_variances_of_a_dead_model_have_shares_of_zero(recwarn):
    shares = pictures.variances(HISTORY, torch.ones(2), torch.zeros(2, dtype=torch.float64)).axes[2]
    assert [bar.get_height() for bar in shares.patches] == [0, 0]
    assert not recwarn.list


def test_latents_have_one_colour_per_label():
    mean_BD, y_B = torch.randn(30, 2), torch.tensor([0, 1, 100]).repeat(10)
    axes = pictures.latents(mean_BD, y_B).axes[0]
    for points, label in zip(axes.collections, (0, 1, 100), strict=True):
        assert points.get_label() == str(label)
        np.testing.assert_array_equal(points.get_offsets(), mean_BD[y_B == label])
    assert len({tuple(points.get_facecolor()[0]) for points in axes.collections}) == 3


def test_latents_are_told_apart_by_the_names_of_their_classes(tmp_path, recwarn):
    figure = pictures.latents(torch.randn(30, 2), torch.tensor([0, 1, 2]).repeat(10), ("ant", "$bee$", "猫"))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["ant", "$bee$", "猫"]
    pictures.write(figure, tmp_path / "latents.png")  # `$` begins no mathematics
    assert not recwarn.list  # of letters that the font lacks


@pytest.mark.parametrize("y_B", [None, torch.arange(30)], ids=["no labels", "too many labels for a legend"])
def test_latents_without_a_legend_are_one_cloud(recwarn, y_B):
    axes = pictures.latents(torch.randn(30, 2), y_B).axes[0]
    assert len(axes.collections) == 1
    assert axes.get_legend() is None
    assert not recwarn.list


def test_latents_are_the_mean_representations_of_the_validation_rows():
    vae, rows = linear_vae((1, 8, 8)), byte_rows(20, (1, 8, 8))
    figure = pictures.pictures_of(vae, rows, BetaVAE().sampler(vae, rows, 0), [], 0)["latents.png"]
    shown = np.concatenate([points.get_offsets() for points in figure.axes[0].collections])
    expected = vae.encoder(rows.batch(torch.arange(20)))[:, :2].detach()
    np.testing.assert_allclose(sorted(shown.tolist()), sorted(expected.tolist()), rtol=0, atol=1e-6)


def test_samples_depend_on_the_seed_and_on_nothing_else(tmp_path):
    rows = byte_rows(8, (1, 8, 8))
    first, again, other = (drawn(linear_vae((1, 8, 8)), rows, tmp_path, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["samples.png"], again["samples.png"])
    assert (first["samples.png"] != other["samples.png"]).any()
    np.testing.assert_array_equal(first["reconstructions.png"], other["reconstructions.png"])


def test_drawing_leaves_weights_running_statistics_and_random_state_alone(tmp_path):
    torch.manual_seed(0)
    vae = assemble(ARDVAE(), ArdMnist(latent_dim=2), SquaredError(), torch.zeros(1, 1, 32, 32), UNIT).train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    drawn(vae, byte_rows(4, (1, 32, 32)), tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad is False or parameter.grad is not None for parameter in vae.parameters())
    assert not matplotlib.pyplot.get_fignums()
