"""`vaeorch remove`: all of a sweep goes and nothing else, whenever it is broken off."""

import shutil

import pytest

from orchestrator.commands import remove as verb
from orchestrator.storage import layout, locks
from orchestrator.storage.locks import driver
from orchestrator.tracking import sweep_runs
from tests.support.managed import in_store, recorded
from tests.support.one_slot import LOW
from tests.support.sweep_folders import swept


def left_in(out):
    return sorted(path.name for path in out.iterdir() if not path.name.startswith((".mlflow", "mlflow.db")))


def test_a_sweep_goes_with_its_runs_its_experiment_and_its_pictures(out, vaeorch):
    assert in_store(out) == {"a": ["sweep", "trial"], "b": ["sweep", "trial"]}
    assert list((out / "mlartifacts" / "a").rglob("*.png"))
    code, said, err = vaeorch("remove", "a", "--out", out, "--yes")
    assert (code, said, err) == (0, f"removed      {out / 'a'}\n", "")
    assert left_in(out) == ["b", "mlartifacts"] and left_in(out / "mlartifacts") == ["b"]
    assert in_store(out) == {"b": ["sweep", "trial"]}
    assert list((out / "mlartifacts" / "b").rglob("*.png"))


def test_a_name_that_was_removed_can_be_given_again_and_the_old_runs_do_not_come_back(out, vaeorch, a_store):
    assert vaeorch("remove", "a", "--out", out, "--yes")[0] == 0
    recorded(out, "a", a_store)
    assert in_store(out)["a"] == ["sweep", "trial"]


@pytest.mark.parametrize("moment", ["_remove_run", "_remove_experiment", "rename", "_remove_files", "rmdir"])
def test_a_removal_that_is_broken_off_is_finished_by_the_same_command(out, vaeorch, monkeypatch, moment):
    module = sweep_runs if hasattr(sweep_runs, moment) else verb
    target = verb.Path if moment in ("rename", "rmdir") else module
    done = getattr(target, moment)
    calls = []

    def broken_off(*values):
        calls.append(values)
        if moment == "_remove_run" and len(calls) == 1:  # the second run is in the way
            return done(*values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target, moment, broken_off)
        assert vaeorch("remove", "a", "--out", out, "--yes")[0] == 130
    assert calls
    code, _, err = vaeorch("remove", "a", "--out", out, "--yes")
    assert code == 0 or "there is no sweep or run" in err  # all but an empty folder was gone
    assert not (out / "a").exists() and in_store(out) == {"b": ["sweep", "trial"]}
    assert left_in(out) in (["b", "mlartifacts"], [".removed", "b", "mlartifacts"])
    assert not list(out.glob(".removed/*"))


def test_a_server_that_keeps_deleted_runs_does_not_bring_them_back(out, vaeorch, a_store, monkeypatch):
    """It has no way to forget them, and would restore an experiment with all that was in it."""
    monkeypatch.setattr(sweep_runs, "_forgets", lambda client: False)
    for _ in range(2):
        assert vaeorch("remove", "a", "--out", out, "--yes")[0] == 0
        assert "a" not in in_store(out)
        recorded(out, "a", a_store)
        assert in_store(out)["a"] == ["sweep", "trial"]
    kept = [name for name in in_store(out) if name.startswith("a (removed ")]
    assert len(kept) == 2 and in_store(out)["b"] == ["sweep", "trial"]


def test_half_removed_files_are_in_the_list(out, vaeorch, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(verb, "_remove_files", lambda half: exec("raise KeyboardInterrupt"))
        assert vaeorch("remove", "a", "--out", out, "--yes")[0] == 130
    said = vaeorch("list", "--out", out)[1]
    assert "half removed" in said and f"vaeorch remove a --out {out}" in said.splitlines()[-1]
    assert vaeorch("remove", "a", "--out", out)[:2] == (0, "removed      what was left of a\n")  # it was asked before
    assert left_in(out) == ["b", "mlartifacts"]


def test_a_running_sweep_is_never_removed(out, vaeorch):
    with driver(out / "a", locks.TRAINS):
        code, _, err = vaeorch("remove", "a", "--out", out, "--yes")
    assert code == 2 and "is running (process" in err and f"vaeorch stop a --out {out}" in err
    with driver(out / "a", locks.EVALUATES):
        assert "is being evaluated" in vaeorch("remove", "a", "--out", out, "--yes")[2]
    layout.sent_file(out, "a").parent.mkdir()
    layout.sent_file(out, "a").write_text("{}")
    assert "was sent to a cluster" in vaeorch("remove", "a", "--out", out, "--yes")[2]
    assert (out / "a" / layout.SPEC).exists() and in_store(out)["a"] == ["sweep", "trial"]


@pytest.mark.parametrize("answer", ["n\n", "", None])
def test_nothing_is_removed_without_a_yes(out, vaeorch, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin.isatty", lambda: answer is not None, raising=False)
    monkeypatch.setattr("click.confirm", lambda *words, **more: answer == "y")
    code, _, err = vaeorch("remove", "a", "--out", out)
    assert code == 2 and f"{out / 'a'}: a sweep, finished," in err and "with its runs and pictures in MLflow" in err
    assert (out / "a" / layout.SPEC).exists() and "a" in in_store(out)


def test_a_store_that_cannot_be_reached_keeps_the_sweep_unless_it_is_left_out(out, vaeorch):
    file = out / layout.STORE
    file.write_text("no database" * 100)
    code, _, err = vaeorch("remove", "a", "--out", out, "--yes")
    assert code == 2 and "file is not a database" in err and "--keep-mlflow" in err.splitlines()[-1]
    assert (out / "a" / layout.SPEC).exists()
    assert vaeorch("remove", "a", "--out", out, "--yes", "--keep-mlflow")[0] == 0
    assert not (out / "a").exists()


def test_a_sweep_whose_store_is_gone_is_removed_and_no_store_is_made(out, vaeorch):
    for file in out.glob("mlflow.db*"):
        file.unlink()
    assert vaeorch("remove", "a", "--out", out, "--yes")[0] == 0
    assert not (out / layout.STORE).exists() and not (out / "a").exists()


def test_what_is_no_sweep_is_not_removed(out, vaeorch):
    (out / "notes").mkdir()
    (out / "link").symlink_to(out / "a")
    cases = {
        "notes": "none of their files",
        "link": "is a link to",
        "none": "Sweeps and runs in",
        "mlartifacts": "no name",
    }
    for name, told in {**cases, "../runs": "no name", "": "no name", ".": "no name", ".removed": "no name"}.items():
        code, _, err = vaeorch("remove", name, "--out", out, "--yes")
        assert code == 2 and told in err and len(err.splitlines()) == 1, name
    assert left_in(out) == ["a", "b", "link", "mlartifacts", "notes"]


def test_a_damaged_sweep_and_one_without_a_record_can_be_removed(tmp_path, vaeorch):
    swept(tmp_path / "c", search=LOW, trials=2)
    (tmp_path / "c" / layout.SPEC).write_text("name: [")
    shutil.copytree(tmp_path / "c", tmp_path / "d")
    assert vaeorch("remove", "c", "--out", tmp_path, "--yes")[0] == 0
    assert left_in(tmp_path) == ["d"]
