"""The batches of ImageNet in 32x32 pixels, with 57 images."""

import numpy as np

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (57, 3, 32, 32)).astype(np.uint8)
Y = RNG.integers(0, 1_000, 57)
PARTS = [*np.split(np.arange(50), [6, 11, 15, 21, 26, 30, 35, 41, 44]), np.arange(50, 57)]
FILES = [*(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz"]


def batch(path, rows, x=None, y=None) -> None:
    x = X[rows].reshape(len(rows), -1) if x is None else x
    np.savez(path, data=x, labels=Y[rows] + 1 if y is None else y, mean=np.zeros(3_072))
