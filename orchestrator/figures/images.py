"""Figures of images: reconstructions, samples, and what latent axes do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.figures.base import OfModels, of_images
from orchestrator.figures.panels import Sheet
from orchestrator.figures.trained import Model
from trainables.common.lazy import LazyModule

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

sheets = LazyModule("trainables.figures.sheets")


class OfImages(OfModels):
    """A kind with a sheet of images for each configuration."""

    columns = 3

    def unfit(self, model: Model) -> str:
        return of_images(model)


class Reconstructions(OfImages):
    """Test images in odd rows, each above its reconstruction, with the squared error and the rate."""

    name = "reconstructions"
    papers = "VIMAE 2 to 4, 6"
    captions = {"mse": "MSE", "rate": "rate", "surrogate_rate": "surrogate rate"}
    captioned_by = ("mse", "rate")

    def of_model(self, title: str, seen: EvaluationContext) -> list[Sheet]:
        return [Sheet(title, sheets.reconstructions(seen))]


class Samples(OfImages):
    """Generated images."""

    name = "samples"
    papers = "Intel 6; VIMAE 2, 4, 5, 7"

    def of_model(self, title: str, seen: EvaluationContext) -> list[Sheet]:
        return [Sheet(title, sheets.samples(seen))]


class Traversals(OfImages):
    """An image along each latent axis from -3 to 3 sd, the most relevant first; irrelevant axes are framed in red."""

    name = "traversals"
    papers = "ARD S2 to S4"
    columns = 2

    def of_model(self, title: str, seen: EvaluationContext) -> list[Sheet]:
        found = sheets.traversals(seen)
        rows = [f"axis {axis}: {share:.2%}" for axis, share in zip(found.axes, found.share_A, strict=True)]
        rejected = frozenset(row for row, relevant in enumerate(found.relevant_A) if not relevant)
        return [Sheet(title, found.images_ASHWK, rows, rejected)]


class Levels(OfImages):
    """An image along one axis of each level of a hierarchical mapping, the top level first."""

    name = "levels"
    papers = "Intel B.2"
    columns = 2

    def unfit(self, model: Model) -> str:
        mapping = getattr(model.run.method, "mapping", None)
        hierarchy = mapping is not None and hasattr(mapping, "groups")
        return of_images(model) if hierarchy else "no model of it has levels (mapping hierarchical)"

    def of_model(self, title: str, seen: EvaluationContext) -> list[Sheet]:
        images_RSHWK, axes = sheets.levels(seen)
        rows = [f"level {level}: axis {axis}" for level, axis in enumerate(axes, start=1)]
        return [Sheet(title, images_RSHWK, rows)]
