"""A trained model and its data, and what several evaluations need of them: each thing is made once, when it is needed.

Each worker makes its share of the rows. `gathered` joins the shares in the order of the rows, `alone` has worker 0
compute what is not a sum.
"""

# Shapes: N rows of a split or generated, B rows of a batch, X data dimensions, D dimensions of the code, L latent axes,
# F features.

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainables.data import Rows, Splits
from trainables.metrics.corruption import corrupted
from trainables.metrics.evaluations.base import Split
from trainables.metrics.features import FEATURES, Extractor, Source, extract
from trainables.metrics.provenance import Undefined
from trainables.model import Learner
from trainables.noise import Noise
from trainables.relevance import MOMENT_ROWS, Form, Relevance, measure
from trainables.sums import from_all, gather, rank_and_world, share

Made = TypeVar("Made")
ROWS_AT_ONCE = 500


class Evidence:
    """A trained model in evaluation mode, the splits that it was trained on, and what has been made of them so far."""

    def __init__(self, learner: Learner, splits: Splits, device: torch.device):
        self.learner, self.method, self.vae = learner, learner.method, learner.vae.eval()
        self.splits, self.device = splits, device
        self._made: dict[tuple, Any] = {}

    def once(self, key: tuple, make: Callable[[], Made]) -> Made:
        """What `make` makes, made at the first call with this key. All workers ask in the same order."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def name_of(self, split: Split | None) -> Split:
        """The split that is meant. Raises Undefined where the data have none of that name."""
        meant = split or ("val" if self.splits.test is None else "test")
        if getattr(self.splits, meant) is None:
            raise Undefined("these data have no test rows: use split val.")
        return meant

    def rows(self, split: Split | None) -> Rows:
        """All rows of a split."""
        return getattr(self.splits, self.name_of(split))

    def batches(self, rows: Rows) -> Iterator[tuple[Tensor, slice]]:
        """This worker's share of rows, (B, *X) in the data's range, and where in `rows` each batch stands."""
        mine = share(len(rows))
        for start in range(mine.start, mine.stop, ROWS_AT_ONCE):
            place = slice(start, min(start + ROWS_AT_ONCE, mine.stop))
            index = torch.arange(place.start, place.stop)
            yield rows.batch(index).to(self.device, torch.get_default_dtype()), place

    def noise(self, place: slice, total: int, *key: int | str) -> Noise:
        """Noise of the rows `place` of `total`, the same wherever they are computed."""
        return Noise(*key, rows=place, total=total, device=self.device)

    def codes(self, split: Split | None, rows: int | None = None) -> Tensor:
        """Means of q(y|x), (N, D), of all or the first `rows` of a split, of all workers, on the CPU."""
        return self._encoded("code", split, rows)

    def representation(self, split: Split | None, rows: int | None = None, corruption: str = "clean", seed: int = 0):
        """z = g(mean of q), (N, L), likewise; of images that were corrupted as `corruption` says."""
        return self._encoded("representation", split, rows, corruption, seed)

    def _encoded(self, what: str, split: Split | None, rows: int | None, corruption: str = "clean", seed: int = 0):
        name = self.name_of(split)
        part = self.rows(name)
        part = part if rows is None else part.take(slice(rows))
        encode = {"code": lambda x_BX: self.vae.encode(x_BX).mean_BD, "representation": self.vae.represent}[what]

        def make() -> Tensor:
            found = [encode(self._corrupted(part, *some, corruption, name, seed)) for some in self.batches(part)]
            return self.gathered(found, self.vae.code_dim if what == "code" else self.vae.latent_dim).cpu()

        with torch.no_grad():
            return self.once((what, name, len(part), corruption, seed), make)

    def _corrupted(self, rows: Rows, x_BX: Tensor, place: slice, corruption: str, split: str, seed: int) -> Tensor:
        noise = self.noise(place, len(rows), seed, "evaluate", split)
        return corrupted(corruption, x_BX, rows.range, noise)

    def factor_pairs(self, split: Split | None) -> tuple[np.ndarray, np.ndarray]:
        """Codes (N, D), of the axes that the method's own rule keeps, and factors (N, F). Raises Undefined."""
        factors = self.rows(split).factors
        if factors is None:
            raise Undefined("these data have no known factors: use `sprites`, `solids`, `dsprites` or `shapes3d`.")
        return self.codes(split).numpy(), factors.values.numpy()

    def relevance(self, form: Form, seed: int = 0) -> Relevance:
        """Of the model's axes on the first 10,000 training rows (ARD-VAE, supplement)."""

        def make() -> Relevance:
            first = torch.arange(min(len(self.splits.train), MOMENT_ROWS))
            x_NX = self.splits.train.batch(first).to(self.device, torch.get_default_dtype())
            return measure(self.vae, x_NX, form, seed)

        return self.once(("relevance", form, seed), make)

    def generated(self, count: int, seed: int = 0) -> Iterator[Tensor]:
        """This worker's share of `count` generated data, (B, *X) in the data's range: decoded means."""
        sample = self.once(("sampler", seed), lambda: self.method.sampler(self.vae, self.splits.train, seed))
        mine = share(count)
        for start in range(mine.start, mine.stop, ROWS_AT_ONCE):
            place = slice(start, min(start + ROWS_AT_ONCE, mine.stop))
            with torch.no_grad():
                yield self.vae.decode(sample(self.noise(place, count, seed, "generated"))).mean_BX

    def extractor(self, features: str, weights: Path | None, seed: int = 0) -> Extractor:
        """A feature network by name. Raises DataError."""
        source = Source(self.splits.train, weights, seed, self.device)
        return self.once(("extractor", features, weights, seed), lambda: FEATURES[features](source))

    def generated_features(self, extractor: Extractor, count: int, mapping: str, seed: int = 0) -> Tensor:
        """Of this worker's share of `count` generated images, (B, F), on the CPU."""
        batches = self.generated(count, seed)
        return self._features("generated", extractor, batches, count, mapping, seed)

    def real_features(self, extractor: Extractor, split: Split | None, count: int, mapping: str) -> Tensor:
        """Of this worker's share of the first `count` rows of a split, likewise."""
        name = self.name_of(split)
        batches = (x_BX for x_BX, _ in self.batches(self.rows(name).take(slice(count))))
        return self._features(name, extractor, batches, count, mapping, 0)

    def _features(
        self, what: str, extractor: Extractor, batches: Iterator[Tensor], count: int, mapping: str, seed: int
    ) -> Tensor:
        def make() -> Tensor:
            found = [some_BF.cpu() for some_BF in extract(extractor, batches, self.splits.train.range, mapping)]
            return torch.cat(found) if found else torch.empty(0, 0)

        return self.once(("features", what, extractor.name, extractor.sha256, count, mapping, seed), make)

    def gathered(self, parts: list[Tensor], width: int) -> Tensor:
        """The rows (N, width) of all workers in order, from this worker's batches of its share."""
        mine = torch.cat(parts) if parts else torch.empty(0, width, device=self.device)
        return gather(mine)

    def alone(self, compute: Callable[[], Made]) -> Made:
        """What worker 0 computes, told to all, its Undefined too."""
        found, undefined = None, None
        if rank_and_world()[0] == 0:
            try:
                found = compute()
            except Undefined as error:
                undefined = error
        found, undefined = from_all((found, undefined))[0]
        if undefined:
            raise undefined
        return found
