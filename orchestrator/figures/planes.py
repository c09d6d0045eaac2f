"""Figures of planes: mappings, latent spaces of two dimensions, and generated points beside the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.figures.base import Kind, OfModels, of_plane, require, tried
from orchestrator.figures.grouping import by_data
from orchestrator.figures.panels import Curve, Drawing, Frame, Plot, Points
from orchestrator.figures.trained import Configuration, Model, Trained, title_of, without
from trainables.common.lazy import LazyModule, np
from trainables.data.base import class_name

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

planes = LazyModule("trainables.figures.planes")

GENERATED = 200  # points, as in Intel-VAE's notebooks
MARGIN = 1.1  # of a frame's side, relative to the extent of its points


class Mapping(OfModels):
    """A mapping g: what it does to a grid, to circles of equal density and to samples of the prior."""

    name = "mapping"
    papers = "Intel 1, 5, C.1"
    columns = 2

    def unfit(self, model: Model) -> str:
        return "" if _mapping_of(model) else "no model of it has a mapping g (method intel_vae)"

    def chosen(self, configurations: Sequence[Configuration]) -> Sequence[Configuration]:
        """One for each mapping; trained mappings differ between models."""
        by_mapping = {}
        for one in configurations:
            record, latent_dim = _mapping_of(one.best), one.best.run.network.latent_dim
            own = one.best.trained.id if _is_trained(one.best) else ""
            by_mapping.setdefault((record.model_dump_json(), latent_dim, own), one)
        return list(by_mapping.values())

    def of_model(self, title: str, seen: EvaluationContext) -> list[Plot]:
        found = planes.mapped(seen)
        if found.y_N2.shape[1] == 1:
            [(y_S1, z_S1)] = found.lines.values()
            graph = Curve("g", y_S1[:, 0], z_S1[:, 0], style="plain")
            return [Plot(f"{title}: z = g(y)", [graph], "y", "z")]
        return [
            Plot(
                f"{title}: {space}",
                [*_lines(found.lines, which), *_parts(points_N2, found.part_N)],
                f"${space}_1$",
                f"${space}_2$",
                equal=True,
            )
            for which, (space, points_N2) in enumerate((("y", found.y_N2), ("z", found.z_N2)))
        ]


class LatentSpace(OfModels):
    """The prior p(z), the codes q(z) of all data, and the posteriors of five examples, in a latent plane."""

    name = "latent-space"
    papers = "Intel 3"
    columns = 3

    def unfit(self, model: Model) -> str:
        return of_plane(model)

    def of_model(self, title: str, seen: EvaluationContext) -> list[Plot]:
        found = planes.latent_space(seen)
        posteriors = [Points(f"q(z|x{number})", xy_S2) for number, xy_S2 in enumerate(found.posteriors_ES2, start=1)]
        marks = [
            Points("p(z)", found.prior_N2, faint=True),
            Points("q(z)", found.codes_N2, faint=True),
            *posteriors,
        ]
        return [Plot(title, marks, "$z_1$", "$z_2$", equal=True)]


class Codes(OfModels):
    """The codes of the data in a latent plane, coloured by class, with their MMD to the prior."""

    name = "codes"
    papers = "VIMAE 1"
    columns = 5
    captions = {"mmd_imq": "MMD"}
    captioned_by = ("mmd",)

    def unfit(self, model: Model) -> str:
        return of_plane(model)

    def of_model(self, title: str, seen: EvaluationContext) -> list[Plot]:
        return [Plot(title, _parts(*planes.representations(seen)), "$z_1$", "$z_2$", equal=True)]


class MethodsGrid(Kind):
    """Two-dimensional data and what each method generates: a row for each data set, a column for each method."""

    name = "methods-grid"
    papers = "Intel 2, 4, C.2"

    def unfit(self, model: Model) -> str:
        shape = model.facts.shape
        return "" if shape == (2,) else f"its data are no points of a plane, but {'x'.join(map(str, shape))}"

    def panels(self, trained: Trained) -> Drawing:
        rows = by_data(trained.configurations)
        cells = {data: {method_of(one): one for one in own} for data, own in rows.items()}
        if any(len(cells[data]) < len(own) for data, own in rows.items()):  # methods that differ in their mapping alone
            cells = {data: {title_of(without(one.values, "data")): one for one in own} for data, own in rows.items()}
        methods = list(dict.fromkeys(method for own in cells.values() for method in own))
        panels, notes = [], []
        for data, own in cells.items():
            draw = partial(planes.generated, points=GENERATED)
            both = {method: found for method, one in own.items() if (found := tried(one, draw, notes)) is not None}
            if not both:
                continue
            clouds = {"data": next(iter(both.values()))[0]} | {method: points for method, (_, points) in both.items()}
            frame = _frame(clouds.values())
            panels += [
                Plot(f"{data}: {name}", [Points("", clouds[name])] if name in clouds else [], equal=True, frame=frame)
                for name in ("data", *methods)
            ]
        require(panels, notes)
        return Drawing(panels, 1 + len(methods), notes)


def method_of(one: Configuration) -> str:
    """The method of a configuration, without its mapping: each data set may have one of its own."""
    return one.title_without("data", "method.mapping")


def _mapping_of(model: Model):
    return getattr(model.run.method, "mapping", None)


def _is_trained(model: Model) -> bool:
    """Whether a model's mapping has parameters, so that it differs from that of other models."""
    module = _mapping_of(model).build(model.run.network.latent_dim)
    return any(True for _ in module.parameters())


def _lines(lines: dict[str, tuple[np.ndarray, np.ndarray]], which: int) -> list[Curve]:
    return [
        Curve(name, *through[which].T, style="plain" if name.startswith("|y|") else "grid")
        for name, through in lines.items()
    ]


def _parts(points_N2: np.ndarray, part_N: np.ndarray, classes: Sequence[str] = ()) -> list[Points]:
    """Clouds of one colour for each part, which `classes` may name; a single one has no name."""
    parts = sorted(set(part_N.tolist()))
    names = [class_name(classes, part) for part in parts] if len(parts) > 1 else [""]
    return [Points(name, points_N2[part_N == part]) for name, part in zip(names, parts, strict=True)]


def _frame(clouds: Iterable[np.ndarray]) -> Frame:
    """A square that holds all points, with a margin."""
    points_N2 = np.concatenate(list(clouds))
    low_2, high_2 = points_N2.min(0), points_N2.max(0)
    half = MARGIN * float((high_2 - low_2).max()) / 2
    return tuple((centre - half, centre + half) for centre in ((low_2 + high_2) / 2).tolist())
