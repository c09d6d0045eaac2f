"""Evaluations of latent axes: how many are relevant, the error without the others, sparsity and disentanglement."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule
from trainables.data.base import Split, class_name
from trainables.evaluations.base import Evaluation, Measurement, OfRows, as_csv
from trainables.metrics.basic import hoyer_of

if TYPE_CHECKING:
    import numpy as np

    from trainables.evaluations.context import EvaluationContext

active = LazyModule("trainables.metrics.active")
factor_vae = LazyModule("trainables.metrics.factor_vae")
magnitudes = LazyModule("trainables.metrics.magnitudes")
mig = LazyModule("trainables.metrics.mig")
priors = LazyModule("trainables.distributions.priors")
reconstruction = LazyModule("trainables.metrics.reconstruction")
relevance = LazyModule("trainables.relevance")
sums = LazyModule("trainables.sums")


class Active(Evaluation):
    """How many axes carry 95, 99 and 99.9 % of the relevance score, in both forms, and of its weight alone.

    Measured on the first 10,000 training rows, with the Jacobian on the first 100. All are 0 for a collapsed model, and
    none is there for a flow, see `Method.distinct_axes`. `active_own` is the number of axes that the method itself has
    in use: that its gates or mask leave open, for ARD-VAE those that carry 99 % of its score, for others all.
    """

    name: Literal["active"] = "active"
    source: ClassVar[str] = "ARD-VAE, section 3.4, equations 19 and 20, and its code"
    gives: ClassVar[tuple[str, ...]] = (
        "active_own",
        *(
            f"{kind}_{share}"
            for kind in ("active", "active_eq19", "active_w", "active_w_eq19")
            for share in ("95", "99", "99.9")
        ),
    )

    version: ClassVar[int] = 2  # 1 had `active_own` for gates and masks alone, and saw no collapse of a decoder

    def measure(self, seen: EvaluationContext) -> Measurement:
        moments, sensitivity = seen.relevance_sums(self.seed)
        numbers = active.active_counts(moments, sensitivity) if seen.method.distinct_axes else {}
        numbers["active_own"] = self.own(seen)
        counts = {"rows": int(moments["rows"]), "jacobians": int(sensitivity["jacobian_rows"])}
        return Measurement(numbers, self.provenance("code", counts, "train"))

    def own(self, seen: EvaluationContext) -> float:
        """The number of axes that the method has in use."""
        if hasattr(seen.vae.mapping, "opened"):
            return float(seen.vae.mapping.opened().sum())
        if isinstance(seen.vae.prior, priors.ARD):
            counted = not relevance.collapsed(*seen.relevance_sums(self.seed))
            return counted * float(seen.relevance(self.seed).active().sum())
        return float(seen.vae.latent_dim)


class MSE(OfRows):
    """Squared error per data value of reconstructions, from all axes and from the relevant ones alone.

    `mse`, `mse_pruned` and `mse_pruned_code` are of images in [0, 1], whatever the data's range; those that end in
    `_data_units` are in the data's units squared, as `val/mse` and ARD-VAE's table S10. (`val/mse` decodes a sample,
    these the mean.) The first 10,000 training rows decide which axes are relevant, and which values replace the others.
    """

    name: Literal["mse"] = "mse"
    source: ClassVar[str] = "ARD-VAE, supplement, table 10, and its code"
    gives: ClassVar[tuple[str, ...]] = tuple(
        f"mse{latents}{units}" for units in ("", "_data_units") for latents in ("", "_pruned", "_pruned_code")
    )
    version: ClassVar[int] = 2  # 1 had no `_data_units`

    def measure(self, seen: EvaluationContext) -> Measurement:
        found, split, rows = seen.relevance(self.seed), seen.name_of(self.split), seen.rows(self.split)
        parts = [
            reconstruction.statistics(seen.vae, x_BX, block.noise(seen.device, self.seed, split, "code"), found)
            for x_BX, block in seen.batches(rows)
        ]
        numbers = reconstruction.finish(seen.reduced(parts, *reconstruction.NAMES, "values"))
        counts = {"rows": len(rows), "relevance": int(seen.relevance_sums(self.seed)[0]["rows"])}
        return Measurement(numbers, self.provenance("pixels", counts, split))


class Hoyer(OfRows):
    """Hoyer sparsity of sampled latents: 0 dense, 1 one axis for each row; N(0, I) has 0.231 at 50 axes."""

    name: Literal["hoyer"] = "hoyer"
    rows: PositiveInt = 2_000
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = "Mathieu et al. 2019; Intel-VAE, section 6.3, and its code"
    gives: ClassVar[tuple[str, ...]] = ("hoyer",)

    def measure(self, seen: EvaluationContext) -> Measurement:
        z_NL = seen.codes("sampled", self.split, self.rows, seed=self.seed)
        mine = sums.share(len(z_NL))
        numbers = {"hoyer": hoyer_of(z_NL[mine].to(seen.device))}
        return Measurement(numbers, self.provenance("code", {"rows": len(z_NL)}, seen.name_of(self.split)))


class Magnitudes(OfRows):
    """Share of latent axes that a class uses, in per cent, mean over classes; and the mean |z| of each axis and class.

    Of sampled latents. A class uses an axis whose mean magnitude is at least a fifth of the largest in that class; the
    paper has no rule. The table magnitudes.csv has magnitudes, 1 where the class uses the axis, and its name.
    """

    name: Literal["magnitudes"] = "magnitudes"
    rows: PositiveInt = 10_000
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = "Intel-VAE, figure 8; the rule: own"
    gives: ClassVar[tuple[str, ...]] = ("active_per_class",)

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split, self.rows)
        if rows.y is None:
            raise Undefined("these data have no labels: use a labelled set, as `mnist`.")
        z_NL = seen.codes("sampled", self.split, self.rows, seed=self.seed).numpy()
        classes_C, magnitude_CL = magnitudes.mean_magnitudes(z_NL, rows.y.numpy())
        active_CL = magnitudes.active_axes(magnitude_CL)
        lines = (
            (label, axis, magnitude, int(active_CL[place, axis]), class_name(rows.classes, label))
            for place, label in enumerate(classes_C.tolist())
            for axis, magnitude in enumerate(magnitude_CL[place].tolist())
        )
        table = as_csv(("class", "axis", "magnitude", "active", "name"), lines)
        provenance = self.provenance("code", {"rows": len(rows)}, seen.name_of(self.split))
        numbers = {"active_per_class": 100 * float(active_CL.mean())}
        return Measurement(numbers, provenance, tables={"magnitudes.csv": table})


class OfFactors(Evaluation):
    """How well axes of the representation match the known factors of the data.

    The published metrics draw from all combinations of factors; the training split, the default, lacks the fewest. For
    ARD-VAE only the relevant axes count.
    """

    split: Split = "train"
    """Split of the data."""
    rows: PositiveInt = 50_000
    """Largest number of rows, the first of the split."""

    def measure(self, seen: EvaluationContext) -> Measurement:
        factors = seen.rows(self.split, self.rows).factors
        if factors is None:
            raise Undefined("these data have no known factors: use `sprites`, `solids`, `dsprites` or `shapes3d`.")
        codes_NL = seen.codes("representation", self.split, self.rows)
        if isinstance(seen.vae.prior, priors.ARD):
            codes_NL = codes_NL[:, seen.relevance(self.seed).active().cpu()]
        numbers = seen.alone(lambda: self.score(codes_NL.numpy(), factors.values.numpy()))
        return Measurement(numbers, self.provenance("code", {"rows": len(codes_NL)}, self.split))

    @abstractmethod
    def score(self, codes_NL: np.ndarray, factors_NF: np.ndarray) -> dict[str, float]:
        """The number, computed from all rows."""


class FactorVAE(OfFactors):
    """FactorVAE's metric: how well the axis of least variance predicts which factor was fixed, in per cent of votes."""

    name: Literal["factor_vae"] = "factor_vae"
    source: ClassVar[str] = "Kim & Mnih 2018, with the settings of Locatello et al. 2019"
    gives: ClassVar[tuple[str, ...]] = ("factor_vae", "factor_vae_axes")

    def score(self, codes_NL: np.ndarray, factors_NF: np.ndarray) -> dict[str, float]:
        return factor_vae.factor_vae(codes_NL, factors_NF, seed=self.seed)


class MIG(OfFactors):
    """Mutual information gap: by how much one axis is more informative of a factor than any other axis."""

    name: Literal["mig"] = "mig"
    source: ClassVar[str] = "Chen et al. 2018, in the form of disentanglement_lib"
    gives: ClassVar[tuple[str, ...]] = ("mig",)

    def score(self, codes_NL: np.ndarray, factors_NF: np.ndarray) -> dict[str, float]:
        return mig.mig(codes_NL, factors_NF, self.seed)
