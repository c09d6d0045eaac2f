"""Evaluations of models of MNIST's zeros and ones, by a logistic classifier trained on the balanced set."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule
from trainables.data.base import digest
from trainables.data.loading import load_splits
from trainables.evaluations.base import Evaluation, Measurement, OfGenerated, by_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from trainables.evaluations.context import EvaluationContext
    from trainables.metrics.ones_classifier import Logistic

ones_classifier = LazyModule("trainables.metrics.ones_classifier")
context = LazyModule("trainables.evaluations.context")
mnist = LazyModule("trainables.data.sets.mnist")

DRAWS = 10
ONE_DIGIT = (
    "no proportion_of_zeros, as all clusters decode mostly to the same digit and none can be said to be that of zeros: "
    "read least_proportion."
)
FORMAT = 1  # version of the classifier's fit, part of its cache name: raise it with any change


class Uncertainty(OfGenerated):
    """How many generated digits a logistic classifier of zeros and ones is uncertain of, and how many are ones, in %.

    Over 10 draws of generated images. Numbers ending in `_data` are of the images of the split.
    """

    name: Literal["uncertainty"] = "uncertainty"
    generated: PositiveInt = 10_000
    """Number of images of each draw."""
    source: ClassVar[str] = "Intel-VAE, table 2"
    gives: ClassVar[tuple[str, ...]] = (
        *by_axes("uncertainty", "proportion_of_ones"),
        "uncertainty_data",
        "proportion_of_ones_data",
    )

    def measure(self, seen: EvaluationContext) -> Measurement:
        logistic, rows = fitted(seen), seen.rows(self.split)
        draws = (x_BX for draw in range(DRAWS) for x_BX in seen.generated(self.generated, self.seed, draw, self.axes))
        numbers = self.named(shares(seen, logistic, draws))
        data = shares(seen, logistic, (x_BX for x_BX, _ in seen.batches(rows)))
        if self.axes is None:  # they are the same with any axes: a value has one name, and a name one provenance
            numbers |= {f"{name}_data": value for name, value in data.items()}
        counts = {"generated": DRAWS * self.generated, "real": len(rows)} | self.rows_for_axes(seen)
        name = seen.name_of(self.split)
        return Measurement(numbers, self.provenance("logistic", counts, name, sha256=logistic.sha256))


class Proportion(Evaluation):
    """The prior mass of the mapping's clusters that decode to zeros, and the smallest mass of a cluster.

    The former only if some clusters decode mostly to zeros and others to ones.
    """

    name: Literal["proportion"] = "proportion"
    source: ClassVar[str] = "Intel-VAE, table 3"
    gives: ClassVar[tuple[str, ...]] = ("proportion_of_zeros", "least_proportion")
    version: ClassVar[int] = 2  # 1 gave 0 or 1 where all clusters decode to the same digit

    def measure(self, seen: EvaluationContext) -> Measurement:
        logistic = fitted(seen)
        numbers = seen.alone(lambda: ones_classifier.learned_proportion(seen.vae, logistic, self.seed))
        lacking = "" if "proportion_of_zeros" in numbers else ONE_DIGIT
        provenance = self.provenance("logistic", {"generated": ones_classifier.DRAWS}, "train", sha256=logistic.sha256)
        return Measurement(numbers, provenance, lacking=lacking)


def fitted(seen: EvaluationContext) -> Logistic:
    """The classifier of the balanced set, fitted once for all models. Raises Undefined and DataError."""
    if seen.run.data.name != "mnist01":
        raise Undefined("only zeros and ones can be told apart: it is for models of `mnist01`.")

    def make() -> Logistic:
        rows = context.together(lambda: load_splits(mnist.Mnist01(), seen.data_root)).train
        state = seen.keep(f"logistic-{digest(rows, FORMAT)}", lambda: ones_classifier.fitted(rows).state())
        return ones_classifier.Logistic.restored(state)

    return seen.once(("logistic",), make)


def shares(seen: EvaluationContext, logistic: Logistic, batches: Iterable[Tensor]) -> dict[str, float]:
    """The percentages over the images of all workers."""
    parts = (ones_classifier.statistics(logistic, x_BX) for x_BX in batches)
    return ones_classifier.finish(seen.reduced(parts, "uncertain", "ones", "rows"))
