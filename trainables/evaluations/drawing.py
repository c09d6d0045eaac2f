"""Qualitative evaluations: pictures of the effect of each latent axis."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.common.errors import Undefined
from trainables.common.lazy import LazyModule, torch
from trainables.evaluations.base import Measurement, OfRows

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from trainables.evaluations.context import EvaluationContext

hierarchical = LazyModule("trainables.mappings.modules.hierarchical")
pictures = LazyModule("trainables.pictures")
relevance = LazyModule("trainables.relevance")


class Traversals(OfRows):
    """Pictures of each latent axis from -3 s to 3 s, the most relevant first.

    s is the square root of the axis's second moment over training rows, as ARD-VAE has it: its codes' mean is near 0.
    One picture starts at the code of the split's first image, one at the mean code of the training rows. With the
    mapping `hierarchical`, a third one varies one axis of each level, which changes the levels below.
    """

    name: Literal["traversals"] = "traversals"
    source: ClassVar[str] = "ARD-VAE, figures 2 to 4; Intel-VAE, figures 8 and B.2"

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split, 1)
        if len(rows.shape) != 3:
            raise Undefined("traversals are of images: these data have none.")
        scores, span = seen.relevance(self.seed), pictures.span_of(seen.rows(self.split))
        first_D, moved = seen.codes("mean", self.split, 1)[0].to(seen.device), self.spread(seen)

        def drawn() -> dict[str, bytes]:
            bases = {"first": seen.vae.mapping(first_D[None])[0], "mean": scores.mean_D.to(first_D)}
            sheets = {
                f"traversals_{name}": pictures.traversals(seen.vae, z_D, scores, span) for name, z_D in bases.items()
            }
            if moved is not None:
                sheets["levels_first"] = pictures.levels(seen.vae, first_D, scores, moved, span)
            return {f"{name}.png": as_png(sheet) for name, sheet in sheets.items()}

        with torch.no_grad():
            found = seen.alone(drawn)
        counts = {"rows": len(rows), "relevance": int(seen.relevance_sums(self.seed)[0]["rows"])}
        return Measurement({}, self.provenance("code", counts, seen.name_of(self.split)), found)

    def spread(self, seen: EvaluationContext) -> Tensor | None:
        """Square roots of the second moments of the code's axes, (D,); None unless the mapping is hierarchical."""
        if not isinstance(seen.vae.mapping, hierarchical.Hierarchy):
            return None
        y_ND = seen.codes("draw", "train", relevance.MOMENT_ROWS, seed=self.seed)
        return y_ND.square().mean(0).sqrt().to(seen.device)


def as_png(picture: Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
