"""Each figure of the papers has a kind that fits the sweep file named here, judged before anything is trained."""

from pathlib import Path

import pytest

from orchestrator.checks.read import read_spec
from orchestrator.evaluation.models import TrainedModel
from orchestrator.figures.table import FIGURES
from orchestrator.figures.trained import Model
from orchestrator.space.trials import list_trials
from tests.support import ROOT

DRAWN = {
    "Intel 1": ("intel_figure_4", "mapping"),
    "Intel 2": ("intel_figure_4", "methods-grid"),
    "Intel 3": ("intel_figure_3", "latent-space"),
    "Intel 4": ("intel_figure_4", "methods-grid"),
    "Intel 5": ("intel_figure_4", "mapping"),
    "Intel 6": ("intel_table_2", "samples"),
    "Intel 7 (left)": ("intel_figure_7", "fid-hoyer"),
    "Intel 7 (right)": ("intel_figure_7", "accuracy"),
    "Intel 8 (top)": ("intel_figure_7", "class-magnitudes"),
    "Intel 8 (bottom)": ("intel_figure_7", "class-traversals"),
    "Intel B.2": ("intel_figure_b2", "levels"),
    "Intel B.3": ("intel_table_b1", "attribute-accuracy"),
    "Intel C.1": ("intel_figure_4", "mapping"),
    "Intel C.2": ("intel_figure_4", "methods-grid"),
    "Intel C.3 (left)": ("intel_figure_7", "fid-hoyer"),
    "Intel C.3 (right)": ("intel_figure_7", "accuracy"),
    "ARD 1a": ("ard_table_3", "relevance"),
    "ARD 1b": ("ard_table_3", "variance-epochs"),
    "ARD S1": ("ard_table_3", "variance-epochs"),
    "ARD S2": ("ard_table_1", "traversals"),
    "ARD S3": ("ard_table_1", "traversals"),
    "ARD S4": ("ard_table_1", "traversals"),
    "VIMAE 1": ("vimae_figure_1", "codes"),
    "VIMAE 2 (top)": ("vimae_tables_1_4", "reconstructions"),
    "VIMAE 2 (bottom)": ("vimae_tables_1_4", "samples"),
    "VIMAE 3": ("vimae_tables_2_5", "reconstructions"),
    "VIMAE 4 (top)": ("vimae_tables_2_5", "reconstructions"),
    "VIMAE 4 (bottom)": ("vimae_tables_2_5", "samples"),
    "VIMAE 5": ("vimae_tables_2_5", "samples"),
    "VIMAE 6": ("vimae_table_3", "reconstructions"),
    "VIMAE 7": ("vimae_table_3", "samples"),
}


def models_of(file: str) -> list[Model]:
    """One model of each configuration, not trained."""
    spec = read_spec(ROOT / "search_spaces" / "papers" / f"{file}.yaml", ())
    models = []
    for trial in list_trials(spec)[:: spec.seeds]:
        model = TrainedModel(f"{trial.number:04d}", Path(), Path(), "")
        model.__dict__["run"] = trial.run  # where a trained one reads it from its folder
        models.append(Model(model, None))
    return models


@pytest.mark.parametrize("figure", DRAWN)
def test_a_figure_has_a_kind_that_fits_its_sweep(figure):
    file, name = DRAWN[figure]
    reasons = {FIGURES[name].unfit(model) for model in models_of(file)}
    assert "" in reasons


def test_every_kind_draws_a_figure_of_the_papers():
    assert {kind for _, kind in DRAWN.values()} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_kind_names_the_papers_whose_figures_it_draws(name):
    named = {word for word in FIGURES[name].papers.replace(";", "").split() if word in ("Intel", "ARD", "VIMAE")}
    assert named == {figure.split()[0] for figure, (_, kind) in DRAWN.items() if kind == name}
