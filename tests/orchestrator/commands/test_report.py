"""`vaeorch report` and `vaeorch compare` on finished sweeps: what is printed, written, and told in one line."""

import json

import pytest

from orchestrator.space.plan import Plan
from orchestrator.space.trials import list_trials
from orchestrator.storage import layout
from orchestrator.sweep.changes import check_spec, origin
from orchestrator.sweep.folder import claim, recorded_spec
from tests.support.findings import finding
from tests.support.specs import RUN, spec_of

WHOLE = RUN.replace(", train_rows: 200, val_rows: 50", "")

PAPER = """\
paper:
  - table: Table 2
    trainings: 5
    columns: [{label: FID, metric: fid}]
    rows:
      - {label: narrow, of: {network.latent_dim: 2}, numbers: [22.24 ± 0.57]}
      - {label: wide, of: {network.latent_dim: 4}, numbers: [20.00 ± 0.50]}
"""
SEARCH = "search: {network.latent_dim: {grid: [2, 4]}}\nscheduler: {name: none}\nseeds: 2\n"
OLD = "paper:\n  - {row: {network.latent_dim: 2}, metric: fid, condition: clean, mean: 3, std: 1, table: Table 2}\n"


def finished(out, name: str, *settings: str, text: str = WHOLE + SEARCH + PAPER, shift: float = 0.0):
    """The folder of a sweep whose trials have each been measured."""
    spec = spec_of(out, text, f"name={name}", *settings)
    folder = claim(out, spec)
    trials = []
    for trial in list_trials(spec):
        home = layout.trial_folder(folder, f"{trial.number:04d}")
        home.mkdir(parents=True)
        (home / layout.CONFIG).write_text(json.dumps({"run": trial.run}))
        measured = finding("frechet", fid=22.0 + shift + trial.number / 10)
        known = {"id": home.name, "config": trial.config, "configuration": trial.configuration, "stage": "search"}
        known |= {
            "status": "completed",
            "reason": None,
            "retries": 0,
            "epochs": trial.run["epochs"],
            "best": {"epoch": 1},
            "seed": trial.seed,
        }
        trials.append(known | {"checkpoint": str(home / layout.BEST), "evaluations": [measured]})
    objective = spec.objective.model_dump()
    (folder / layout.RESULTS).write_text(json.dumps({"name": name, "objective": objective, "trials": trials}))
    return folder


def test_a_report_has_each_cell_with_ours_the_printed_one_and_a_verdict(tmp_path, vaeorch):
    finished(tmp_path, "tables")
    code, text, _ = vaeorch("report", "tables", "--out", tmp_path)
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert ["narrow", "22.15", "±", "0.07", "(2)"] in lines and ["paper", "22.24", "±", "0.57"] in lines
    assert ["wide", "22.35", "±", "0.07", "(2)"] in lines and ["worse"] in lines and ["agrees"] in lines
    assert "Welch" in text and "fid: inception 6726825d" in text


@pytest.mark.parametrize(
    ("form", "part"), [("markdown", "| narrow |"), ("latex", r"\toprule"), ("csv", "table,row,column,metric")]
)
def test_other_forms_are_written_to_a_file(tmp_path, vaeorch, form, part):
    finished(tmp_path, "tables")
    code, text, _ = vaeorch("report", "tables", "--out", tmp_path, "--format", form, "-o", tmp_path / "report")
    assert (code, text) == (0, "") and part in (tmp_path / "report").read_text()


def test_what_set_changed_is_why_numbers_do_not_compare(tmp_path, vaeorch):
    finished(tmp_path, "short", "run.epochs=1")
    _, text, _ = vaeorch("report", "short", "--out", tmp_path)
    assert "not comparable [1]" in text and "[1] trained with --set run.epochs=1" in text


def test_a_sweep_without_tables_a_file_that_cannot_be_written_and_no_sweep_are_one_line(tmp_path, vaeorch):
    finished(tmp_path, "bare", text=WHOLE + SEARCH)
    code, _, told = vaeorch("report", "bare", "--out", tmp_path)
    assert code == 2 and told.startswith("bare: its spec has no `paper:` tables.") and told.count("\n") == 1
    finished(tmp_path, "tables")
    code, _, told = vaeorch("report", "tables", "--out", tmp_path, "-o", tmp_path / "none" / "report")
    assert code == 2 and "cannot be written" in told and told.count("\n") == 1
    code, _, told = vaeorch("report", "absent", "--out", tmp_path)
    assert code == 2 and "no such results" in told


def test_two_sweeps_stand_side_by_side(tmp_path, vaeorch):
    finished(tmp_path, "first")
    finished(tmp_path, "second", shift=5.0)
    code, text, _ = vaeorch("compare", "first", "second", "--out", tmp_path)
    assert code == 0 and text.count("better") == 2 and "first" in text and "second" in text
    _, text, _ = vaeorch("compare", "second", "first", "--out", tmp_path, "--format", "csv")
    assert text.count("worse") == 2


def test_numbers_of_an_earlier_form_in_a_sweep_that_has_begun_are_no_mistake(tmp_path):
    folder = finished(tmp_path, "old", text=WHOLE + SEARCH)
    file = folder / layout.SPEC
    file.write_text(file.read_text().replace("paper: []\n", "") + OLD)
    spec = recorded_spec(folder)
    assert spec.paper == ()
    noted = json.loads(spec.model_dump_json()) | {"paper": [{"row": {}, "metric": "fid", "mean": 3, "table": "2"}]}
    assert check_spec(origin([{"event": "sweep", "spec": noted}]), spec, file) == []
    assert Plan(spec, list_trials(spec)).searching == 4


def test_a_page_of_any_sweep_has_its_papers_tables_if_there_are_some(tmp_path, vaeorch):
    finished(tmp_path, "tables")
    finished(tmp_path, "bare", text=WHOLE + SEARCH)
    for name, there in (("tables", True), ("bare", False)):
        file = tmp_path / f"{name}.html"
        code, text, _ = vaeorch("report", name, "--out", tmp_path, "--format", "html", "-o", file)
        assert (code, text) == (0, "") and ("22.15 ± 0.07 (2)" in file.read_text()) == there
