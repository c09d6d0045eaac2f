"""EvaluationContext: a trained model and its data, and the intermediate results that several evaluations share.

Each result is computed once, at first use. Each worker computes its share of the rows; `gathered` joins the shares in
the order of the rows, and `alone` computes on worker 0 what is not a sum over rows.
"""

# Shapes: N rows of a split or generated, B rows of a batch, X data dimensions, D dimensions of the code, L latent axes,
# F features or factors.

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from trainables import cache
from trainables.common.errors import DataError, Undefined
from trainables.common.roots import Root
from trainables.data import Rows
from trainables.data.base import Split
from trainables.distributions.priors import ARD, Prior
from trainables.methods import Sampler
from trainables.metrics.corruption import corrupted
from trainables.metrics.features import FEATURES, Extractor, Source, extract
from trainables.noise import Noise
from trainables.relevance import MOMENT_ROWS, Relevance, encoded, published_sums, relevance
from trainables.sums import Sums, add, all_reduce, from_all, gather, rank_and_world, share
from trainables.train import Training

Made = TypeVar("Made")
Code = Literal["mean", "draw", "representation", "sampled"]
"""mean and draw: the mean of q(y|x), or a sample of it, (N, D). representation and sampled: g of these, (N, L)."""
Axes = Literal["relevant", "all"] | None
"""Which latent axes samples move, see `Generating`."""
BLOCK = 500  # rows whose noise is drawn together


@dataclass(frozen=True)
class BlockShare:
    """This worker's rows of one block of a set, computed as one batch.

    The noise of a block is drawn as a whole, so a row's noise depends on neither the workers nor the number of rows.
    """

    start: int  # the block's first row in the set
    mine: slice  # this worker's rows in the block

    @property
    def rows(self) -> slice:
        """This worker's rows in the set."""
        return slice(self.start + self.mine.start, self.start + self.mine.stop)

    def noise(self, device: torch.device, *key: int | str) -> Noise:
        return Noise(*key, self.start, rows=self.mine, total=BLOCK, device=device)


def block_shares(total: int) -> Iterator[BlockShare]:
    """This worker's share of `total` rows, by blocks."""
    mine = share(total)
    for start in range(mine.start // BLOCK * BLOCK, mine.stop, BLOCK):
        rows = slice(max(mine.start - start, 0), min(mine.stop - start, BLOCK))
        if rows.start < rows.stop:
            yield BlockShare(start, rows)


class EvaluationContext:
    """A trained model in evaluation mode, its splits, and the intermediate results computed so far.

    Args:
        cache_folder: the cache of networks that the evaluations of many models share, see `trainables.cache`.
        data_root: the root of other data than the model's own.
    """

    def __init__(self, training: Training, cache_folder: Path | None = None, data_root: Root = None):
        self.run, self.splits, self.device = training.run, training.splits, training.device
        self.learner, self.method, self.vae = training.learner.eval(), training.run.method, training.learner.vae
        self.epoch, self.cache_folder, self.data_root = training.epoch, cache_folder, data_root
        self._made: dict[tuple, Any] = {}

    def once(self, key: tuple, make: Callable[[], Made]) -> Made:
        """The result of `make`, computed at the first call with this key. All workers must call in the same order."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def check_weights(self) -> None:
        """Raises Undefined where the model has diverged."""
        vae = self.vae
        parts = vae.encoder, vae.mapping, vae.decoder, vae.prior
        buffers = (value for part in parts for value in part.buffers())  # not those of `extras`: may be unset yet
        state = (*self.learner.parameters(), *buffers)
        if not self.once(("sound",), lambda: all(bool(value.isfinite().all()) for value in state)):
            raise Undefined("the model's weights are not finite: it has diverged, take an earlier checkpoint.")

    # Rows

    def name_of(self, split: Split | None) -> Split:
        """The name of the split, resolving None. Raises Undefined where the data have no such split."""
        meant = split or ("val" if self.splits.test is None else "test")
        if getattr(self.splits, meant) is None:
            raise Undefined("these data have no test rows: use split val.")
        return meant

    def rows(self, split: Split | None, most: int | None = None) -> Rows:
        """The rows of a split, or its first `most`."""
        return getattr(self.splits, self.name_of(split)).take(slice(most))

    def batches(self, rows: Rows) -> Iterator[tuple[Tensor, BlockShare]]:
        """This worker's share of rows, in batches (B, *X) in the data's range."""
        for block in block_shares(len(rows)):
            index = torch.arange(block.rows.start, block.rows.stop)
            yield rows.batch(index, self.device).to(torch.get_default_dtype()), block

    def share_of(self, rows: Rows) -> Tensor:
        """This worker's share of rows as one tensor, (N, *X)."""
        return self._joined([x_BX for x_BX, _ in self.batches(rows)], rows.shape)

    # Codes

    def codes(
        self, what: Code, split: Split | None, most: int | None = None, corruption: str = "clean", seed: int = 0
    ) -> Tensor:
        """The codes of a split's rows, or its first `most`, gathered from all workers on the CPU.

        `corruption` is applied to the images before the encoder. Raises Undefined where a code is not finite.
        """
        name, rows = self.name_of(split), self.rows(split, most)
        key = ("codes", what, name, len(rows), corruption, seed)
        return self.once(key, lambda: self.encoded(what, rows, name, corruption, seed))

    def encoded(self, what: Code, rows: Rows, name: str, corruption: str = "clean", seed: int = 0) -> Tensor:
        """The codes of any rows, likewise; `name` decides their noise."""
        width = self.vae.code_dim if what in ("mean", "draw") else self.vae.latent_dim
        with torch.no_grad():
            found = []
            for x_BX, block in self.batches(rows):
                x_BX = corrupted(corruption, x_BX, rows.range, block.noise(self.device, seed, name, "corruption"))
                found.append(self._code(what, x_BX, block.noise(self.device, seed, name, "code")))
            code_NW = self.gathered(self._joined(found, (width,)))
        if not code_NW.isfinite().all():
            raise Undefined("codes are not finite: look at the model's loss.")
        return code_NW

    def _code(self, what: Code, x_BX: Tensor, noise: Noise) -> Tensor:
        q = self.vae.encode(x_BX)
        y_BD = q.draw(noise).y_BD if what in ("draw", "sampled") else q.mean_BD
        return y_BD if what in ("mean", "draw") else self.vae.mapping(y_BD)

    # What the model is like

    def relevance_sums(self, seed: int = 0) -> tuple[Sums, Sums]:
        """Moments and sensitivity on the first 10,000 training rows (ARD-VAE's code), over all workers."""

        def make() -> tuple[Sums, Sums]:
            found = tuple(map(all_reduce, published_sums(self.vae, self._first_rows(), seed, share)))
            if not all(bool(value.isfinite().all()) for sums in found for value in sums.values()):
                raise Undefined("codes or their derivatives are not finite: look at the model's loss.")
            return found

        return self.once(("relevance", seed), make)

    @torch.no_grad()
    def prior(self, seed: int = 0) -> Prior:
        """The model's prior; ARD-VAE's, which training estimates from one epoch's D_z, is estimated again.

        From the first 10,000 training rows, with the codes that the method's D_z holds. Raises Undefined.
        """
        if not isinstance(self.vae.prior, ARD):
            return self.vae.prior

        def make() -> Prior:
            prior = deepcopy(self.vae.prior)
            parts = encoded(self.vae, self._first_rows(), seed, share)
            found = all_reduce(add(prior.statistics(self.method.held_out_codes(q, noise)) for _, _, q, noise in parts))
            if not all(bool(value.isfinite().all()) for value in found.values()):
                raise Undefined("codes are not finite: look at the model's loss.")
            prior.absorb(found)
            return prior

        return self.once(("prior", seed), make)

    def _first_rows(self) -> Tensor:
        """The first 10,000 training rows (N, *X), the whole on every worker."""
        first = torch.arange(min(len(self.splits.train), MOMENT_ROWS))
        return self.splits.train.batch(first, self.device).to(torch.get_default_dtype())

    def relevance(self, seed: int = 0) -> Relevance:
        """The relevance of the model's axes, with the method's form of the weight."""
        return relevance(*self.relevance_sums(seed), self.vae.relevance_form)

    def sampler(self, seed: int = 0, axes: Axes = None) -> Sampler:
        """The method's sampler of latents, or one that moves all axes, or the relevant ones alone.

        Raises Undefined where the method fits a density to codes that are not finite.
        """
        method = self.method.moving_all_axes() if axes == "all" else self.method
        sample = method.sampler(self.vae, self.splits.train, seed)
        if axes != "relevant":
            return sample
        found = self.relevance(seed)
        return lambda noise: found.hold(sample(noise))

    def generated(self, count: int, seed: int = 0, draw: int = 0, axes: Axes = None) -> Iterator[Tensor]:
        """This worker's share of `count` generated data, (B, *X); another `draw` is independent of this one.

        Raises Undefined, see `sampler`.
        """
        sample = self.once(("sampler", seed, axes), lambda: self.sampler(seed, axes))
        for block in block_shares(count):
            noise = block.noise(self.device, seed, "generated", draw)
            with torch.no_grad():
                yield self.vae.decode(sample(noise)).sample(noise.normal("data", *self.vae.shape))

    def share_of_generated(self, count: int, seed: int = 0, axes: Axes = None) -> Tensor:
        """This worker's share of `count` generated data as one tensor, (N, *X)."""
        return self._joined(list(self.generated(count, seed, axes=axes)), self.vae.shape)

    # Features

    def extractor(self, features: str, weights: str | None, seed: int = 0) -> Extractor:
        """A feature network by name, the same on all workers. Raises DataError and Undefined."""

        def make() -> Extractor:
            path = Path(weights) if weights else None
            source = Source(self.splits.train, path, seed, self.device, self.keep)
            found = together(lambda: FEATURES[features](source))
            if len(set(from_all(found.sha256))) > 1:
                raise DataError(f"{features}: workers have files of different weights: give all the same.", "weights")
            return found

        return self.once(("extractor", features, weights, seed), make)

    def generated_features(
        self, extractor: Extractor, count: int, mapping: str, seed: int = 0, axes: Axes = None
    ) -> Tensor:
        """The features of this worker's share of `count` generated images, (N, F)."""
        key = ("generated", count, mapping, seed, axes)
        return self._features(key, extractor, lambda: self.generated(count, seed, axes=axes), mapping)

    def real_features(self, extractor: Extractor, split: Split | None, most: int | None, mapping: str) -> Tensor:
        """The features of this worker's share of the rows of a split, or of its first `most`, (N, F)."""
        rows = self.rows(split, most)
        key = (self.name_of(split), len(rows), mapping)
        return self._features(key, extractor, lambda: (x_BX for x_BX, _ in self.batches(rows)), mapping)

    def _features(
        self, key: tuple, extractor: Extractor, batches: Callable[[], Iterator[Tensor]], mapping: str
    ) -> Tensor:
        def make() -> Tensor:
            found = list(extract(extractor, batches(), self.splits.train.range, mapping))
            width = max(from_all(found[0].shape[1] if found else 0))
            return self._joined(found, (width,))

        return self.once(("features", extractor.name, extractor.sha256, *key), make)

    # Workers

    def keep(self, name: str, make: Callable[[], cache.State]) -> cache.State:
        """A cached state, which worker 0 loads or computes and sends to all."""
        return self.alone(lambda: cache.once(self.cache_folder, name, make))

    def gathered(self, mine_NF: Tensor) -> Tensor:
        """The rows of all workers, in order, on the CPU."""
        return gather(mine_NF).cpu()

    def reduced(self, parts: Iterable[Sums], *names: str) -> Sums:
        """The scalars of these names, summed over batches and workers; a worker may have no rows."""
        nothing = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in names}
        return all_reduce(add([nothing, *parts]))

    def _joined(self, parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        return torch.cat(parts) if parts else torch.empty(0, *shape, device=self.device)

    def alone(self, compute: Callable[[], Made]) -> Made:
        """The result of worker 0's `compute`, sent to all workers; all raise its Undefined or DataError."""
        return together(lambda: compute() if rank_and_world()[0] == 0 else None, tell=True)


def together(
    act: Callable[[], Made], tell: bool = False, errors: tuple[type[Exception], ...] = (Undefined, DataError)
) -> Made:
    """Each worker's own result, or with `tell` worker 0's. An error of one worker is raised on all."""
    found, error = None, None
    try:
        found = act()
    except errors as caught:
        error = caught
    answers = from_all((found if tell else None, error))
    first = next((error for _, error in answers if error), None)
    if first:
        raise first
    return answers[0][0] if tell else found
