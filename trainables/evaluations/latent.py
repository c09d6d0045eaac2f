"""Evaluations of q(y|x) and the prior: the rate, the distance of codes to the prior, the time of ARD-VAE's D_z."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, torch
from trainables.evaluations.base import Evaluation, Measurement, OfRows

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.evaluations.context import EvaluationContext
    from trainables.noise import Noise
    from trainables.sums import Sums

context = LazyModule("trainables.evaluations.context")
information = LazyModule("trainables.metrics.information")
latent_mmd = LazyModule("trainables.metrics.latent_mmd")
posteriors = LazyModule("trainables.distributions.posteriors")
rate = LazyModule("trainables.metrics.rate")
relevance = LazyModule("trainables.relevance")
timing = LazyModule("trainables.metrics.timing")

SURROGATE_ROWS = 500
CERTAIN = (
    "no mutual_information, as the encoder is deterministic: given a row its code has no entropy, and I_q is infinite."
)


class Rate(OfRows):
    """Mean KL(q(y|x) || p(y)) in nats; for deterministic encoders, which have none, a surrogate on 500 rows.

    ARD-VAE's prior is estimated from the first 10,000 training rows, with samples or means as its D_z holds. The
    provenance of every model counts these rows, so that the rates of ARD-VAE and other methods compare. Of MaskAAE's
    models only the open axes count.
    """

    name: Literal["rate"] = "rate"
    source: ClassVar[str] = "Alemi et al. 2018; ARD-VAE, equation 17; the surrogate: own"
    gives: ClassVar[tuple[str, ...]] = ("rate", "surrogate_rate")
    version: ClassVar[int] = 2  # 1 took ARD-VAE's prior from samples where D_z holds means, and counted closed axes

    def measure(self, seen: EvaluationContext) -> Measurement:
        certain = seen.method.posterior() is posteriors.Point
        if certain:
            rate.open_axes(seen.vae)  # raises on all workers, also on one without rows
        name, rows = seen.name_of(self.split), seen.rows(self.split, SURROGATE_ROWS if certain else None)
        own = {"prior": seen.prior(self.seed), "encode": lambda x_BX: seen.method.proposal(seen.vae, x_BX)}
        parts = [
            rate.statistics(seen.vae, x_BX, block.noise(seen.device, self.seed, name, "rate"), **own)
            for x_BX, block in seen.batches(rows)
        ]
        numbers = rate.finish(seen.reduced(parts, "surrogate_rate" if certain else "rate", "rows"))
        counts = {"rows": len(rows), "prior": min(len(seen.splits.train), relevance.MOMENT_ROWS)}
        return Measurement(numbers, self.provenance("code", counts, name))


class Information(OfRows):
    """Entropy h(q(z)) of sampled codes, I_q(x; z) = h(q(z)) - h(q(z|x)), and KL(q(z) || p(z)), in nats.

    From distances to nearest neighbours (Kozachenko-Leonenko, k = 3), which are too large in more than about 16
    dimensions; those that end in `_gaussian` from the codes' covariance alone, which bounds h and I_q from above and
    the KL from below. h(q(z|x)) is a closed form for Gaussians, else a mean over one sample of each row. A
    deterministic encoder has none: its I_q is infinite. Of MaskAAE's models only the open axes count. ARD-VAE's prior
    is estimated as for `rate`.
    """

    name: Literal["information"] = "information"
    rows: PositiveInt = 10_000
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = (
        "VIMAE, sections 3.2 and 5.1; Kozachenko & Leonenko 1987, in the form of Kraskov et al. 2004"
    )
    gives: ClassVar[tuple[str, ...]] = tuple(
        f"{name}{suffix}" for name in ("entropy", "mutual_information", "kl_marginal") for suffix in ("", "_gaussian")
    )
    version: ClassVar[int] = 2  # 1 took samples for means in ARD-VAE's prior, and rounding noise for a dimension

    def measure(self, seen: EvaluationContext) -> Measurement:
        name, rows = seen.name_of(self.split), seen.rows(self.split, self.rows)
        certain, prior = seen.method.posterior() is posteriors.Point, seen.prior(self.seed)
        kept = rate.open_axes(seen.vae) if certain else None
        codes, parts = [], []

        def add_share() -> None:
            for x_BX, block in seen.batches(rows):
                code_BD, sums = self.of_batch(seen, x_BX, block.noise(seen.device, self.seed, name, "code"))
                codes.append(code_BD if kept is None else code_BD[:, kept])
                with torch.no_grad():
                    parts.append(sums | {"log_prior": prior.log_prob(codes[-1]).double().sum()})

        context.together(add_share)  # a worker without rows meets no code that is undefined
        totals = seen.reduced(parts, "log_prior", "rows", *([] if certain else ["conditional"]))
        width = seen.vae.code_dim if kept is None else int(kept.sum())
        code_ND = seen.gathered(torch.cat([torch.empty(0, width, device=seen.device), *codes]))
        numbers = seen.alone(lambda: information.information(code_ND, totals))
        counts = {"rows": len(rows), "prior": min(len(seen.splits.train), relevance.MOMENT_ROWS)}
        return Measurement(numbers, self.provenance("code", counts, name), lacking=CERTAIN if certain else "")

    def of_batch(self, seen: EvaluationContext, x_BX: Tensor, noise: Noise) -> tuple[Tensor, Sums]:
        """Sampled codes of some rows, (B, D), and the sums of `information`, but for `log_prior`."""
        with torch.no_grad():
            q = seen.method.proposal(seen.vae, x_BX)
            drawn = q.draw(noise)
            sums = {"rows": torch.tensor(float(len(x_BX)), device=x_BX.device)}
            if type(q) is posteriors.Point:
                return drawn.y_BD, sums
            if drawn.log_q is None:
                raise Undefined("codes are exactly 0 with some probability, so that they have no density.")
            if isinstance(q, posteriors.Gaussian):
                entropy_B = 0.5 * (q.log_variance_BD + math.log(2 * math.pi * math.e)).sum(1)
            else:
                entropy_B = -drawn.log_q()
        return drawn.y_BD, sums | {"conditional": entropy_B.double().sum()}


class MMD(OfRows):
    """Maximum mean discrepancy between sampled codes and the prior, with two kernels: 1,000 samples of each, 10 draws.

    For GECO's and MaskAAE's models only the open axes are compared, as in their rate.
    """

    name: Literal["mmd"] = "mmd"
    source: ClassVar[str] = "VIMAE, figure 1; kernels: Tolstikhin et al. 2018, Zhao et al. 2019"
    gives: ClassVar[tuple[str, ...]] = ("mmd_imq", "mmd_rbf")
    version: ClassVar[int] = 2  # 1 sampled Gaussians for ARD-VAE's prior of Student's form

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
