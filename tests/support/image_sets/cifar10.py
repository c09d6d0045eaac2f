"""CIFAR-10 as Python 2 pickled it, with 20 images a batch."""

import numpy as np

RNG = np.random.default_rng(0)
BATCH = 20
TRAIN_X = RNG.integers(0, 256, (5 * BATCH, 3, 32, 32)).astype(np.uint8)
TRAIN_Y = RNG.integers(0, 10, 5 * BATCH)
TEST_X, TEST_Y = TRAIN_X[:BATCH] ^ 255, RNG.integers(0, 10, BATCH)
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def python_2(x: np.ndarray, y: np.ndarray) -> bytes:
    """A pickle as Python 2 wrote the official files: all text as bytes, numpy under its old name."""
    text = lambda raw: b"T" + len(raw).to_bytes(4, "little") + raw  # noqa: E731
    minus_one = b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|") + b"NNN" + 2 * minus_one + b"K\x00tb"
    shape = b"(M" + len(x).to_bytes(2, "little") + b"M\x00\x0ct"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
    array += b"(K\x01" + shape + dtype + b"\x89" + text(x.tobytes()) + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in y) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."


def batches(write) -> dict[str, bytes]:
    parts = [*zip(np.split(TRAIN_X, 5), np.split(TRAIN_Y, 5), strict=True), (TEST_X, TEST_Y)]
    return {f"cifar-10-batches-py/{name}": write(*part) for name, part in zip(NAMES, parts, strict=True)}
