"""The base classes of kinds of figures, and how a kind is asked which models it can show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from orchestrator.figures.panels import Drawing, Plot, Sheet
from orchestrator.figures.trained import Configuration, Model, Trained
from trainables.common.errors import Undefined

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

Shown = TypeVar("Shown")
NOT_DRAWN = ": not drawn: "
MOST_MODELS = 24  # with panels of their own; more would not fit a page


class Unfit(Exception):
    """A kind cannot show any of the models: the reasons, without the names of sweep and kind."""


class Kind(ABC):
    """A kind of figure. Its docstring's first line says what it shows."""

    name: ClassVar[str]
    papers: ClassVar[str]
    """The figures of the papers that it draws."""

    def unfit(self, model: Model) -> str:
        """Why it cannot show a model, judged by its Run and the shape of its data alone; empty where it can."""
        return ""

    def draw(self, trained: Trained) -> Drawing:
        """The figure of those models that it can show. Raises Unfit if there are none, and UserError."""
        reasons = {id(one): self.unfit(one.best) for one in trained.configurations}
        fitting = [one for one in trained.configurations if not reasons[id(one)]]
        if not fitting:
            raise Unfit("; ".join(dict.fromkeys(reasons.values())))
        return self.panels(replace(trained, configurations=fitting))

    @abstractmethod
    def panels(self, trained: Trained) -> Drawing:
        """The figure of models that are all fit. Raises Unfit for what only their data or numbers tell."""


class OfModels(Kind):
    """A kind with panels for each configuration, of its best model; several may be captioned by what was measured."""

    columns: ClassVar[int] = 4
    captions: ClassVar[dict[str, str]] = {}
    """Value of an evaluation -> its name below a panel's title."""
    captioned_by: ClassVar[tuple[str, ...]] = ()
    """The evaluations that measure them."""

    @abstractmethod
    def of_model(self, title: str, seen: EvaluationContext) -> Sequence[Plot] | Sequence[Sheet]:
        """A model's panels. Raises Undefined."""

    def chosen(self, configurations: Sequence[Configuration]) -> Sequence[Configuration]:
        """Those that have panels."""
        return configurations

    def panels(self, trained: Trained) -> Drawing:
        chosen = self.chosen(trained.configurations)
        panels, notes = [], left_out(chosen)
        for one in picked(chosen):
            panels += tried(one, partial(self.of_model, self.titled(one)), notes) or []
        require(panels, notes)
        known = {name for one in chosen for name in measured(one.best)}
        if self.captions and not known & set(self.captions):
            named = ", ".join(self.captions.values())
            notes.append(f"{named}: not measured, left out. {trained.to_measure(self.captioned_by)}")
        return Drawing(panels, min(len(panels), self.columns), notes)

    def titled(self, one: Configuration) -> str:
        """The title of a configuration's panels."""
        known = measured(one.best)
        told = [f"{name} {known[value]:.3g}" for value, name in self.captions.items() if known.get(value) is not None]
        return "\n".join([one.title, ", ".join(told)]) if told else one.title


def tried(one: Configuration, show: Callable[[EvaluationContext], Shown], notes: list[str]) -> Shown | None:
    """What `show` makes of a configuration's best model; None where it cannot, with a line in `notes`."""
    try:
        return show(one.best.open())
    except Undefined as error:
        notes.append(f"{one.title}{NOT_DRAWN}{error}")
        return None


def require(shown: Sequence[Any], notes: Sequence[str]) -> None:
    """Raises Unfit, with the reasons in `notes`, where nothing can be shown."""
    if not shown:
        raise Unfit("; ".join(dict.fromkeys(note.rpartition(NOT_DRAWN)[2] for note in notes if NOT_DRAWN in note)))


def picked(configurations: Sequence[Configuration]) -> Sequence[Configuration]:
    """As many as have panels of their own."""
    return configurations[:MOST_MODELS]


def left_out(configurations: Sequence[Configuration]) -> list[str]:
    """A line about those that are too many, if any are."""
    many, left = len(configurations), len(configurations) - len(picked(configurations))
    return [f"{left} of {many} configurations are not drawn: choose some by --trials."] if left else []


def measured(model: Model) -> dict[str, float | None]:
    """Value -> number of all that was measured of a model."""
    return {name: number for finding in model.findings for name, number in finding["values"].items()}


def of_images(model: Model) -> str:
    """Why a kind of images cannot show a model."""
    shape = model.facts.shape
    return "" if len(shape) == 3 else f"its data are no images but rows of {'x'.join(map(str, shape))}"


def of_plane(model: Model) -> str:
    """Why a kind of two-dimensional latents cannot show a model."""
    latent_dim = model.run.network.latent_dim
    return "" if latent_dim == 2 else f"its latent space has {latent_dim} dimensions, not 2"
