"""Evaluations of generated data: how far they are from the real ones, in the features of some network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import DataError, Undefined
from trainables.common.lazy import LazyModule
from trainables.data.sets.array import OwnPath
from trainables.evaluations.base import Measurement, OfRows
from trainables.metrics.provenance import Provenance

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data.base import Split
    from trainables.evaluations.context import EvaluationContext
    from trainables.metrics.features import Extractor
    from trainables.sums import Sums

frechet = LazyModule("trainables.metrics.frechet")
images = LazyModule("trainables.metrics.images")
inception = LazyModule("trainables.metrics.inception")
prd = LazyModule("trainables.metrics.prd")
sums = LazyModule("trainables.sums")

REAL = 10_000  # rows
ROWS_AT_ONCE = 500  # of features in float64
MOST_FEATURES = 4096  # whose covariance takes minutes


class Features(OfRows):
    """Generated and real data, seen by a feature network."""

    features: Literal["inception", "classifier", "pixels"] = "inception"
    """`inception`, as in papers; `classifier`, of the data's labels, attributes or factors; `pixels`, the values."""
    weights: OwnPath | None = None
    """The file of Inception's weights. None: the one in torch's cache."""
    generated: PositiveInt = 10_000
    """Rows of generated data."""
    real: PositiveInt | None = None
    """The first rows of the split, at most so many. None: 10,000, of training rows that papers compare with all."""

    as_papers: ClassVar[bool] = False
    """Whether the split, where none is named, is the one that papers compare with, see `Dataset.reference`."""
    grey: ClassVar[str] = "rounded"
    colour: ClassVar[str] = "rounded"
    """How values become images of one channel, and others: names in `trainables.metrics.images.MAPPINGS`."""

    def identity(self) -> dict[str, Any]:
        """With the SHA-256 of Inception's weights, where it is they that are used, and there."""
        own = super().identity() | {"weights": None}
        try:
            path = inception.find(self.weights and Path(self.weights)) if self.features == "inception" else None
        except DataError:
            return own
        return own | {"weights": path and inception.checksum(path)}

    def mapping(self, seen: EvaluationContext) -> str:
        """The one for these data and what the decoder gives; data without bounds have none."""
        shape = seen.splits.train.shape
        if seen.splits.train.range is None:
            return "none"
        name = self.grey if len(shape) == 3 and shape[0] == 1 else self.colour
        return name if seen.vae.likelihood.squashed else images.OF_RAW.get(name, name)

    def both(self, seen: EvaluationContext, extractor: Extractor) -> tuple[Tensor, Tensor]:
        """This worker's shares of the features of generated and of real data, (N, F)."""
        mapping = self.mapping(seen)
        split, most = self.compared_with(seen)
        real = images.OF_DATA.get(mapping, mapping)
        return (
            seen.generated_features(extractor, self.generated, mapping, self.seed),
            seen.real_features(extractor, split, most, real),
        )

    def compared_with(self, seen: EvaluationContext) -> tuple[Split | None, int | None]:
        """The split of the real data, and how many of its first rows at most."""
        if self.as_papers and seen.run.data.reference == "train" and self.split in (None, "train"):
            return "train", self.real
        return self.split, self.real or REAL

    def of_features(self, seen: EvaluationContext, extractor: Extractor, generated: int, real: int) -> Provenance:
        counts = {"generated": generated, "real": real}
        split = seen.name_of(self.compared_with(seen)[0])
        provenance = self.provenance(extractor.name, counts, split, extractor.sha256)
        return replace(provenance, mapping=self.mapping(seen))


class Frechet(Features):
    """Frechet distance between generated and real data: FID with Inception's features.

    Named `fid` with the published weights alone, else `frechet_<features>`. Of CIFAR-10 the real data are all training
    rows, unless a split is named: so papers have it.
    """

    name: Literal["frechet"] = "frechet"
    source: ClassVar[str] = "Heusel et al. 2017"
    as_papers: ClassVar[bool] = True
    variant: ClassVar[str] = ""

    def measure(self, seen: EvaluationContext) -> Measurement:
        extractor = seen.extractor(self.features, self.weights, self.seed)
        both = self.both(seen, extractor)
        if both[0].shape[1] > MOST_FEATURES:
            size = f"{both[0].shape[1]:,} features are too many for a covariance, {MOST_FEATURES:,} the most"
            raise Undefined(f"{size}: take features classifier or inception.")
        generated, real = (sums.all_reduce(_statistics(share_NF)) for share_NF in both)
        numbers = frechet.frechet(extractor, generated, real, self.variant)
        return Measurement(numbers, self.of_features(seen, extractor, int(generated["rows"]), int(real["rows"])))


class FrechetIntel(Frechet):
    """The same as Intel-VAE's code has it: 2,100 images against 2,000, which biases it upwards by far.

    Grey images are stretched, each by itself, from its least to its greatest logit, or value where no sigmoid has made
    it; values of colour images beyond the range wrap around. Real images are as they are.
    """

    name: Literal["frechet_intel"] = "frechet_intel"
    generated: PositiveInt = 2_100
    """Rows of generated data."""
    real: PositiveInt = 2_000
    """The first rows of the split, at most so many."""
    source: ClassVar[str] = "Intel-VAE, its code and table 1"
    as_papers: ClassVar[bool] = False
    variant: ClassVar[str] = "_intel"
    grey: ClassVar[str] = "stretched"
    colour: ClassVar[str] = "wrapped"


class FrechetARD(Frechet):
    """The same as ARD-VAE's code has it: values are truncated to bytes; grey images, real ones too, go through JPEG."""

    name: Literal["frechet_ard"] = "frechet_ard"
    source: ClassVar[str] = "ARD-VAE, its code and table 2"
    variant: ClassVar[str] = "_ard"
    grey: ClassVar[str] = "jpeg"
    colour: ClassVar[str] = "truncated"


class PRD(Features):
    """Precision and recall: how much of what is generated is real, and how much of the real is generated.

    Of as many generated as real rows, the fewer of the two. Named `precision` and `recall` with the published weights
    of Inception alone, else `precision_<features>`.
    """

    name: Literal["prd"] = "prd"
    source: ClassVar[str] = "Sajjadi et al. 2018"

    def measure(self, seen: EvaluationContext) -> Measurement:
        extractor = seen.extractor(self.features, self.weights, self.seed)
        generated_NF, real_NF = (seen.gathered(share_NF) for share_NF in self.both(seen, extractor))
        if not (generated_NF.isfinite().all() and real_NF.isfinite().all()):
            raise Undefined("features are not finite: look at the generated images.")
        rows = min(len(generated_NF), len(real_NF))
        pair = generated_NF[:rows].numpy(), real_NF[:rows].numpy()
        found = seen.alone(lambda: prd.precision_recall(*pair, seed=self.seed))
        suffix = "" if extractor.published else f"_{extractor.name}"
        numbers = {f"{name}{suffix}": value for name, value in found.items()}
        return Measurement(numbers, self.of_features(seen, extractor, rows, rows))


def _statistics(share_NF: Tensor) -> Sums:
    return sums.add(frechet.statistics(some_BF) for some_BF in share_NF.split(ROWS_AT_ONCE))
