"""Distributions in the plane or in space with holes, corners, gaps and arms, hard for a Gaussian latent space.

Intel-VAE's notebooks draw new points all the time; here `rows` points are drawn once, so that an epoch is a fixed set.
"""

# Shapes: N rows of a split, V vertices of a polygon, X 2 or 3 coordinates.

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import np, torch
from trainables.data.base import Dataset, Facts, Rows, Splits

TRAIN_STREAM, VAL_STREAM = 0, 1
VAL_ROWS = 2_000
SCALE = 2.0


class Synthetic(Dataset):
    """Points, unbounded, drawn with a fixed seed; the 2,000 validation points do not depend on `rows`."""

    rows: PositiveInt = 20_000
    """Number of training points."""

    coordinates: ClassVar[int] = 2
    source: ClassVar[str] = "Intel-VAE, appendix C and its published notebooks"
    kl_warmup: ClassVar[float] = 0.5  # without it a decoder that learns its variance collapses to one Gaussian
    licence: ClassVar[str] = "none needed: drawn at random"
    citation: ClassVar[str] = (
        "Miao, Mathieu, Siddharth, Teh, Rainforth: On Incorporating Inductive Biases into VAEs, ICLR 2022"
    )

    @abstractmethod
    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Points (N, X), and their labels (N,) where the distribution has parts."""

    def known_facts(self) -> Facts:
        return Facts((self.coordinates,), None, self.rows, VAL_ROWS)

    def from_files(self, root: Path) -> Splits:
        return Splits(self._drawn(TRAIN_STREAM, self.rows), self._drawn(VAL_STREAM, VAL_ROWS), None)

    def _drawn(self, stream: int, rows: int) -> Rows:
        x_NX, y_N = self.draw(np.random.default_rng(stream), rows)
        return Rows(torch.from_numpy(x_NX.astype(np.float32)), None if y_N is None else torch.from_numpy(y_N), None)


class Circle(Synthetic):
    """The circle of radius 2 in the plane: one hole."""

    name: Literal["circle"] = "circle"

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, None]:
        t_N = rng.uniform(0, 2 * math.pi, rows)
        return SCALE * np.stack([np.cos(t_N), np.sin(t_N)], axis=1), None


class Square(Synthetic):
    """The edges of the square of half side sqrt(2) in the plane: one hole, four corners."""

    name: Literal["square"] = "square"

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, None]:
        return _along_edges(rng, rows, _corners(4, math.pi / 4)), None


class Star(Synthetic):
    """The edges of a star of five points in the plane, outer radius 2, inner radius 2/3."""

    name: Literal["star"] = "star"

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, None]:
        inner_V = np.where(np.arange(10) % 2 == 0, 1 / 3, 1.0)
        return _along_edges(rng, rows, _corners(10, -math.pi / 10) * inner_V[:, None]), None


class Infinity(Synthetic):
    """The curve of the infinity sign in the plane: two holes."""

    name: Literal["infinity"] = "infinity"

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, None]:
        t_N = rng.uniform(0, 2 * math.pi, rows)
        return SCALE * np.stack([np.cos(t_N), np.sin(t_N) * np.cos(t_N)], axis=1), None


class Mog(Synthetic):
    """A mixture of two Gaussians in the plane, at (-2, 0) and (2, 0), with deviation 0.3; labelled by Gaussian."""

    name: Literal["mog"] = "mog"

    classes: ClassVar[int] = 2

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        part_N = rng.integers(2, size=rows)
        centre_N2 = np.stack([SCALE * (2 * part_N - 1), np.zeros(rows)], axis=1)
        return centre_N2 + 0.3 * rng.standard_normal((rows, 2)), part_N


class Cross(Synthetic):
    """Sparse points in the plane: N(0, 1) along one axis, N(0, 0.05^2) along the other; labelled by the first."""

    name: Literal["cross"] = "cross"

    source: ClassVar[str] = "own, after Intel-VAE, figure 3; deviations of Mathieu et al. 2019"
    classes: ClassVar[int] = 2

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        axis_N = rng.integers(2, size=rows)
        deviation_N2 = np.where(axis_N[:, None] == np.arange(2), 1.0, 0.05)
        return deviation_N2 * rng.standard_normal((rows, 2)), axis_N


class Sphere(Synthetic):
    """The sphere of radius 2 in space, evenly: a hollow that a Gaussian fills."""

    name: Literal["sphere"] = "sphere"

    source: ClassVar[str] = "Intel-VAE, appendix C.4, which names it; radius and density are ours, after its circle"
    coordinates: ClassVar[int] = 3

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, None]:
        x_N3 = rng.standard_normal((rows, 3))
        return SCALE * x_N3 / np.linalg.norm(x_N3, axis=1, keepdims=True), None


def _corners(count: int, angle: float) -> np.ndarray:
    """The vertices (V, 2) of a regular polygon on the unit circle, turned by `angle` radians."""
    turn_V = 2 * math.pi * np.arange(count) / count
    cos, sin = math.cos(angle), math.sin(angle)
    return np.stack([np.cos(turn_V), np.sin(turn_V)], axis=1) @ np.array([[cos, sin], [-sin, cos]])


def _along_edges(rng: np.random.Generator, rows: int, vertices: np.ndarray) -> np.ndarray:
    """Points (N, 2), uniform on edges of equal length."""
    edge_N = rng.integers(len(vertices), size=rows)
    u_N1 = rng.uniform(0, 1, (rows, 1))
    return SCALE * (u_N1 * vertices[edge_N] + (1 - u_N1) * np.roll(vertices, -1, axis=0)[edge_N])
