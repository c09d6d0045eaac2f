"""All kinds of figures, listed in FIGURES. To add one, write a class and add a line here."""

from __future__ import annotations

from orchestrator.errors import UserError
from orchestrator.figures.attributes import AttributeAccuracy
from orchestrator.figures.base import Kind, Unfit
from orchestrator.figures.classes import ClassMagnitudes, ClassTraversals
from orchestrator.figures.curves import Accuracy, FidHoyer, RelevanceProfile, VarianceEpochs
from orchestrator.figures.images import Levels, Reconstructions, Samples, Traversals
from orchestrator.figures.panels import Drawing
from orchestrator.figures.planes import Codes, LatentSpace, Mapping, MethodsGrid
from orchestrator.figures.trained import Trained
from orchestrator.spec.diagnostics import cure
from trainables.common.errors import Undefined

FIGURES: dict[str, Kind] = {
    kind.name: kind()
    for kind in (
        Mapping,
        LatentSpace,
        MethodsGrid,
        Codes,
        Reconstructions,
        Samples,
        Traversals,
        Levels,
        RelevanceProfile,
        VarianceEpochs,
        FidHoyer,
        Accuracy,
        ClassMagnitudes,
        ClassTraversals,
        AttributeAccuracy,
    )
}


def kind_of(name: str) -> Kind:
    """Raises UserError."""
    if name not in FIGURES:
        raise UserError(f"{name}: no kind of figure. {cure(name, FIGURES)}")
    return FIGURES[name]


def fitting(trained: Trained) -> list[str]:
    """The kinds that can show models of a sweep or run, judged by their Runs and the shapes of their data."""
    models = [one.best for one in trained.configurations]
    return [name for name, kind in FIGURES.items() if not all(kind.unfit(model) for model in models)]


def draw(kind: Kind, trained: Trained) -> Drawing:
    """A figure. Raises UserError; where no model fits, one line that says why and which kinds fit."""
    try:
        return kind.draw(trained)
    except (Unfit, Undefined) as error:
        others = [name for name in fitting(trained) if name != kind.name]
        why = str(error).rstrip(".")
        raise UserError(f"{trained.name}: no {kind.name}: {why}. Kinds that fit: {', '.join(others)}.") from None
