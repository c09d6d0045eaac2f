"""A spec's `paper`: the numbers that a paper prints for its rows."""

import json

import pytest
from click.testing import CliRunner

from orchestrator.checks.read import read_spec
from orchestrator.cli.main import cli
from orchestrator.space.trials import RunTable
from orchestrator.spec.diagnostics import SpecError
from tests.support.specs import with_search

GRIDS = """\
search:
  method, method.beta: {zip: [[{name: ard_vae}, 0.5], [{name: beta_vae}, 4]]}
  network.latent_dim: {grid: [2, 4], when: {method.name: ard_vae}}
seeds: 3
paper:
  - table: Table 2
    trainings: 5
    columns:
      - {label: FID, metric: fid_ard}
      - {label: clean, metric: svm_clean, percent: true}
    rows:
      - {label: ARD-VAE, of: {method.name: ard_vae, network.latent_dim: 2}, numbers: [22.24 ± 0.57, null]}
      - {label: beta-VAE, of: {method.name: beta_vae}, numbers: [25.4, 30]}
"""
MISTAKES = [
    ("metric: fid_ard", "metric: fid_adr", "16: paper[0].columns[0].metric: no evaluation measures 'fid_adr'. Did you"),
    (
        "metric: fid_ard",
        "metric: zzz",
        "16: paper[0].columns[0].metric: no evaluation measures 'zzz'. `vaeorch methods`",
    ),
    (
        ", metric: fid_ard",
        "",
        "15: paper[0].columns: the metric is told by all columns or by all rows, and not by both.",
    ),
    ("[25.4, 30]", "[25.4]", "20: paper[0].rows[1].numbers: 1 for 2 columns. Write null where a cell is empty."),
    (
        "22.24 ± 0.57",
        "22.24 +- 0.57",
        "19: paper[0].rows[0].numbers[0]: '22.24 +- 0.57' is no printed number. Write it",
    ),
    ("trainings: 5", "trainings: 0", "14: paper[0].trainings: must be above 0, not 0."),
    (
        "{method.name: beta_vae}, numbers",
        "{method.name: beta_vea}, numbers",
        "20: paper[0].rows[1].of.method.name: no configuration has 'beta_vea' here. Did you mean 'beta_vae'? Known:",
    ),
    (
        "{method.name: beta_vae}, numbers",
        "{method.beta: 3}, numbers",
        "20: paper[0].rows[1].of.method.beta: no configuration has 3 here. Known: 0.5, 4.0.",
    ),
    (
        "{method.name: beta_vae}, numbers",
        "{method.bta: 4}, numbers",
        "20: paper[0].rows[1].of.method.bta: no configuration has this path. Did you mean 'method.beta'?",
    ),
    (
        "{method.name: beta_vae}, numbers",
        "{method.name: beta_vae, network.latent_dim: 2}, numbers",
        "20: paper[0].rows[1]: no configuration has all of these together. Remove one, or mend the search.",
    ),
    (
        "{label: FID, metric: fid_ard}",
        "{label: FID, of: {data.name: mnist}, metric: fid_ard}",
        "16: paper[0].columns[0].of.data.name: no configuration has 'mnist' here. Known: digits.",
    ),
    (
        "{method.name: beta_vae}, numbers",
        "{run.epochs: 6}, numbers",
        "20: paper[0].rows[1].of.run.epochs: is relative to run. Write 'epochs'.",
    ),
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
    spec = read_spec(file_with(tmp_path, "{method.name: beta_vae}, numbers", "{epochs: 6, data.name: digits}, numbers"))
    *_, fid, svm = spec.paper[0].cells()
    assert fid.of == {"epochs": 6, "data.name": "digits"} and (fid.mean, fid.std, fid.scale) == (25.4, None, 1)
    assert (svm.metric, svm.mean, svm.scale) == ("svm_clean", 30, 100)


def test_a_cell_says_what_its_row_and_column_do_not(tmp_path):
    other = "{number: 25.4, of: {method.beta: 4}, metric: fid}"
    *_, cell, _ = read_spec(file_with(tmp_path, "[25.4, 30]", f"[{other}, 30]")).paper[0].cells()
    assert (cell.of, cell.metric) == ({"method.name": "beta_vae", "method.beta": 4}, "fid")


def test_printed_digits_are_kept(tmp_path):
    first, *_ = read_spec(file_with(tmp_path, "22.24 ± 0.57", "22.40 ± 0.50")).paper[0].cells()
    assert (first.mean, first.std, first.decimals) == (22.4, 0.5, 2)


def test_what_set_leaves_out_of_a_table_is_no_mistake_and_what_it_changed_is_kept(tmp_path):
    file = file_with(tmp_path)
    with pytest.raises(SpecError):
        read_spec(file_with(tmp_path, "beta_vae}, 4", "vae}, null"))
    file = file_with(tmp_path)
    spec = read_spec(file, ["search={}", "run.epochs=1", "name=other"])
    assert spec.overrides == ("search={}", "run.epochs=1")


def test_a_row_selects_the_runs_that_have_all_of_its_values():
    runs = [{"a": {"b": 1, "c": [5, 2]}, "d": 1}, {"a": {"b": 1, "c": [2, 5]}}, {"a": None}]
    table = RunTable(runs)
    assert table.selected({"a.b": 1}) == [0, 1] and table.selected({}) == [0, 1, 2]
    assert table.selected({"a.b": 1, "a.c": [2, 5]}) == [1]
    assert table.selected({"a.b": 1, "d": 2}) == []


def test_the_plan_says_how_many_trainings_and_how_many_numbers_there_are(tmp_path):
    words = ["sweep", str(file_with(tmp_path)), "--dry-run"]
    text = CliRunner().invoke(cli, words, catch_exceptions=False).output
    assert "tiny: 9 trials (3 configurations, 3 seeds each)" in text
    assert "paper      3 printed numbers to compare with: vaeorch report tiny" in text
    assert json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)["paper"] == 3
