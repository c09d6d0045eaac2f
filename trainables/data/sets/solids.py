"""Objects in a room in the manner of 3D Shapes, rendered here: every factor is known exactly, nothing is downloaded.

Sphere tracing: each pixel's ray advances in steps of the distance to the object, which has a closed form, until it hits
the object, floor or wall. What it hits decides which of three hues the pixel has, and how bright it is.
"""

# Shapes: K images requested, P pixels (rows x columns), points and directions (P, 3) as (right, up, ahead).

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.lazy import np
from trainables.data.sets.grids import EveryCombination, Grid

NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
EYE, AIM = (0.0, 2.4, -4.5), (0.0, 0.9, 0.0)
VIEW = 0.45  # half of the image's width at distance 1
WALL = 5.0  # distance of each of the four walls from the middle of the room
LIGHT = (0.36, 0.8, -0.48)  # unit vector towards the light
AMBIENT = 0.4  # brightness without direct light
STEPS, NEAR = 256, 1e-5
SCALES = (0.7, 1.0)
"""Half of the height of the smallest and of the largest object."""
TURN = math.radians(30)
"""Room and object turn together, from minus this angle to plus this angle."""


class Solids(EveryCombination):
    """A cube, cylinder, ball or capsule in a room, rendered, 64x64 colour, 6 factors: 3,456 / 384 images.

    Factors: floor_hue 4, wall_hue 4, object_hue 4, scale 3, shape 4, orientation 5, each combination once. A fixed
    shuffle holds out the validation images. There are no test images.
    """

    name: Literal["solids"] = "solids"
    side: Literal[32, 64] = 64
    """Side of an image in pixels."""
    val_from_train: int = Field(384, gt=0, lt=3_840)
    """Number of validation images."""

    source: ClassVar[str] = "own rendering, after Burgess & Kim 2018, 3D Shapes"
    licence: ClassVar[str] = "none needed: drawn"
    citation: ClassVar[str] = "none needed: drawn"
    grid: ClassVar[Grid] = Grid(NAMES, (4, 4, 4, 3, 4, 5))

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.side, self.side

    def _pixels(self, root: Path) -> Callable[[np.ndarray], np.ndarray]:
        return self._rendered

    def _rendered(self, index_K: np.ndarray) -> np.ndarray:
        """Renders one scene at a time, in all colours needed."""
        values_KF = self.grid.values(index_K)
        x_K3P = np.empty((len(index_K), 3, self.side**2), np.uint8)
        for scene in np.unique(values_KF[:, 3:], axis=0):
            some = (values_KF[:, 3:] == scene).all(axis=1)
            part_P, brightness_P = view(*scene.tolist(), self.side)
            colour_3KP = rgb(values_KF[some, :3] / self.grid.sizes[:3])[:, :, part_P]
            x_K3P[some] = np.rint(255 * brightness_P * colour_3KP).transpose(1, 0, 2)
        return x_K3P.reshape(-1, *self.shape)


def rgb(hue: np.ndarray) -> np.ndarray:
    """Pure colours of hues in [0, 1), with the RGB channels as first axis: 0 is red, 1/3 green, 2/3 blue."""
    from_hue = np.stack([np.abs((hue + shift) % 1 - 0.5) for shift in (0, 2 / 3, 1 / 3)])
    return np.clip(6 * from_hue - 1, 0, 1)


@cache
def view(scale: int, shape: int, orientation: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel shows, 0 the floor, 1 a wall, 2 the object, and its brightness in [0, 1]: both (P,).

    The arguments are values of the factors. Eye and light turn instead of the room.
    """
    low, high = SCALES
    size = low + (high - low) * scale / (Solids.grid.sizes[3] - 1)
    angle = TURN * (2 * orientation / (Solids.grid.sizes[5] - 1) - 1)
    eye, light = _about_up(np.array(EYE), angle), _about_up(np.array(LIGHT), angle)
    ray_P3 = _about_up(rays(side), angle)
    thing = partial(DISTANCES[shape], size=size)
    room_P, floor_P, normal_P3 = _room(eye, ray_P3)
    way_P = _followed(thing, eye, ray_P3, room_P)
    hit_P = way_P < room_P
    normal_P3[hit_P] = _slope(thing, (eye + way_P[:, None] * ray_P3)[hit_P])
    lit_P = AMBIENT + (1 - AMBIENT) * np.clip(normal_P3 @ light, 0, 1)
    return np.where(hit_P, 2, np.where(floor_P, 0, 1)), lit_P


def rays(side: int) -> np.ndarray:
    """Unit directions (P, 3) from the eye through the pixels' middles, row by row from the top left."""
    ahead = np.subtract(AIM, EYE) / np.linalg.norm(np.subtract(AIM, EYE))
    right = np.array([1.0, 0.0, 0.0])  # the eye looks straight ahead and down
    up = np.cross(ahead, right)
    middle = VIEW * ((2 * np.arange(side) + 1) / side - 1)
    down, across = np.meshgrid(middle, middle, indexing="ij")
    ray_P3 = ahead + across.reshape(-1, 1) * right - down.reshape(-1, 1) * up
    return ray_P3 / np.linalg.norm(ray_P3, axis=1, keepdims=True)


def _about_up(vector: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return vector @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _room(eye: np.ndarray, ray_P3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along each ray: the distance of the floor or wall, whether it is the floor, and its normal."""
    with np.errstate(divide="ignore"):
        planes_P3 = (np.sign(ray_P3) * [WALL, 0, WALL] - eye) / ray_P3
    planes_P3[ray_P3[:, 1] >= 0, 1] = np.inf  # there is no ceiling
    axis_P = planes_P3.argmin(axis=1)
    pixel = np.arange(len(ray_P3))
    normal_P3 = np.zeros_like(ray_P3)
    normal_P3[pixel, axis_P] = -np.sign(ray_P3[pixel, axis_P])
    return planes_P3[pixel, axis_P], axis_P == 1, normal_P3


def _followed(thing: Callable, eye: np.ndarray, ray_P3: np.ndarray, end_P: np.ndarray) -> np.ndarray:
    """The distance of the object along each ray; `end_P` where the ray does not hit it before."""
    way_P, left = np.zeros(len(ray_P3)), np.arange(len(ray_P3))
    for _ in range(STEPS):
        gap = thing(eye + way_P[left, None] * ray_P3[left])
        way_P[left] = np.minimum(way_P[left] + gap, end_P[left])
        left = left[(gap > NEAR) & (way_P[left] < end_P[left])]
    way_P[left] = end_P[left]
    return way_P


def _slope(thing: Callable, point_P3: np.ndarray) -> np.ndarray:
    """The unit normals of the object's surface: the gradient of the distance, by central differences."""
    steps = 1e-4 * np.eye(3)
    slope_P3 = np.stack([thing(point_P3 + step) - thing(point_P3 - step) for step in steps], axis=1)
    return slope_P3 / np.linalg.norm(slope_P3, axis=1, keepdims=True)


def _cube(point_P3: np.ndarray, size: float) -> np.ndarray:
    half = 0.75 * size
    return _outside(np.abs(point_P3 - [0, half, 0]) - half)


def _cylinder(point_P3: np.ndarray, size: float) -> np.ndarray:
    from_axis_P = np.hypot(point_P3[:, 0], point_P3[:, 2]) - 0.75 * size
    return _outside(np.stack([from_axis_P, np.abs(point_P3[:, 1] - size) - size], axis=1))


def _ball(point_P3: np.ndarray, size: float) -> np.ndarray:
    return np.linalg.norm(point_P3 - [0, size, 0], axis=1) - size


def _capsule(point_P3: np.ndarray, size: float) -> np.ndarray:
    radius = 0.6 * size
    up_P = np.clip(point_P3[:, 1], radius, 2 * size - radius)  # the nearest point of the axis
    return np.linalg.norm(point_P3 - np.stack([0 * up_P, up_P, 0 * up_P], axis=1), axis=1) - radius


def _outside(gap: np.ndarray) -> np.ndarray:
    """Signed distance to a box, or to another body bounded in perpendicular directions, from the gaps along these."""
    return np.linalg.norm(np.maximum(gap, 0), axis=1) + np.minimum(gap.max(axis=1), 0)


DISTANCES = (_cube, _cylinder, _ball, _capsule)
"""By the factor `shape`: the distance (P,) from points to an object of a size in the middle of the floor."""
