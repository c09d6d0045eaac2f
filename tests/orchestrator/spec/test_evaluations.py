"""The field `evaluate` of a spec: what is asked for, and what is said of mistakes in it."""

import json

import pytest

from orchestrator.checks.read import schema
from orchestrator.spec.yaml_file import read_yaml
from orchestrator.sweep.folder import as_yaml
from tests.support.specs import TINY, refused, spec_of
from trainables.evaluations.generation import Frechet
from trainables.evaluations.representation import MSE

ASKED = "{checkpoint: last, metrics: [mse, {name: frechet, axes: relevant}, {name: frechet, axes: all}, frechet]}"


def test_evaluations_are_named_or_have_settings_and_one_may_be_asked_for_with_several(tmp_path):
    asked = spec_of(tmp_path, f"{TINY}evaluate: {ASKED}\n").evaluate
    assert asked.checkpoint == "last"
    assert asked.metrics == (MSE(), Frechet(axes="relevant"), Frechet(axes="all"), Frechet())


def test_a_spec_that_says_nothing_of_evaluations_asks_for_nothing(tmp_path):
    assert spec_of(tmp_path, TINY).evaluate is None
    assert spec_of(tmp_path, f"{TINY}evaluate: {{}}\n").evaluate.checkpoint == "best"


def test_what_a_sweep_keeps_of_it_reads_the_same(tmp_path):
    spec = spec_of(tmp_path, f"{TINY}evaluate: {ASKED}\n")
    (tmp_path / "kept.yaml").write_text(as_yaml(spec))
    kept = json.dumps(read_yaml(tmp_path / "kept.yaml").values["evaluate"])
    assert spec_of(tmp_path, f"{TINY}evaluate: {kept}\n").evaluate == spec.evaluate


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("{checkpoint: lst}", "evaluate.checkpoint: unknown word 'lst'. Did you mean 'last'?"),
        ("{metrics: mse}", "evaluate.metrics: must be a list, not 'mse'."),
        ("{metrics: []}", "evaluate.metrics: has 0 entries, but needs at least 1."),
        ("{metrics: [msee]}", "evaluate.metrics[0].name: unknown name 'msee'. Did you mean 'mse'?"),
        ("{metrics: [mse, 3]}", "evaluate.metrics[1]: must be a mapping, not 3."),
        ("{metrics: [{axes: all}]}", "evaluate.metrics[0]: has no 'name'. Known: frechet, "),
        ("{metrics: [{name: prd, axis: all}]}", "evaluate.metrics[0].axis: unknown key. Did you mean 'axes'?"),
        ("{metrics: [{name: prd, axes: al}]}", "evaluate.metrics[0].axes: unknown word 'al'. Did you mean 'all'?"),
        ("{metrics: [{name: forest, sizes: [9, 0]}]}", "evaluate.metrics[0].sizes[1]: must be above 0, not 0."),
        (
            "{metrics: [prd, {name: prd, seed: 1}]}",
            "evaluate.metrics: asks twice for numbers of the same names, of prd. Let them differ in features or axes.",
        ),
        ("{metrics: [mse, mse]}", "evaluate.metrics: asks twice for numbers of the same names, of mse."),
    ],
)
def test_a_mistake_is_told_with_its_line_and_cure(tmp_path, asked, said):
    [line] = refused(tmp_path, f"{TINY}evaluate: {asked}\n")
    assert line.startswith(f"spec.yaml:16: {said}")


def test_an_editor_learns_that_a_name_alone_will_do():
    [listed, _] = schema()["$defs"]["Evaluate"]["properties"]["metrics"]["anyOf"]
    named, with_settings = listed["items"]["anyOf"]
    assert "mse" in named["enum"] and with_settings["discriminator"]["propertyName"] == "name"
