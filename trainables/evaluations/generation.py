"""Evaluations of generated data: distances to real data, in the features of a network or in the data's own values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import DataError, Undefined
from trainables.common.lazy import LazyModule
from trainables.data.sets.array import OwnPath
from trainables.evaluations.base import Measurement, OfGenerated, by_axes
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
nearest = LazyModule("trainables.metrics.nearest")
prd = LazyModule("trainables.metrics.prd")
sums = LazyModule("trainables.sums")

OTHER_FEATURES = ("classifier", "pixels")  # than FID's Inception
REAL = 10_000  # rows
ROWS_AT_ONCE = 500  # rows of features converted to float64 at once
MOST_FEATURES = 4096  # whose covariance takes minutes to compare


def in_features(*names: str, otherwise: str = "{}_{}") -> tuple[str, ...]:
    """Names of values: with FID's Inception these, with other features `otherwise` of the name and the features."""
    return by_axes(*(of for name in names for of in (name, *(otherwise.format(name, net) for net in OTHER_FEATURES))))


class Features(OfGenerated):
    """An evaluation that compares generated and real data in the features of a network."""

    features: Literal["inception", "classifier", "pixels"] = "inception"
    """`inception`, as in papers; `classifier`, of the data's labels, attributes or factors; `pixels`, the values."""
    weights: OwnPath | None = None
    """File of Inception's weights. None: the one in torch's cache."""
    generated: PositiveInt = 10_000
    """Number of generated rows."""
    real: PositiveInt | None = None
    """Largest number of real rows, the first of the split. None: 10,000, or all training rows where papers compare with
    the training split."""

    named_by: ClassVar[tuple[str, ...]] = ("features", "axes")
    version: ClassVar[int] = (
        2  # 1 rounded vectors of a range to 1/255 of it; PRD's clusterings had the seeds seed, seed + 1, ...
    )
    as_papers: ClassVar[bool] = False
    """Whether the default split is the one that papers compare with, see `Dataset.reference`."""
    grey: ClassVar[str] = "rounded"
    colour: ClassVar[str] = "rounded"
    """How values become grey images, and images of more channels: names in `trainables.metrics.images.MAPPINGS`."""

    def identity(self) -> dict[str, Any]:
        """The settings, with the SHA-256 of Inception's weights in place of their path if they are used and found."""
        own = super().identity() | {"weights": None}
        try:
            path = inception.find(self.weights and Path(self.weights)) if self.features == "inception" else None
        except DataError:
            return own
        return own | {"weights": path and inception.checksum(path)}

    def mapping(self, seen: EvaluationContext) -> str:
        """The name of the mapping for these data and this decoder's output; `none` for unbounded data."""
        shape = seen.splits.train.shape
        if seen.splits.train.range is None:
            return "none"
        if len(shape) != 3:
            return "scaled"
        name = self.grey if shape[0] == 1 else self.colour
        return name if seen.vae.likelihood.squashed else images.OF_RAW.get(name, name)

    def both(self, seen: EvaluationContext, extractor: Extractor) -> tuple[Tensor, Tensor]:
        """This worker's shares of the features of generated and of real data, (N, F)."""
        mapping = self.mapping(seen)
        split, most = self.compared_with(seen)
        real = images.OF_DATA.get(mapping, mapping)
        return (
            seen.generated_features(extractor, self.generated, mapping, self.seed, self.axes),
            seen.real_features(extractor, split, most, real),
        )

    def compared_with(self, seen: EvaluationContext) -> tuple[Split | None, int | None]:
        """The split of the real data, and the largest number of its first rows."""
        if self.as_papers and seen.run.data.reference == "train" and self.split in (None, "train"):
            return "train", self.real
        return self.split, self.real or REAL

    def of_features(self, seen: EvaluationContext, extractor: Extractor, generated: int, real: int) -> Provenance:
        counts = {"generated": generated, "real": real} | self.rows_for_axes(seen)
        split = seen.name_of(self.compared_with(seen)[0])
        provenance = self.provenance(extractor.name, counts, split, extractor.sha256)
        return replace(provenance, mapping=self.mapping(seen))


class Frechet(Features):
    """Frechet distance between generated and real data: FID with Inception's features.

    Named `fid` only with the published weights, else `frechet_<features>`. For CIFAR-10 the real data are all training
    rows, as in papers, unless `split` is set.
    """

    name: Literal["frechet"] = "frechet"
    source: ClassVar[str] = "Heusel et al. 2017"
    gives: ClassVar[tuple[str, ...]] = in_features("fid", otherwise="frechet_{1}")
    as_papers: ClassVar[bool] = True
    variant: ClassVar[str] = ""

    def measure(self, seen: EvaluationContext) -> Measurement:
        extractor = seen.extractor(self.features, self.weights, self.seed)
        both = self.both(seen, extractor)
        if both[0].shape[1] > MOST_FEATURES:
            size = f"{both[0].shape[1]:,} features are too many for a covariance, {MOST_FEATURES:,} the most"
            raise Undefined(f"{size}: take features classifier or inception.")
        generated, real = (sums.all_reduce(_statistics(share_NF)) for share_NF in both)
        numbers = self.named(frechet.frechet(extractor, generated, real, self.variant))
        return Measurement(numbers, self.of_features(seen, extractor, int(generated["rows"]), int(real["rows"])))


class FrechetIntel(Frechet):
    """Frechet distance as in Intel-VAE's code: 2,100 generated and 2,000 real images, which biases it upwards by far.

    Each generated grey image is stretched from its smallest to its largest logit, or value where the decoder has no
    sigmoid; values of colour images outside the range wrap around. Real images are not stretched.
    """

    name: Literal["frechet_intel"] = "frechet_intel"
    generated: PositiveInt = 2_100
    """Number of generated rows."""
    real: PositiveInt = 2_000
    """Largest number of real rows, the first of the split."""
    source: ClassVar[str] = "Intel-VAE, its code and table 1"
    gives: ClassVar[tuple[str, ...]] = in_features("fid_intel", otherwise="frechet_{1}_intel")
    as_papers: ClassVar[bool] = False
    variant: ClassVar[str] = "_intel"
    grey: ClassVar[str] = "stretched"
    colour: ClassVar[str] = "wrapped"


class FrechetARD(Frechet):
    """Frechet distance as in ARD-VAE's code: values truncated to bytes; grey images, also real ones, saved as JPEG."""

    name: Literal["frechet_ard"] = "frechet_ard"
    source: ClassVar[str] = "ARD-VAE, its code and table 2"
    gives: ClassVar[tuple[str, ...]] = in_features("fid_ard", otherwise="frechet_{1}_ard")
    variant: ClassVar[str] = "_ard"
    grey: ClassVar[str] = "jpeg"
    colour: ClassVar[str] = "truncated"


class PRD(Features):
    """Precision and recall: how much of the generated data is realistic, and how much of the real data is generated.

    Uses equal numbers of generated and real rows, the smaller of the two. Named `precision` and `recall` only with the
    published weights of Inception, else `precision_<features>`.
    """

    name: Literal["prd"] = "prd"
    source: ClassVar[str] = "Sajjadi et al. 2018"
    gives: ClassVar[tuple[str, ...]] = in_features("precision", "recall")

    def measure(self, seen: EvaluationContext) -> Measurement:
        extractor = seen.extractor(self.features, self.weights, self.seed)
        generated_NF, real_NF = (seen.gathered(share_NF) for share_NF in self.both(seen, extractor))
        if not (generated_NF.isfinite().all() and real_NF.isfinite().all()):
            raise Undefined("features are not finite: look at the generated images.")
        rows = min(len(generated_NF), len(real_NF))
        pair = generated_NF[:rows].numpy(), real_NF[:rows].numpy()
        found = seen.alone(lambda: prd.precision_recall(*pair))
        suffix = "" if extractor.published else f"_{extractor.name}"
        numbers = self.named({f"{name}{suffix}": value for name, value in found.items()})
        return Measurement(numbers, self.of_features(seen, extractor, rows, rows))


class Nearest(OfGenerated):
    """How near generated data come to real data, and real data to generated ones: medians, in the data's own values.

    For points of few dimensions, whose figures show whether samples lie where the data do. A likelihood whose variance
    is learned adds its noise to them.
    """

    name: Literal["nearest"] = "nearest"
    generated: PositiveInt = 2_000
    """Number of generated rows."""
    real: PositiveInt = REAL
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = "ours, for Intel-VAE's figures 4 and C.2, which print no numbers"
    gives: ClassVar[tuple[str, ...]] = by_axes("nearest_real", "nearest_generated")

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split, self.real)
        generated = seen.share_of_generated(self.generated, self.seed, self.axes)
        numbers = self.named(nearest.nearest(generated, seen.share_of(rows)))
        counts = {"generated": self.generated, "real": len(rows)} | self.rows_for_axes(seen)
        return Measurement(numbers, self.provenance("pixels", counts, seen.name_of(self.split)))


def _statistics(share_NF: Tensor) -> Sums:
    return sums.add(frechet.statistics(some_BF) for some_BF in share_NF.split(ROWS_AT_ONCE))
