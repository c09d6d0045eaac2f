"""`vaeorch rename`: a sweep is the same under its new name, here and in MLflow, whenever it is broken off."""

import json
import socket

import pytest

from orchestrator.commands import rename as verb
from orchestrator.storage import layout, locks
from orchestrator.storage.locks import driver
from orchestrator.sweep.folder import recorded_spec
from orchestrator.tracking import sweep_runs
from orchestrator.tracking.client import connect
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.store_address import default_store
from orchestrator.tracking.tracker import Tracker, sync
from orchestrator.tracking.ui import page
from tests.support.managed import VIEW, in_store, parent_of
from tests.support.one_slot import LOW
from tests.support.sweep_folders import swept, write_epochs

BOTH = ["sweep", "trial"]


def renamed(out):
    """That the sweep `a` is `c`, whole, everywhere."""
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["b", "c", "mlartifacts"]
    assert recorded_spec(out / "c").name == "c"
    assert json.loads((out / "c" / layout.RESULTS).read_text())["name"] == "c"
    assert in_store(out) == {"b": BOTH, "c": BOTH}
    run = parent_of(out, "c")
    assert (run.info.run_name, run.data.tags["sweep"]) == ("c", "c")


def test_a_sweep_has_its_new_name_in_its_folder_its_files_and_in_mlflow(out, vaeorch):
    before = parent_of(out, "a").info.run_id
    assert vaeorch("rename", "a", "c", "--out", out) == (0, f"renamed      {out / 'c'}\n", "")
    renamed(out)
    assert parent_of(out, "c").info.run_id == before  # links to it stay
    assert "viewStateShareKey" in page(out / "c", recorded_store(out / "c"), "http://x")
    code, said, _ = vaeorch("results", "c", "--out", out)
    assert code == 0 and said.startswith("c: 2 trials")
    assert vaeorch("sync", "c", "--out", out)[:2] == (0, "Everything is sent.\n")
    assert in_store(out) == {"b": BOTH, "c": BOTH}


def test_the_pictures_of_a_renamed_sweep_are_found_also_where_its_folder_is_moved(out, vaeorch):
    assert vaeorch("rename", "a", "c", "--out", out)[0] == 0
    there = out.rename(out.with_name("moved"))
    client = connect(default_store(there))
    run = parent_of(there, "c").info
    assert str(there) in run.artifact_uri
    [trial] = client.search_runs([run.experiment_id], "tags.kind = 'trial'")
    assert [file.path for file in client.list_artifacts(trial.info.run_id)] == ["images"]


def test_a_renamed_sweep_goes_on_in_its_runs(out, vaeorch):
    assert vaeorch("rename", "a", "c", "--out", out)[0] == 0
    tracker = Tracker(default_store(out), "c", "c", out / "c")
    tracker.sweep_started("# A sweep", "name: c", {}, {"name": "digits", "source": "x"}, VIEW)
    tracker.trial_started("0002", {}, "0002")
    tracker.trial_ended("0002", "completed")
    assert not tracker.close(60.0)
    assert in_store(out) == {"b": BOTH, "c": [*BOTH, "trial"]}
    assert parent_of(out, "c").info.run_name == "c"


@pytest.mark.parametrize("moment", ["identity", "results_file", "rename", "follow_rename", "_rename_run"])
def test_a_renaming_that_is_broken_off_is_finished_by_the_same_command(out, vaeorch, monkeypatch, moment):
    targets = {"rename": verb.Path, "_rename_run": sweep_runs, "follow_rename": verb}
    target, name = targets.get(moment, getattr(verb, moment, None)), moment if moment in targets else "rename"

    def broken_off(*values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target, name, broken_off)
        assert vaeorch("rename", "a", "c", "--out", out)[0] == 130
    code, _, err = vaeorch("rename", "a", "c", "--out", out)
    assert code == 0, err
    renamed(out)


def test_a_renaming_that_was_broken_off_can_be_left_so(out, vaeorch, monkeypatch):
    """The folder's name counts: `resume`, `results` and `list` go by it."""

    def broken_off(*values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb.Path, "rename", broken_off)
        assert vaeorch("rename", "a", "c", "--out", out)[0] == 130
    assert [entry["name"] for entry in json.loads(vaeorch("list", "--out", out, "--json")[1])].count("a") == 1
    assert vaeorch("rename", "a", "d", "--out", out)[0] == 0  # another name after all
    assert in_store(out) == {"b": BOTH, "d": BOTH} and recorded_spec(out / "d").name == "d"


def test_a_store_that_is_down_learns_of_it_later(out, vaeorch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = f"http://127.0.0.1:{server.getsockname()[1]}"  # closed again before it is used
    file, uri = out / "a" / "spool" / "identity.json", None
    file.write_text(json.dumps(json.loads(file.read_text()) | {"uri": refusing}))
    code, said, _ = vaeorch("rename", "a", "c", "--out", out)
    assert code == 0 and f"until it is sent: vaeorch sync c --out {out}" in said.splitlines()[-1]
    file = out / "c" / "spool" / "identity.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"uri": uri}))
    assert in_store(out) == {"a": BOTH, "b": BOTH}
    assert not sync(out / "c")
    renamed(out)


def test_runs_that_share_their_experiment_leave_it(out, vaeorch):
    """As on a server that several folders of sweeps send to: the others keep theirs."""
    client = connect(default_store(out))
    client.create_run(client.get_experiment_by_name("a").experiment_id, tags={"kind": "other"})
    assert vaeorch("rename", "a", "c", "--out", out)[0] == 0
    assert in_store(out) == {"a": ["other"], "b": BOTH}
    assert not sync(out / "c")
    assert in_store(out) == {"a": ["other"], "b": BOTH, "c": BOTH}


def test_names_that_cannot_be_had_are_refused_in_a_line(out, vaeorch):
    (out / "notes").mkdir()
    cases = {
        "b": "is there already",
        "notes": "is there already",
        "a/b": "is no name",
        "mlflow.db": "is no name",
        "x y": "no plain folder name",
        ".c": "no plain folder name",
    }
    for new, told in cases.items():
        code, _, err = vaeorch("rename", "a", new, "--out", out)
        assert code == 2 and told in err and len(err.splitlines()) == 1, new
    code, _, err = vaeorch("rename", "none", "c", "--out", out)
    assert code == 2 and "Sweeps and runs in" in err
    assert in_store(out) == {"a": BOTH, "b": BOTH} and (out / "a" / layout.SPEC).exists()


def test_a_running_sweep_keeps_its_name(out, vaeorch):
    with driver(out / "a", locks.TRAINS):
        code, _, err = vaeorch("rename", "a", "c", "--out", out)
    assert code == 2 and "is running" in err and (out / "a").exists()


def test_only_the_name_is_changed_in_the_spec_and_a_number_stays_a_name(tmp_path, vaeorch):
    folder = swept(tmp_path / "a", search=LOW, trials=2)
    before = (folder / layout.SPEC).read_text()
    (folder / layout.SPEC).write_text(f"# mine\n{before}")
    assert vaeorch("rename", "a", "2024", "--out", tmp_path)[0] == 0
    text = (tmp_path / "2024" / layout.SPEC).read_text()
    assert text == f"# mine\n{before}".replace("name: a\n", 'name: "2024"\n')
    assert recorded_spec(tmp_path / "2024").name == "2024"


def test_a_run_is_renamed_too(tmp_path, vaeorch):
    folder = write_epochs(tmp_path / "a", "val/elbo", [1.0, 2.0])
    config = {"id": "a", "config": {}, "seed": 0, "run": {"epochs": 2}}
    (folder / layout.CONFIG).write_text(json.dumps(config))
    assert vaeorch("rename", "a", "c", "--out", tmp_path)[0] == 0
    assert json.loads((tmp_path / "c" / layout.CONFIG).read_text()) == config | {"id": "c"}
    [entry] = json.loads(vaeorch("results", "c", "--out", tmp_path, "--format", "json")[1])["trials"]
    assert (entry["id"], entry["epochs"]) == ("c", 2)
