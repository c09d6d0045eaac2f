"""Determines the range of values, with a note where they lie in no known range."""

# Shapes: N rows of the file, D numbers of a vector, images (N, C, H, W).

from __future__ import annotations

from trainables.common.lazy import np
from trainables.data.base import SIGNED, UNIT, Range

RANGES: tuple[Range, ...] = (UNIT, SIGNED)
FEW = 0.01  # up to this share, values outside a range may be there by mistake
BYTE, WORD = 255, 65_535  # the largest values of pixels of 8 and of 16 bits
DARK = 0.4  # least share of these that the lightest pixel must reach


def range_of(x: np.ndarray) -> Range | None:
    """The tightest known range that holds all values."""
    if x.dtype == np.uint8:
        return UNIT
    low, high = x.min(), x.max()
    return next((bounds for bounds in RANGES if bounds[0] <= low and high <= bounds[1]), None)


def unbounded(x: np.ndarray) -> str:
    """A note on floats (N, ...) that lie in no known range: why, and how to bring them into one."""
    low, high = x.min(), x.max()
    bounds, scale = (UNIT, _scale(high)) if low >= 0 else (SIGNED, max(-low, high))
    pixels = scale in (BYTE, WORD)
    for near in () if pixels else RANGES:
        outside = (x < near[0]) | (x > near[1])
        if outside.mean() <= FEW:
            return _few(x, outside, near)
    what = "as pixels do " if pixels else ""
    cure = f"'scale: {scale!s}' brings them into {_shown(bounds)}"
    return f"values go from {low!s} to {high!s}, {what}and are taken as they are, unbounded: {cure}, if they should be."


def _few(x: np.ndarray, outside: np.ndarray, bounds: Range) -> str:
    row = int(outside.reshape(len(x), -1).any(axis=1).argmax())
    value = x[row][outside[row]][0]
    count = f"{np.count_nonzero(outside):,} of {x.size:,} values"
    cure = "clip them (numpy.clip) if all should lie in it"
    return f"{count} lie outside {_shown(bounds)}, row {row} with {value!s} first, and make the set unbounded: {cure}."


def _scale(high: np.float32) -> np.float32 | int:
    """The divisor that brings values from 0 to `high` into [0, 1]."""
    for most in (BYTE, WORD):
        if DARK * most <= high <= most:
            return most
    return high


def _shown(bounds: Range) -> str:
    return f"[{bounds[0]:g}, {bounds[1]:g}]"
