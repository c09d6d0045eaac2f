"""How large each latent axis is in each class, and the share of axes that a class uses.

Source: Intel-VAE, figure 8 ("less than 10 % dimensions are activated for each class"), which gives no rule.
"""

# Shapes: N rows, L latent axes, C classes.

from __future__ import annotations

from trainables.common.lazy import np

ACTIVE = 0.2  # of the largest mean magnitude in a class: our own rule


def mean_magnitudes(z_NL: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes (C,), and the mean of |z| over the rows of each class, (C, L)."""
    classes_C = np.unique(y_N)
    return classes_C, np.stack([np.abs(z_NL[y_N == label]).mean(0, dtype=np.float64) for label in classes_C])


def active_axes(magnitude_CL: np.ndarray) -> np.ndarray:
    """Mask (C, L) of the axes whose mean magnitude is at least a fifth of the largest in the class, and not 0."""
    return (magnitude_CL >= ACTIVE * magnitude_CL.max(1, keepdims=True)) & (magnitude_CL > 0)
