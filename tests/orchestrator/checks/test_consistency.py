"""A spec's `paper`: the numbers that a paper prints for its rows."""

import json

import pytest
from click.testing import CliRunner

from orchestrator.checks.read import read_spec
from orchestrator.cli.main import cli
from orchestrator.space.trials import selected
from orchestrator.spec.diagnostics import SpecError
from tests.support.specs import with_search

GRIDS = """\
search:
  method, method.beta: {zip: [[{name: ard_vae}, 0.5], [{name: beta_vae}, 4]]}
  network.latent_dim: {grid: [2, 4], when: {method.name: ard_vae}}
seeds: 3
paper:
  - {row: {method.name: ard_vae, network.latent_dim: 2}, metric: fid, mean: 22.24, std: 0.57, table: Table 2}
  - {row: {method.name: beta_vae}, metric: accuracy, condition: 50 labels, mean: 30, table: Table B.1}
"""
MISTAKES = [
    (
        "metric: fid",
        "metric: fdi",
        "13: paper[0].metric: unknown word 'fdi'. Did you mean 'fid'? Known: fid, precision",
    ),
    ("mean: 30, ", "", "14: paper[1].mean: is missing."),
    ("std: 0.57", "std: -1", "13: paper[0].std: must be at least 0, not -1"),
    ("mean: 22.24", "mean: '22'", "13: paper[0].mean: must be a number, not '22'."),
    ("{method.name: beta_vae}", "{}", "14: paper[1].row: has 0 entries, but needs at least 1."),
    (
        "{method.name: beta_vae}",
        "{method.name: beta_vea}",
        "14: paper[1].row.method.name: no configuration has 'beta_vea' here. Did you mean 'beta_vae'? Known: ard_vae,",
    ),
    (
        "{method.name: beta_vae}",
        "{method.beta: 3}",
        "14: paper[1].row.method.beta: no configuration has 3 here. Known: 0.5, 4.0.",
    ),
    (
        "{method.name: beta_vae}",
        "{method.bta: 4}",
        "14: paper[1].row.method.bta: no configuration has this path. Did you mean 'method.beta'?",
    ),
    (
        "{method.name: beta_vae}",
        "{method.name: beta_vae, network.latent_dim: 2}",
        "14: paper[1].row: no configuration has all of these together. Remove one, or mend the search.",
    ),
    ("{method.name: beta_vae}", "{run.epochs: 6}", "14: paper[1].row.run.epochs: is relative to run. Write 'epochs'."),
]


def file_with(folder, old="", new=""):
    assert not old or GRIDS.count(old) == 1
    file = folder / "spec.yaml"
    file.write_text(with_search(GRIDS.replace(old, new) if old else GRIDS))
    return file


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES, ids=[new or old for old, new, _ in MISTAKES])
def test_a_mistake_in_a_number_of_a_paper_is_told_with_its_line_its_path_and_its_cure(tmp_path, old, new, line):
    with pytest.raises(SpecError) as error:
        read_spec(file_with(tmp_path, old, new))
    (told,) = error.value.lines
    assert told.removeprefix(f"{tmp_path}/").startswith(f"spec.yaml:{line}"), told


def test_a_row_may_name_any_value_of_a_run_also_one_that_does_not_vary(tmp_path):
    spec = read_spec(file_with(tmp_path, "{method.name: beta_vae}", "{epochs: 6, data.name: digits}"))
    assert spec.paper[1].row == {"epochs": 6, "data.name": "digits"} and spec.paper[1].std is None


def test_a_row_selects_the_runs_that_have_all_of_its_values():
    runs = [{"a": {"b": 1, "c": [5, 2]}, "d": 1}, {"a": {"b": 1, "c": [2, 5]}}, {"a": None}]
    assert selected({"a.b": 1}, runs) == runs[:2]
    assert selected({"a.b": 1, "a.c": [2, 5]}, runs) == runs[1:2]
    assert selected({"a.b": 1, "d": 2}, runs) == []


def test_the_plan_says_how_many_trainings_and_how_many_numbers_there_are(tmp_path):
    words = ["sweep", str(file_with(tmp_path)), "--dry-run"]
    text = CliRunner().invoke(cli, words, catch_exceptions=False).output
    assert "tiny: 9 trials (3 configurations, 3 seeds each)" in text
    assert "paper      2 values to compare with" in text
    assert json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)["paper"] == 2
