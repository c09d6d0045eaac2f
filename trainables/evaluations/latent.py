"""Evaluations of q(y|x) and the prior: the rate, the distance of codes to the prior, the time of ARD-VAE's D_z."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.common.lazy import LazyModule
from trainables.evaluations.base import Evaluation, Measurement, OfRows

if TYPE_CHECKING:
    from trainables.distributions.priors import Prior
    from trainables.evaluations.context import EvaluationContext

latent_mmd = LazyModule("trainables.metrics.latent_mmd")
posteriors = LazyModule("trainables.distributions.posteriors")
priors = LazyModule("trainables.distributions.priors")
rate = LazyModule("trainables.metrics.rate")
relevance = LazyModule("trainables.relevance")
timing = LazyModule("trainables.metrics.timing")

SURROGATE_ROWS = 500


class Rate(OfRows):
    """Mean KL(q(y|x) || p(y)) in nats; for deterministic encoders, which have none, a surrogate on 500 rows.

    ARD-VAE's prior gets the variances of the first 10,000 training rows. The provenance of every model counts these
    rows, so that the rates of ARD-VAE and other methods compare.
    """

    name: Literal["rate"] = "rate"
    source: ClassVar[str] = "Alemi et al. 2018; ARD-VAE, equation 17; the surrogate: own"
    gives: ClassVar[tuple[str, ...]] = ("rate", "surrogate_rate")

    def measure(self, seen: EvaluationContext) -> Measurement:
        certain = seen.method.posterior() is posteriors.Point
        name, rows = seen.name_of(self.split), seen.rows(self.split, SURROGATE_ROWS if certain else None)
        own = {"prior": self.prior(seen), "encode": lambda x_BX: seen.method.proposal(seen.vae, x_BX)}
        parts = [
            rate.statistics(seen.vae, x_BX, block.noise(seen.device, self.seed, name, "rate"), **own)
            for x_BX, block in seen.batches(rows)
        ]
        numbers = rate.finish(seen.reduced(parts, "surrogate_rate" if certain else "rate", "rows"))
        counts = {"rows": len(rows), "prior": min(len(seen.splits.train), relevance.MOMENT_ROWS)}
        return Measurement(numbers, self.provenance("code", counts, name))

    def prior(self, seen: EvaluationContext) -> Prior:
        """The model's prior; ARD-VAE's, which training estimates from one epoch's D_z, is estimated again."""
        if not isinstance(seen.vae.prior, priors.ARD):
            return seen.vae.prior
        prior, (moments, _) = deepcopy(seen.vae.prior), seen.relevance_sums(self.seed)
        prior.absorb({"rows": moments["rows"], "square_D": moments["second_D"]})
        return prior


class MMD(OfRows):
    """Maximum mean discrepancy between sampled codes and the prior, with two kernels: 1,000 samples of each, 10 draws.

    For GECO's and MaskAAE's models only the open axes are compared, as in their rate.
    """

    name: Literal["mmd"] = "mmd"
    source: ClassVar[str] = "VIMAE, figure 1; kernels: Tolstikhin et al. 2018, Zhao et al. 2019"
    gives: ClassVar[tuple[str, ...]] = ("mmd_imq", "mmd_rbf")

    def measure(self, seen: EvaluationContext) -> Measurement:
        codes_ND = seen.codes("draw", self.split, seed=self.seed)
        opened_D = seen.vae.mapping.opened().bool() if hasattr(seen.vae.mapping, "opened") else None
        code = {"code_ND": codes_ND.to(seen.device), "prior": seen.vae.prior, "opened_D": opened_D}
        numbers = seen.alone(lambda: latent_mmd.latent_mmd(**code, seed=self.seed))
        counts = {"rows": len(codes_ND), "sample": latent_mmd.SAMPLE, "draws": latent_mmd.REPEATS}
        return Measurement(numbers, self.provenance("code", counts, seen.name_of(self.split)))


class DzTime(Evaluation):
    """Seconds to encode a new D_z of 10,000 training rows and update the prior from it, on one worker's device.

    Times on different devices, or with different numbers of threads, do not compare.
    """

    name: Literal["dz_time"] = "dz_time"
    source: ClassVar[str] = "ARD-VAE, supplement, table 3"
    gives: ClassVar[tuple[str, ...]] = ("dz_seconds", "dz_seconds_min", "dz_rows")

    def measure(self, seen: EvaluationContext) -> Measurement:
        numbers = seen.alone(lambda: timing.dz_seconds(seen.learner, seen.splits.train, seed=self.seed))
        machine = seen.alone(lambda: timing.machine(seen.device))
        return Measurement(numbers, self.provenance("code", {"rows": int(numbers["dz_rows"])}, "train", found=machine))
