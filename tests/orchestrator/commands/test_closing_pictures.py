"""When the verbs draw the pictures of a whole sweep: at its end, and not while it may go on."""

import json
from types import SimpleNamespace

import pytest

from orchestrator.checks.read import read_plan
from orchestrator.commands import sweep as verb
from orchestrator.execution.run import Outcome
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.folder import as_yaml
from orchestrator.sweep.open import USUAL
from orchestrator.tracking.tracker import NOTHING_LEFT
from tests.support.sweep_folders import one, written

NAMES = ("curves.png", "parallel.png")
SPEC = """\
name: own
run:
  method: {name: vae}
  network: {name: mlp, hidden: [16], latent_dim: 2}
  data: {name: circle, train_rows: 300, val_rows: 90}
  epochs: 2
search: {seed: {grid: [0, 1]}}
"""


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """A function that ends a sweep, whose two trials are in its folder, by the verb: what it prints is captured."""
    (tmp_path / "own.yaml").write_text(SPEC)
    plan = read_plan(tmp_path / "own.yaml")
    folder = written(tmp_path / "runs" / "own", [one([1.0, 3.0], {"seed": 0}), one([2.0, 4.0], {"seed": 1})])
    (folder / "spec.yaml").write_text(as_yaml(plan.spec))
    results = json.loads((folder / "results.json").read_text())
    monkeypatch.setattr(verb, "open_tracker", lambda *_: SimpleNamespace(close=lambda *_: NOTHING_LEFT))

    def run(stop=None):
        monkeypatch.setattr(verb, "run_sweep", lambda *_: Outcome(folder, results, stop))
        verb.run_and_report(plan, Workspace(tmp_path / "runs", None), USUAL, False, verb.HERE)
        return folder

    return run


def test_a_sweep_that_ends_has_its_pictures_and_names_them(swept, capsys):
    folder = swept()
    said = capsys.readouterr().out.replace("\n", "")
    for name in NAMES:
        assert (folder / name).is_file() and f"{name.partition('.')[0]:<12} {folder / name}" in said


def test_one_that_was_interrupted_ends_at_once_without_them(swept):
    folder = swept(KeyboardInterrupt())
    assert not any((folder / name).exists() for name in NAMES)


def test_pictures_that_cannot_be_drawn_are_a_note(swept, monkeypatch, capsys):
    def broken(*_):
        raise ValueError("no ink")

    monkeypatch.setattr("orchestrator.figures.overview.read_best", broken)
    folder = swept()
    assert f"note         {folder}: its curves could not be drawn (no ink)." in capsys.readouterr().out


def test_resume_of_a_finished_sweep_draws_them_where_they_are_lost(swept, vaeorch, monkeypatch):
    monkeypatch.setattr("orchestrator.commands.resume.sync", lambda *_: NOTHING_LEFT)
    folder = swept()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "journal.jsonl").write_text('{"event": "finished"}\n')
    (folder / "curves.png").unlink()
    code, _, err = vaeorch("resume", "own", "--out", folder.parent)
    assert (code, err) == (0, "")
    assert (folder / "curves.png").read_bytes() == before[folder / "curves.png"]
