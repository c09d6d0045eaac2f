"""Points of a plane: latent spaces of two dimensions, generated points beside data, and what a mapping does to both."""

# Shapes: N points, E examples, S samples of each or steps along a line, D dimensions of the code y, L latent axes.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.data.base import Rows
from trainables.evaluations.context import EvaluationContext
from trainables.noise import Noise

POINTS = 2_000
EXAMPLES, DRAWS = 5, 200
REACH = 3.0  # standard deviations of the prior
LINES = 13  # of a grid, each way
STEPS = 241  # points along a line of a grid
RADII = (0.5, 1.0, 1.5, 2.0, 2.5)  # of circles of equal density


@dataclass(frozen=True)
class LatentSpace:
    """Samples in a latent plane."""

    prior_N2: np.ndarray
    """Of p(z) = g(p(y))."""
    codes_N2: np.ndarray
    """Of q(z): one of q(z|x) for each row."""
    posteriors_ES2: np.ndarray
    """Of q(z|x) for each example."""


@dataclass(frozen=True)
class Mapped:
    """Points of the plane of y's first two axes (the only one, if there is no other), and where g takes them.

    The other axes of y are 0, and of z the first two are kept.
    """

    lines: dict[str, tuple[np.ndarray, np.ndarray]]
    """Name -> points along the line in y (S, 1 or 2), and in z."""
    y_N2: np.ndarray
    """Samples of N(0, I)."""
    z_N2: np.ndarray
    part_N: np.ndarray
    """The cluster of each sample; 0 for mappings without clusters."""


@torch.no_grad()
def latent_space(seen: EvaluationContext, seed: int = 0) -> LatentSpace:
    """The prior, the codes of the test (else validation) rows, and the posteriors of the first of these."""
    noise = _noise(seen, POINTS, seed, "prior")
    prior_N2 = seen.vae.mapping(seen.vae.prior.sample(noise))
    x_EX = seen.share_of(seen.rows(None, EXAMPLES))
    repeated = x_EX.repeat_interleave(DRAWS, 0)
    draws_N2 = seen.vae.sample_latents(repeated, _noise(seen, len(repeated), seed, "posteriors"))
    codes_N2 = seen.codes("sampled", None, POINTS, seed=seed)
    return LatentSpace(_plain(prior_N2), _plain(codes_N2), _plain(draws_N2.unflatten(0, (len(x_EX), DRAWS))))


def representations(seen: EvaluationContext) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The codes g(mean of q), (N, L), of the first test (else validation) rows, their labels (N,), else 0, and names.

    There are no names where labels have none.
    """
    codes_NL = seen.codes("representation", None, POINTS)
    rows = seen.rows(None, POINTS)
    return _plain(codes_NL), np.zeros(len(codes_NL), dtype=int) if rows.y is None else rows.y.numpy(), rows.classes


def generated(seen: EvaluationContext, points: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """So many points of the data and as many generated ones, with the decoder's noise: (N, 2) each."""
    rows: Rows = seen.rows("train", points)
    return _plain(seen.share_of(rows)), _plain(seen.share_of_generated(points, seed))


@torch.no_grad()
def mapped(seen: EvaluationContext, seed: int = 0) -> Mapped:
    """What the model's mapping does to a grid, to circles around the origin and to samples of the prior N(0, I)."""
    width = min(2, seen.vae.code_dim)
    lines = _grid(width) | (_circles() if width == 2 else {})
    y_N2 = _noise(seen, POINTS, seed, "mapping").normal("samples", width)
    cluster = getattr(seen.vae.mapping, "cluster", None)
    part_N = cluster(_widened(seen, y_N2)).cpu() if cluster else torch.zeros(len(y_N2), dtype=torch.long)
    through = {name: (_plain(y_S2), _image(seen, y_S2)) for name, y_S2 in lines.items()}
    return Mapped(through, _plain(y_N2), _image(seen, y_N2), part_N.numpy())


def _grid(width: int) -> dict[str, Tensor]:
    """Straight lines by name: two bundles in the plane, or the axis itself."""
    along = torch.linspace(-REACH, REACH, STEPS)
    if width == 1:
        return {"axis": along[:, None]}
    lines = {}
    for place in torch.linspace(-REACH, REACH, LINES):
        across = torch.full_like(along, float(place))
        lines[f"y1 = {place:g}"] = torch.stack((across, along), 1)
        lines[f"y2 = {place:g}"] = torch.stack((along, across), 1)
    return lines


def _circles() -> dict[str, Tensor]:
    """Lines of equal density of N(0, I)."""
    angle = torch.linspace(0, 2 * torch.pi, STEPS)
    unit = torch.stack((angle.cos(), angle.sin()), 1)
    return {f"|y| = {radius:g}": radius * unit for radius in RADII}


def _image(seen: EvaluationContext, y_N2: Tensor) -> np.ndarray:
    """g of points of the plane, as far as it lies in the plane of z's first two axes."""
    return _plain(seen.vae.mapping(_widened(seen, y_N2)))[:, :2]


def _widened(seen: EvaluationContext, y_N2: Tensor) -> Tensor:
    y_ND = torch.zeros(len(y_N2), seen.vae.code_dim, device=seen.device)
    y_ND[:, : y_N2.shape[1]] = y_N2.to(seen.device)
    return y_ND


def _noise(seen: EvaluationContext, rows: int, seed: int, purpose: str) -> Noise:
    return Noise(seed, "figures", purpose, rows=slice(rows), total=rows, device=seen.device)


def _plain(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
