import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from orchestrator.checks.read import read_spec, schema
from orchestrator.space.plan import Plan
from orchestrator.space.trials import list_trials, notes
from tests.support import ROOT
from trainables.data.loading import read_facts
from trainables.run import Run

SHIPPED = sorted((ROOT / "search_spaces").glob("*.yaml"))
TRAININGS = {
    "quickstart": 16,
    "ardvae_mnist": 3 * 5,
    "ardvae_imagenet32": 4 * 5,
    "intelvae_mnist": 5 * 10,
    "intelvae_synthetic": 5 * 4 * 3,
    "intelvae_celeba": 64,
    "optuna_digits": 60,
    "all_methods": 2 * 31,
    "three_papers": 3,
    "intelvae_holes": (3 + 2 + 1) * 3,
    "intelvae_proportions": 5,
    "maskaae_mnist": 1,
    "ardvae_mnist_small": 3,
    "intelvae_fashion_sparse": 3,
    "vimae_mnist": 5,
    "geco_mnist": 1,
}


def test_each_search_space_has_its_number_of_trainings_written_here():
    assert {file.stem for file in SHIPPED} == set(TRAININGS)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_search_space_is_sound_up_to_where_work_begins(file):
    spec = read_spec(file)
    listed = list_trials(spec)
    assert spec.name == file.stem
    plan = Plan(spec, listed)
    assert plan.searching == TRAININGS[file.stem]
    assert not notes(spec, range(plan.searching))
    assert len({repr(trial.config) for trial in listed}) * spec.seeds == len(listed)
    for trial in plan.examples:
        run = Run.model_validate_json(json.dumps(trial.run))
        assert not list(run.mistakes(read_facts(run.data, None)))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_search_space_fits_the_schema(file):
    jsonschema.validate(YAML(typ="safe", pure=True).load(file.read_text()), schema())


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_search_space_names_its_source_at_its_top(file):
    head = file.read_text().partition("name:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert "Source" in head
