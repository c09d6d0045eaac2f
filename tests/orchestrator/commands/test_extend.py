"""What `extend` writes before the sweep goes on: the event, then spec.yaml. No Ray."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from orchestrator.checks.read import read_plan
from orchestrator.commands import extend as verb
from orchestrator.commands.resume import read_recorded
from orchestrator.commands.site import HERE
from orchestrator.errors import UserError
from orchestrator.storage import locks
from orchestrator.storage.journal import Journal
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.extension import settle_spec
from orchestrator.sweep.folder import claim, recorded_spec
from orchestrator.sweep.open import Start, open_queue
from tests.support.journals import journal_of
from tests.support.one_slot import drive

SPEC = """\
name: tiny
run:
  method: {name: vae}
  network: {name: mlp, hidden: [8], latent_dim: 2}
  data: {name: digits, train_rows: 120, val_rows: 60}
  batch_size: 16
  epochs: 4
search:
  optimizer.lr: {loguniform: [1.0e-4, 1.0e-2]}
trials: 2
scheduler: {name: none}
"""
TWO_SETS = SPEC.replace("optimizer.lr: {log", "data: {choice: [DATA]}\n  optimizer.lr: {log")


def swept(out: Path, text: str) -> Path:
    """A sweep that has ended in OUT/tiny."""
    (out / "spec.yaml").write_text(text)
    plan = read_plan(out / "spec.yaml")
    folder = claim(out, plan.spec)
    queue = drive(open_queue(plan, folder, Start()))
    queue.state.results_file.write()
    return folder


@pytest.fixture
def out(tmp_path, a_store, monkeypatch) -> Path:
    """The folder of all sweeps. No sweep goes on in it."""
    monkeypatch.setattr(verb, "run_and_report", lambda *values: None)
    shutil.copy(a_store, tmp_path / "mlflow.db")
    return tmp_path


def test_the_event_comes_first_and_a_spec_that_a_kill_left_is_written_later(out, vaeorch, monkeypatch):
    folder = swept(out, SPEC)
    before = (folder / "spec.yaml").read_text()
    assert vaeorch("extend", "tiny", "--out", out, "--trials", 1, "--set", "description=more")[0] == 0
    after = (folder / "spec.yaml").read_text()
    assert "trials: 3" in after and "description: more" in after and "overrides: []" in after
    assert journal_of(folder)[-1]["spec"]["trials"] == 3
    (folder / "spec.yaml").write_text(before)  # as if it had been killed before
    settle_spec(folder, Journal(folder).events)
    assert (folder / "spec.yaml").read_text() == after
    edited = after.replace("description: more", "description: mine")
    (folder / "spec.yaml").write_text(edited)
    settle_spec(folder, Journal(folder).events)
    assert (folder / "spec.yaml").read_text() == edited


def test_a_spec_that_was_edited_between_the_kill_and_resume_is_refused_as_it_is(out, vaeorch):
    folder = swept(out, SPEC)
    before = (folder / "spec.yaml").read_text()
    assert vaeorch("extend", "tiny", "--out", out, "--seeds", 1)[0] == 0
    (folder / "spec.yaml").write_text(before.replace("description: ''", "description: mine"))
    settle_spec(folder, Journal(folder).events)
    with pytest.raises(UserError, match="was changed since the sweep began: seeds was 2, is 1"):
        read_recorded(Journal(folder), Workspace(out), "tiny", HERE)


def test_longer_trials_leave_the_spec_as_it_is(out, vaeorch):
    folder = swept(out, SPEC)
    before = (folder / "spec.yaml").read_bytes()
    assert vaeorch("extend", "tiny", "--out", out, "--epochs", 2)[0] == 0
    assert (folder / "spec.yaml").read_bytes() == before
    [longer] = journal_of(folder)[-1]["longer"].values()
    assert longer["last_epoch"] == longer["run"]["epochs"] == 6


def test_what_is_recorded_leads_to_the_plan_of_the_extended_sweep(out, vaeorch):
    folder = swept(out, SPEC)
    for _ in range(2):
        assert vaeorch("extend", "tiny", "--out", out, "--trials", 2, "--seeds", 1)[0] == 0
        settle_spec(folder, Journal(folder).events)
        recorded = read_recorded(Journal(folder), Workspace(out), "tiny", HERE)
        drive(open_queue(recorded.plan, folder, Start()))
    assert len(recorded.plan) == 6 * 3 and recorded.changes == []
    results = open_queue(recorded.plan, folder, Start()).state.results_file.results()
    assert [row["n"] for row in results["configurations"]] == [3] * 6


def test_data_that_new_trials_bring_are_watched_like_the_others(out, vaeorch):
    files = [out / f"{name}.npy" for name in "ab"]
    for number, file in enumerate(files):
        np.save(file, np.random.default_rng(number).random((200, 4)).astype(np.float32))
    sets = ", ".join(f"{{name: array, path: {file}, val_rows: 20}}" for file in files)
    one_first = next(
        seed for seed in range(9) if len(_paths_of(out, f"{TWO_SETS.replace('DATA', sets)}search_seed: {seed}\n")) == 1
    )
    folder = swept(out, f"{TWO_SETS.replace('DATA', sets)}search_seed: {one_first}\n")
    assert len(journal_of(folder)[0]["data"]) == 1
    assert vaeorch("extend", "tiny", "--out", out, "--trials", 8)[0] == 0
    assert len(journal_of(folder)[-1]["data"]) == 2
    read_recorded(Journal(folder), Workspace(out), "tiny", HERE)
    for file in files:
        content = file.read_bytes()
        np.save(file, np.zeros((200, 4), np.float32))
        with pytest.raises(UserError, match=f"{file.name}: has changed since training began on it"):
            read_recorded(Journal(folder), Workspace(out), "tiny", HERE)
        file.write_bytes(content)


def _paths_of(out: Path, text: str) -> set[str]:
    (out / "spec.yaml").write_text(text)
    return {trial.run["data"]["path"] for trial in read_plan(out / "spec.yaml").trials}


def test_a_sweep_that_was_begun_without_a_noted_spec_is_not_extended(out, vaeorch):
    folder = swept(out, SPEC)
    events = journal_of(folder)
    del events[0]["spec"]
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    code, _, error = vaeorch("extend", "tiny", "--out", out, "--trials", 1)
    assert code == 2 and "was begun by a version of vaeorch that noted no spec" in error and error.count("\n") == 1


def test_a_running_sweep_is_not_extended(out, vaeorch):
    folder = swept(out, SPEC)
    with locks.driver(folder):
        code, _, error = vaeorch("extend", "tiny", "--out", out, "--trials", 1)
    assert code == 2 and "another process trains or evaluates here" in error


def test_a_sweep_of_a_cluster_is_not_extended(out, vaeorch):
    swept(out, SPEC)
    (out / ".clusters").mkdir()
    (out / ".clusters" / "tiny.json").write_text("{}")
    code, _, error = vaeorch("extend", "tiny", "--out", out, "--trials", 1)
    assert code == 2 and "was sent to a cluster, and none extends sweeps" in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["tiny (copy)", "_tiny", "größer"])
def test_a_copy_whose_folder_no_spec_could_name_is_extended_and_read_by_all_verbs(out, vaeorch, name):
    folder = out / name
    swept(out, SPEC).rename(folder)
    assert vaeorch("results", name, "--out", out)[1].startswith(f"{name}: 2 trials by val/elbo")
    for _ in range(2):
        assert vaeorch("extend", name, "--out", out, "--trials", 1)[0] == 0
        before = (folder / "spec.yaml").read_text()
        assert recorded_spec(folder).name == journal_of(folder)[-1]["spec"]["name"] == "tiny"
        settle_spec(folder, Journal(folder).events)
        assert (folder / "spec.yaml").read_text() == before
        recorded = read_recorded(Journal(folder), Workspace(out), name, HERE)
        assert recorded.plan.spec.name == name
        drive(open_queue(recorded.plan, folder, Start())).state.results_file.write()
    [listed] = [line for line in vaeorch("list", "--out", out)[1].splitlines() if name in line]
    assert "finished" in listed and "damaged" not in listed
    assert vaeorch("rename", name, "plain", "--out", out)[0] == 0


def test_a_journal_that_is_begun_in_a_copied_folder_can_be_compared_with_its_spec(out):
    folder = swept(out, SPEC).rename(out / "tiny (copy)")
    (folder / "journal.jsonl").unlink()
    plan = read_recorded(Journal(folder), Workspace(out), folder.name, HERE).plan
    open_queue(plan, folder, Start())
    assert read_recorded(Journal(folder), Workspace(out), folder.name, HERE).changes == [
        'spec.yaml: name was "tiny", is "tiny (copy)"'
    ]
