"""Images in rows and columns, as bytes: reconstructions, samples, and what happens along latent axes."""

# Shapes: B images in a row of a model's batch, R rows and C columns of a sheet, H x W pixels of K colours (1 or 3), L
# latent axes, A axes shown, S steps along one.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables import pictures
from trainables.common.errors import Undefined
from trainables.data.base import Range
from trainables.evaluations.context import EvaluationContext
from trainables.relevance import MOMENT_ROWS

COLUMNS, ROWS = 8, 4
MOST_AXES = pictures.TRAVERSED_AXES


@dataclass(frozen=True)
class Traversals:
    """An image with one latent axis after another varied from -3 s to 3 s, see `pictures.traversals`."""

    images_ASHWK: np.ndarray
    axes: tuple[int, ...]
    share_A: tuple[float, ...]
    """Of the total relevance score."""
    relevant_A: tuple[bool, ...]
    """Whether the axis is among the fewest that carry 99 % of the score."""


@torch.no_grad()
def reconstructions(seen: EvaluationContext, pairs: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """The first test (else validation) images, each row above its reconstructions from the mean code, as bytes.

    Shape (R, C, H, W, K). Raises Undefined where there are too few images for whole rows.
    """
    x_BX = seen.share_of(seen.rows(None, pairs * columns))
    both = torch.stack((x_BX, seen.vae.decode(seen.vae.represent(x_BX)).mean_BX))
    if rest := len(x_BX) % columns:
        raise Undefined(f"{len(x_BX)} images, {rest} too many for whole rows: use more validation rows.")
    return as_bytes(both.unflatten(1, (-1, columns)).transpose(0, 1).flatten(0, 1), span_of(seen))


def samples(seen: EvaluationContext, rows: int = COLUMNS, columns: int = COLUMNS, seed: int = 0) -> np.ndarray:
    """Generated images, the first that the evaluations of generated images see too: (R, C, H, W, K)."""
    x_BX = seen.share_of_generated(rows * columns, seed)
    return as_bytes(x_BX.unflatten(0, (rows, columns)), span_of(seen))


@torch.no_grad()
def traversals(seen: EvaluationContext, seed: int = 0) -> Traversals:
    """Of the first test (else validation) image; at most 32 axes."""
    scores = seen.relevance(seed)
    axes = scores.score_D.argsort(descending=True, stable=True)[:MOST_AXES]
    base_L = seen.codes("representation", None, 1)[0].to(seen.device)
    z_BL = pictures.moved(base_L, axes, scores.variance_D.sqrt())
    images = seen.vae.decode(z_BL).mean_BX.unflatten(0, (len(axes), -1))
    share = (scores.score_D / scores.score_D.sum().clamp_min(pictures.TINY))[axes]
    relevant = scores.active()[axes]
    shown = as_bytes(images, span_of(seen))
    return Traversals(shown, tuple(axes.tolist()), tuple(share.tolist()), tuple(relevant.tolist()))


@torch.no_grad()
def levels(seen: EvaluationContext, seed: int = 0) -> tuple[np.ndarray, tuple[int, ...]]:
    """Of a hierarchy: the most relevant axis of y of each level is varied, the top level first, and z = g(y) decoded.

    Images (levels, S, H, W, K) of the first test (else validation) image, and the axes.
    """
    scores, base_D = seen.relevance(seed), seen.codes("mean", None, 1)[0].to(seen.device)
    spread_D = seen.codes("draw", "train", MOMENT_ROWS, seed=seed).square().mean(0).sqrt().to(seen.device)
    axes = pictures.axes_of_levels(seen.vae, scores)
    y_BD = pictures.moved(base_D, axes, spread_D)
    images = seen.vae.decode(seen.vae.mapping(y_BD)).mean_BX.unflatten(0, (len(axes), -1))
    return as_bytes(images, span_of(seen)), tuple(axes.tolist())


@torch.no_grad()
def along(seen: EvaluationContext, choices: Sequence[tuple[int, int]], seed: int = 0) -> np.ndarray:
    """For each (class, axis) the first test (else validation) image of the class, along the axis, as bytes.

    Shape (R, S, H, W, K). The axis goes from -3 s to 3 s, see `pictures.traversals`. Raises Undefined where the
    data have no labels.
    """
    y_N = seen.rows(None).y
    if y_N is None:
        raise Undefined("these data have no labels.")
    codes_NL, spread_L = seen.codes("representation", None), seen.relevance(seed).variance_D.sqrt()
    rows = []
    for label, axis in choices:
        base_L = codes_NL[int((y_N == label).nonzero()[0])].to(seen.device)
        z_SL = pictures.moved(base_L, torch.tensor([axis], device=seen.device), spread_L)
        rows.append(seen.vae.decode(z_SL).mean_BX)
    return as_bytes(torch.stack(rows), span_of(seen))


def span_of(seen: EvaluationContext) -> Range:
    """The values shown as black and as full brightness."""
    return pictures.span_of(seen.rows(None))


def as_bytes(x_RCX: Tensor, span: Range) -> np.ndarray:
    """Images (R, C, K, H, W) in the data's range as bytes (R, C, H, W, K). Of 2 channels shows 1, of 4 the first 3."""
    low, high = span
    colours = 3 if x_RCX.shape[2] >= 3 else 1
    shown = ((x_RCX[:, :, :colours].detach().cpu() - low) / ((high - low) or 1.0)).clamp(0, 1)
    return shown.mul(255).round().byte().movedim(2, -1).numpy()
