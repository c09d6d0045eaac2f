"""The attribute classifier of Intel-VAE's code: small networks, one per attribute (table B.1).

The paper's text describes a linear classifier instead: `trainables.metrics.probes.attributes`.
"""

# Shapes: N training rows, T test rows, B rows of a batch, D axes, A attributes, H = 10 hidden units, K = 2 values.

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainables.common.errors import Undefined
from trainables.common.lazy import F, LazyModule, np, torch
from trainables.metrics.probes import ATTRIBUTE_SIZES, ATTRIBUTE_TEST_ROWS, DRAWS, Labelled

if TYPE_CHECKING:
    from torch import Tensor

noises = LazyModule("trainables.noise")

HIDDEN = 10
VALUES = 2
BATCH = 100
EPOCHS = 1000
PATIENCE = 20  # epochs without a better test accuracy, after which a network stops
LEARNING_RATE = 1e-3
EPS = 1e-7  # of Adam, Keras's default


def attributes_neural(
    both: Labelled,
    sizes: Iterable[int] = ATTRIBUTE_SIZES,
    test_rows: int = ATTRIBUTE_TEST_ROWS,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, float]:
    """`attributes_neural_<size>`: mean accuracy over attributes and `draws` starts of networks of 10 hidden units.

    As in the published code, all rows are of one split (sampled latents, not means) in one random order: the first
    `size` train and the last 2,000 test. Each network stops early by its accuracy on the *test* rows, whose best value
    counts, so the numbers are optimistic for all models. Raises Undefined.

    Args:
        both: with attributes, `y_N` (N, A) bool.
        seed: of the rows' order, the networks' initial weights and the order of their batches.
    """
    if not np.isfinite(both.z_ND).all():
        raise Undefined("codes are not finite: look at the model's loss.")
    mixed = both[np.random.default_rng(seed).permutation(len(both))]
    numbers = {}
    for size in sizes:
        if size + test_rows > len(both):
            raise Undefined(f"{size} + {test_rows} rows asked for, {len(both)} are there: use more rows.")
        found = [best_accuracies(mixed[:size], mixed[-test_rows:], seed, draw) for draw in range(draws)]
        numbers[f"attributes_neural_{size}"] = float(np.mean(found))
    return numbers


def best_accuracies(train: Labelled, test: Labelled, *key: int) -> np.ndarray:
    """Each network's best accuracy on the test rows, (A,), of at most 1,000 epochs of Adam in batches of 100.

    The networks of all attributes train at once on the same batches. They share no weights, so each trains as if alone;
    after its early stop its accuracy no longer counts. Does not use the global generator.
    """
    z_ND, z_TD = (torch.from_numpy(rows.z_ND).float() for rows in (train, test))
    y_NA, y_TA = (torch.from_numpy(rows.y_N).long() for rows in (train, test))
    generator = torch.Generator().manual_seed(noises.seed_of(*key, "attributes"))
    weights = started(z_ND.shape[1], y_NA.shape[1], generator)
    optimizer = torch.optim.Adam(weights, LEARNING_RATE, eps=EPS)
    best_A, waited_A = torch.full((y_NA.shape[1],), -1.0), torch.zeros(y_NA.shape[1])
    for _ in range(EPOCHS):
        for index in torch.randperm(len(z_ND), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss_BA = F.cross_entropy(logits(weights, z_ND[index]).movedim(2, 1), y_NA[index], reduction="none")
            loss_BA.mean(0).sum().backward()
            optimizer.step()
        with torch.no_grad():
            right_A = (logits(weights, z_TD).argmax(2) == y_TA).float().mean(0)
        better_A = (right_A > best_A) & (waited_A < PATIENCE)
        best_A = torch.where(better_A, right_A, best_A)
        waited_A = torch.where(better_A, 0, waited_A + 1)
        if (waited_A >= PATIENCE).all():
            break
    return best_A.numpy()


def started(axes: int, attributes: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Keras's initial weights and biases of all networks: Glorot uniform, and zeros."""

    def glorot(*shape: int) -> Tensor:
        edge = math.sqrt(6 / (shape[-2] + shape[-1]))
        return (edge * (2 * torch.rand(*shape, generator=generator, dtype=torch.float32) - 1)).requires_grad_()

    first_ADH, second_AHK = glorot(attributes, axes, HIDDEN), glorot(attributes, HIDDEN, VALUES)
    biases = (torch.zeros(attributes, width, dtype=torch.float32, requires_grad=True) for width in (HIDDEN, VALUES))
    return first_ADH, second_AHK, *biases


def logits(weights: tuple[Tensor, ...], z_BD: Tensor) -> Tensor:
    """The logits (B, A, K) of all networks on the same rows."""
    first_ADH, second_AHK, bias_AH, bias_AK = weights
    hidden_BAH = (torch.einsum("bd,adh->bah", z_BD, first_ADH) + bias_AH).relu()
    return torch.einsum("bah,ahk->bak", hidden_BAH, second_AHK) + bias_AK
