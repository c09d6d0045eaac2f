"""PNG pictures of a model.

Drawing does not change a run's numbers, as it draws its own noise. Figures are made without pyplot's global state.
"""

# Shapes: B rows, X data dimensions (C, H, W or one), D latent dimensions, A axes shown, S steps along one.

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional

from trainables.data.base import Range, Rows, Splits, class_name
from trainables.distributions.priors import ARD
from trainables.learner import Learner
from trainables.methods import Sampler
from trainables.model import VAE
from trainables.noise import Noise
from trainables.relevance import JACOBIAN_ROWS, Relevance, jacobian_points, moments, relevance, sensitivity

Picture = Image.Image | Figure

ROWS_SEEN = 1000  # the first validation rows: all pictures are made from them
COLUMNS = 8  # of a grid of images
SAMPLES = COLUMNS * COLUMNS
RECONSTRUCTIONS = COLUMNS * COLUMNS // 2  # with their originals, a square
TRAVERSED_AXES = 32  # the most relevant ones; more would not fit a screen
TRAVERSAL_STEPS = 10
TRAVERSAL_SDS = 3.0
LINE = 2  # pixels, between images of a grid and around it
SMALLEST_SIDE = 32  # screen pixels; images with a shorter side are enlarged by a whole number
NAMED_CLASSES = 10  # as many as matplotlib has colours; more labels share a scale without a legend
CURVES = (2, 4)  # rows and columns of panels, each with a vector and its reconstruction
OVERLAID = 16  # vectors of the data, and as many samples, drawn into one panel each
MARKED = 40  # vectors of at most so many numbers have a marker at each
TINY = 1e-300  # avoids a division by 0: the total score is 0 if all axes are dead


def draw(learner: Learner, splits: Splits, folder: Path, history: Sequence[dict[str, float]], seed: int) -> list[Path]:
    """Write every picture that fits the model and its data into `folder` and return the files' paths.

    Leaves the model in evaluation mode. Uses no collectives, so one worker of many may draw alone.

    Args:
        history: the metrics of all epochs so far, as reports hold them.
        seed: of the samples: the same in every epoch, so that epochs compare.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vae = learner.vae.eval()
    pictures = pictures_of(vae, splits.val, learner.method.sampler(vae, splits.train, seed), history, seed)
    return [write(picture, folder / name) for name, picture in pictures.items()]


@torch.no_grad()
def pictures_of(
    vae: VAE, rows: Rows, sampler: Sampler, history: Sequence[dict[str, float]], seed: int
) -> dict[str, Picture]:
    """File name -> picture: grids of images, clouds of 2-D points, curves of other vectors; plots of the latents."""
    seen = min(ROWS_SEEN, len(rows))
    device = next(vae.parameters()).device
    x_BX = rows.batch(torch.arange(seen)).to(device)
    mean_BD = vae.represent(x_BX)
    of_images, ard = len(vae.shape) == 3, isinstance(vae.prior, ARD)
    if of_images or ard:
        scores = scores_of(vae, x_BX, mean_BD, seed)
    pictures: dict[str, Picture] = {}
    if of_images:
        span = span_of(rows)
        pictures["reconstructions.png"] = reconstructions(vae, x_BX[:RECONSTRUCTIONS], span)
        pictures["samples.png"] = grid(generated(vae, sampler, SAMPLES, seed, device), span, COLUMNS)
        pictures["traversals.png"] = traversals(vae, mean_BD[0], scores, span)
    elif vae.shape == (2,):
        pictures["samples.png"] = cloud(x_BX.cpu(), generated(vae, sampler, seen, seed, device).cpu())
    else:
        pictures["reconstructions.png"] = curve_pairs(x_BX, vae.decode(mean_BD).mean_BX)
        pictures["samples.png"] = curve_bundles(x_BX, generated(vae, sampler, OVERLAID, seed, device))
    if ard:
        if of_images:
            noise = Noise(seed, "samples", rows=slice(SAMPLES), total=SAMPLES, device=device)
            pruned = vae.decode(scores.sample(noise.normal("prior", vae.latent_dim))).mean_BX
            pictures["samples_pruned.png"] = grid(pruned, span, COLUMNS)
        pictures["variances.png"] = variances(history, vae.prior.variance_D.cpu(), scores.score_D.cpu())
    if vae.latent_dim == 2:
        pictures["latents.png"] = latents(mean_BD.cpu(), None if rows.y is None else rows.y[:seen], rows.classes)
    return pictures


def span_of(rows: Rows) -> Range:
    """The values shown as black and as full brightness: the data's range, or that of the first rows if unbounded."""
    if rows.range:
        return rows.range
    first_BX = rows.batch(torch.arange(min(ROWS_SEEN, len(rows))))
    return float(first_BX.min()), float(first_BX.max())


def scores_of(vae: VAE, x_BX: Tensor, mean_BD: Tensor, seed: int) -> Relevance:
    """The relevance of the axes on these rows alone, without other workers."""
    noise = Noise(seed, "pictures", rows=slice(len(x_BX)), total=len(x_BX), device=x_BX.device)
    z_BD = vae.sample_latents(x_BX, noise)
    at_BD = jacobian_points(vae, z_BD, mean_BD)[:JACOBIAN_ROWS]
    return relevance(moments(z_BD, mean_BD), sensitivity(vae, at_BD), vae.relevance_form)


def generated(vae: VAE, sampler: Sampler, total: int, seed: int, device: torch.device) -> Tensor:
    """Data (B, X) decoded from `total` latents of `sampler`; a likelihood with a learned variance adds its noise."""
    noise = Noise(seed, "samples", rows=slice(total), total=total, device=device)
    return vae.decode(sampler(noise)).sample(noise.normal("data", *vae.shape))


def reconstructions(vae: VAE, x_BX: Tensor, span: Range) -> Image.Image:
    """Each row of originals above the row of their reconstructions from the mean representation."""
    columns = min(COLUMNS, len(x_BX))
    x_BX = x_BX[: len(x_BX) // columns * columns]  # whole rows only
    both = torch.stack((x_BX, vae.decode(vae.represent(x_BX)).mean_BX))
    return grid(both.unflatten(1, (-1, columns)).transpose(0, 1).flatten(0, 2), span, columns)


def traversals(vae: VAE, base_D: Tensor, scores: Relevance, span: Range) -> Image.Image:
    """One row per axis, the most relevant first: the axis goes from -3 s to 3 s, the others stay at `base_D`.

    s is the square root of the axis's second moment about zero. Source: ARD-VAE, figures 2 to 4.
    """
    axes = scores.score_D.argsort(descending=True, stable=True)[:TRAVERSED_AXES]
    z_BD = moved(base_D, axes, scores.variance_D.sqrt())
    return grid(vae.decode(z_BD).mean_BX, span, TRAVERSAL_STEPS)


def levels(vae: VAE, base_D: Tensor, scores: Relevance, spread_D: Tensor, span: Range) -> Image.Image:
    """One row per level of a hierarchy, the top first: its most relevant axis of y varies, and z = g(y) is decoded.

    Source: Intel-VAE, figure B.2.
    """
    y_BD = moved(base_D, axes_of_levels(vae, scores), spread_D)
    return grid(vae.decode(vae.mapping(y_BD)).mean_BX, span, TRAVERSAL_STEPS)


def axes_of_levels(vae: VAE, scores: Relevance) -> Tensor:
    """The most relevant axis of each level of a hierarchy, the top first."""
    groups = scores.score_D.split(vae.mapping.groups)
    ends = torch.tensor(vae.mapping.groups).cumsum(0).tolist()
    axes = [end - len(group) + int(group.argmax()) for end, group in zip(ends, groups, strict=True)]
    return torch.tensor(axes, device=scores.score_D.device)


def moved(base_D: Tensor, axes: Tensor, spread_D: Tensor) -> Tensor:
    """`base_D` with one axis after another set to S steps from -3 to 3 times its spread: (A * S, D)."""
    steps = torch.linspace(-TRAVERSAL_SDS, TRAVERSAL_SDS, TRAVERSAL_STEPS, device=base_D.device)
    z_ASD = base_D.repeat(len(axes), TRAVERSAL_STEPS, 1)
    values_AS = (spread_D[axes, None] * steps).to(base_D.dtype)
    z_ASD[torch.arange(len(axes), device=axes.device), :, axes] = values_AS
    return z_ASD.flatten(0, 1)


def grid(x_BX: Tensor, span: Range, columns: int) -> Image.Image:
    """Images in rows of `columns`; `span` is black and full brightness. Of 2 channels shows 1, of 4 the first 3."""
    low, high = span
    colours = 3 if x_BX.shape[1] >= 3 else 1
    shown = ((x_BX[:, :colours].cpu() - low) / ((high - low) or 1.0)).clamp(0, 1)
    enlarge = max(1, SMALLEST_SIDE // min(shown.shape[2:]))
    shown = shown.repeat_interleave(enlarge, 2).repeat_interleave(enlarge, 3)
    return Image.fromarray(tiled(shown, columns).mul(255).round().byte().permute(1, 2, 0).expand(-1, -1, 3).numpy())


def tiled(shown_BCHW: Tensor, columns: int) -> Tensor:
    """Images (B, C, H, W) in rows of `columns`, with white lines around each: one image of C channels.

    As torchvision's `make_grid`, whose import takes longer than all else that a picture needs.
    """
    columns = min(columns, len(shown_BCHW))
    empty = -len(shown_BCHW) % columns
    framed = functional.pad(shown_BCHW, (0, LINE, 0, LINE, 0, 0, 0, empty), value=1.0)
    rows = framed.unflatten(0, (-1, columns)).permute(2, 0, 3, 1, 4)  # channel, row, height, column, width
    return functional.pad(rows.flatten(3, 4).flatten(1, 2), (LINE, 0, LINE, 0), value=1.0)


def cloud(x_BX: Tensor, generated_BX: Tensor) -> Figure:
    """A scatter plot of 2-D data and of as many generated points."""
    figure, (axes,) = plot(1)
    for points, label in ((x_BX, "data"), (generated_BX, "samples")):
        axes.scatter(*points.T, s=6, alpha=0.6, label=label)
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend()
    return figure


def curve_pairs(x_BX: Tensor, made_BX: Tensor) -> Figure:
    """The first vectors, each with its reconstruction: curves over the places of their numbers."""
    rows, columns = CURVES
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, x_X, made_X in zip(panels.flat, x_BX.cpu(), made_BX.cpu(), strict=False):
        curve(axes, x_X, color="0.35", linewidth=1.2, label="original")
        curve(axes, made_X, color="tab:orange", linewidth=1.4, label="reconstruction")
    for axes in panels.flat[len(x_BX) :]:
        axes.set_axis_off()
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.supxlabel("place in the vector")
    figure.supylabel("value")
    return figure


def curve_bundles(x_BX: Tensor, generated_BX: Tensor) -> Figure:
    """Some vectors of the data beside as many generated ones, on the same axes."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, vectors_BX, title in zip(panels, (x_BX, generated_BX), ("data", "samples"), strict=True):
        for x_X in vectors_BX[:OVERLAID].cpu():
            curve(axes, x_X, linewidth=0.9, alpha=0.8)
        axes.set(title=title, xlabel="place in the vector")
    panels[0].set_ylabel("value")
    return figure


def curve(axes: Axes, x_X: Tensor, **look) -> None:
    """A vector as a curve, with markers where it is short."""
    axes.plot(range(len(x_X)), x_X.tolist(), marker="." if len(x_X) <= MARKED else None, **look)
    axes.xaxis.get_major_locator().set_params(integer=True)


def variances(history: Sequence[dict[str, float]], variance_D: Tensor, score_D: Tensor) -> Figure:
    """ARD prior: smallest and largest variance after each epoch; now, the variance and the relevance of each axis."""
    figure, (curves, bars, shares) = plot(3)
    epochs = range(1, len(history) + 1)
    for name in ("variance_max", "variance_min"):
        curves.plot(epochs, [metrics[f"val/{name}"] for metrics in history], marker=".", label=name)
    curves.set(xlabel="epoch", ylabel="variance of an axis, $b/a$", yscale="log")
    curves.legend()
    order = score_D.argsort(descending=True, stable=True)
    places = range(len(order))
    bars.bar(places, variance_D[order].tolist())
    bars.set(xlabel="axes, most relevant first", ylabel="variance, $b/a$")
    shares.bar(places, (score_D / score_D.sum().clamp_min(TINY))[order].tolist())
    shares.set(xlabel="axes, most relevant first", ylabel="share of the relevance score")
    for axes in figure.axes:
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def latents(mean_BD: Tensor, y_B: Tensor | None, classes: Sequence[str] = ()) -> Figure:
    """Two-dimensional representations, coloured by label where there are labels; `classes` are the names of these."""
    figure, (axes,) = plot(1)
    labels = [] if y_B is None else y_B.unique().tolist()
    if 0 < len(labels) <= NAMED_CLASSES:
        for label in labels:
            axes.scatter(*mean_BD[y_B == label].T, s=6, label=class_name(classes, label))
        for text in axes.legend(title="label").get_texts():
            text.set_parse_math(False)  # a name may hold `$`
    else:
        axes.scatter(*mean_BD.T, s=6, c=y_B)
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_aspect("equal", adjustable="datalim")
    return figure


def plot(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, without pyplot."""
    figure = Figure(figsize=(5 * panels, 5), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def write(picture: Picture, path: Path) -> Path:
    """Save a picture as PNG."""
    save = picture.savefig if isinstance(picture, Figure) else picture.save
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands in its place
        save(path, format="png")
    return path
