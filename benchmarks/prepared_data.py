"""The time to read batches of a prepared, memory-mapped set against those of a set that was read into memory.

    python benchmarks/prepared_data.py [--data-root FOLDER] [--set mnist celeba_half] [--shard-mib 64 4]

Rows are random. Each time is the best of several rounds, which alternate between the two. Also measures how long it
takes to open the set, which a trial waits for before its first step.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from trainables.common.records import name_of
from trainables.common.roots import data_root
from trainables.data import DATASETS, Dataset, Rows
from trainables.data.loading import load_splits
from trainables.data.prepared import prepare

ROUNDS, BATCHES = 7, {100: 100, 1_000: 20}
"""Batch size -> batches of a round."""


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def of_batches(rows: list[Rows], batch_size: int) -> list[float]:
    """Seconds per batch of each of these sets, with the same rows."""
    drawn = [torch.randint(len(rows[0]), (batch_size,)) for _ in range(BATCHES[batch_size])]

    def epoch(some: Rows) -> None:
        for index in drawn:
            some.batch(index)

    rounds = [[seconds(lambda some=some: epoch(some)) / len(drawn) for some in rows] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def compare(dataset: Dataset, files: Path, shard_mib: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare.SHARD_BYTES = shard_mib << 20
        prepare.prepare(dataset, files, Path(folder))
        roots = {"in memory": files, "mapped": Path(folder)}
        opening = {name: seconds(lambda root=root: load_splits(dataset, root)) for name, root in roots.items()}
        memory, mapped = (load_splits(dataset, root).train for root in roots.values())
        what = f"{dataset.name}, {len(mapped):,} rows of {mapped.shape}, {len(mapped.x.parts)} shards"
        for batch_size in BATCHES:
            read, shared = of_batches([memory, mapped], batch_size)
            times = f"{read * 1e6:,.0f} us in memory, {shared * 1e6:,.0f} us mapped"
            print(f"{what}: a batch of {batch_size}: {times}, ratio {shared / read:.2f}")
        print(f"{what}: opened in {opening['in memory']:.2f} s from files, {opening['mapped'] * 1e3:.1f} ms mapped")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--set", nargs="+", default=["mnist", "celeba_half"])
    parser.add_argument("--shard-mib", nargs="+", type=int, default=[64, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for record in DATASETS:
        for shard_mib in options.shard_mib if name_of(record) in options.set else ():
            compare(record(), data_root(options.data_root), shard_mib)


if __name__ == "__main__":
    main()
