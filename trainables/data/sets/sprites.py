"""Shapes in the manner of dSprites, drawn here: every factor is known exactly, nothing is downloaded."""

# Shapes: K images requested, H rows, W columns of pixels, F factors.

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.lazy import np
from trainables.data.sets.grids import EveryCombination, Grid

AT_ONCE = 256  # images drawn together, which takes some MB
RADII = (0.3, 0.45)
"""Radius of the circle around the smallest and the largest shape, in halves of the image's side."""
REACH = 0.49  # largest offset of a shape's centre from the middle, so that no shape is cut off
HEART = 1.43  # scale of the heart, a little above its curve's largest distance from the middle, 1.4245


class Sprites(EveryCombination):
    """White squares, ellipses and hearts, rendered, 64x64 black and white, 5 factors: 5,632 / 512 images.

    Factors: shape 3, scale 4, orientation 8, pos_x 8, pos_y 8, each combination once. Unlike in dSprites the
    orientations cover a quarter turn, so that no two images are equal. A pixel is white if its middle lies in the
    shape. A fixed shuffle holds out the validation images. There are no test images.
    """

    name: Literal["sprites"] = "sprites"
    side: Literal[32, 64] = 64
    """Side of an image in pixels."""
    val_from_train: int = Field(512, gt=0, lt=6_144)
    """Number of validation images."""

    source: ClassVar[str] = "own drawing, after Matthey et al. 2017, dSprites"
    licence: ClassVar[str] = "none needed: drawn"
    citation: ClassVar[str] = "none needed: drawn"
    grid: ClassVar[Grid] = Grid(("shape", "scale", "orientation", "pos_x", "pos_y"), (3, 4, 8, 8, 8))

    @property
    def shape(self) -> tuple[int, int, int]:
        return 1, self.side, self.side

    def _pixels(self, root: Path) -> Callable[[np.ndarray], np.ndarray]:
        return self._drawn

    def _drawn(self, index_K: np.ndarray) -> np.ndarray:
        x_KHW = np.empty((len(index_K), self.side, self.side), np.uint8)
        values_KF = self.grid.values(index_K)
        for shape, rule in enumerate(RULES):
            places = np.flatnonzero(values_KF[:, 0] == shape)
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                x_KHW[some] = 255 * rule(*own_axes(values_KF[some, 1:], self.side))
        return x_KHW[:, None]


def own_axes(factors_K4: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates of each pixel's middle on the two axes of the shape, in units of its radius: (K, H, W) each.

    `factors` are scale, orientation, pos_x and pos_y.
    """
    scale_K, turn_K, *centre = factors_K4.T
    along_KHW, across_KHW = _turned(*_offsets(centre, side), turn_K * (math.pi / 2 / Sprites.grid.sizes[2]))
    low, high = RADII
    radius_K11 = (low + (high - low) * scale_K / (Sprites.grid.sizes[1] - 1))[:, None, None]
    return along_KHW / radius_K11, across_KHW / radius_K11


def _offsets(centre: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray]:
    """From the shape's centre to each pixel's middle, to the right (K, 1, W) and upwards (K, H, 1)."""
    middle = (2 * np.arange(side) + 1) / side - 1
    right_K, up_K = (REACH * (2 * place_K / (Sprites.grid.sizes[3] - 1) - 1) for place_K in centre)
    return middle - right_K[:, None, None], -middle[:, None] - up_K[:, None, None]


def _turned(right: np.ndarray, up: np.ndarray, angle_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The offsets along the axes of a shape that is turned anticlockwise by `angle_K` radians."""
    cos, sin = np.cos(angle_K)[:, None, None], np.sin(angle_K)[:, None, None]
    return cos * right + sin * up, cos * up - sin * right


def _square(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(a), np.abs(b)) <= math.sqrt(0.5)


def _ellipse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a**2 + 4 * b**2 <= 1


def _heart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The curve (x^2 + y^2 - 1)^3 = x^2 y^3, scaled to lie in the unit circle."""
    x, y = HEART * a, HEART * b
    xx, yy = x * x, y * y
    beyond = xx + yy - 1
    return beyond * beyond * beyond <= xx * yy * y  # products: powers are many times slower


RULES = (_square, _ellipse, _heart)
"""By the factor `shape`: whether points lie in a shape of radius 1."""
