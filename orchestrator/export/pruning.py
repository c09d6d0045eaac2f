"""What pruning a model gains and costs: parameters, size, time and error, before and after."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from orchestrator.export.graphs import examples
from trainables.common.errors import DataError
from trainables.common.roots import Root
from trainables.data.loading import load_splits
from trainables.inference.model import Model

ROWS = 1000  # most of those that are encoded and decoded
ROUNDS = 5  # of the time, of which the fastest counts


def pruned(model: Model, root: Root) -> Model:
    """The model without the axes that it does not use; its origin has the report as `pruning`. Raises UsageError."""
    small = model.prune()
    more = {**small.origin.more, "pruning": report(model, small, root)}
    return small.with_origin(replace(small.origin, more=more))


def report(model: Model, pruned: Model, root: Root) -> dict[str, tuple[Any, Any]]:
    """What is measured -> (of the model, of the pruned one).

    The error is that of reconstructed validation rows, a mean per value in the data's units squared; without the data
    it is left out, and the time is of random rows.
    """
    rows = validation_rows(model, root)
    x = examples(model, ROWS)[0].numpy() if rows is None else rows
    found = {
        "latent axes": (model.latent_dim, pruned.latent_dim),
        "parameters": (parameters(model), parameters(pruned)),
        "megabytes": (4 * parameters(model) / 1e6, 4 * parameters(pruned) / 1e6),
        f"milliseconds for {len(x)} rows": (1e3 * seconds(model, x), 1e3 * seconds(pruned, x)),
    }
    if rows is not None:
        found["squared error"] = tuple(float(np.square(one.reconstruct(rows) - rows).mean()) for one in (model, pruned))
    return found


def validation_rows(model: Model, root: Root) -> np.ndarray | None:
    """The first validation rows in the data's range; None where they are not here."""
    try:
        rows = load_splits(model.run.data, root).val
    except DataError:
        return None
    return rows.batch(torch.arange(min(ROWS, len(rows)))).numpy()


def parameters(model: Model) -> int:
    """The number of parameters of the parts that are used."""
    vae = model.module.vae
    return sum(value.numel() for part in (vae.encoder, vae.mapping, vae.decoder) for value in part.parameters())


def seconds(model: Model, x: np.ndarray) -> float:
    """The time to encode and decode rows, the fastest of several rounds."""
    model.reconstruct(x)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        model.reconstruct(x)
        times.append(time.perf_counter() - started)
    return min(times)
