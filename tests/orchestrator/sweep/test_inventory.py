"""What `vaeorch list` knows of folders: whole ones, running ones, and what is left of damaged ones."""

import errno
import json
import math
import shutil

import pytest

from orchestrator.space.plan import Plan
from orchestrator.space.trials import list_trials
from orchestrator.storage import layout, locks
from orchestrator.storage.locks import driver
from orchestrator.sweep.extension import Wanted
from orchestrator.sweep.inventory import begun, entry_of, inventory, names_in, size_of
from tests.support.one_slot import LOW, RATES, drive, extended, opened, spec_of
from tests.support.sweep_folders import swept, write_epochs


def lone_run(folder, values, epochs=3):
    write_epochs(folder, "val/elbo", values)
    config = {"id": folder.name, "config": {}, "seed": 0, "run": {"epochs": epochs}}
    (folder / layout.CONFIG).write_text(json.dumps(config))
    return folder


def test_a_finished_sweep_has_all_its_trials_and_the_best_value_of_its_results(tmp_path):
    folder = swept(tmp_path / "a", search=LOW, trials=4)
    entry = entry_of(folder)
    best = max(trial["best"]["val/elbo"] for trial in json.loads((folder / layout.RESULTS).read_text())["trials"])
    assert (entry.name, entry.kind, entry.state) == ("a", "sweep", "finished")
    assert (entry.done, entry.of, entry.metric, entry.best) == (4, 4, "val/elbo", best)
    assert entry.bytes == size_of(folder) > 0


def test_a_killed_sweep_is_interrupted_and_its_best_value_is_that_of_its_journal(tmp_path):
    folder = swept(tmp_path / "a", lines=8, search=LOW, trials=4)
    (folder / layout.JOURNAL).open("a").write('{"event":"epoch","tri')  # the kill came within a line
    entry = entry_of(folder)
    events = [json.loads(line) for line in (folder / layout.JOURNAL).read_text().splitlines()[:-1]]
    values = [event["metrics"]["val/elbo"] for event in events if event["event"] == "epoch"]
    assert (entry.state, entry.of, entry.best) == ("interrupted", 4, max(values))
    assert entry.done == sum(event["event"] == "ended" for event in events)


def test_the_lock_tells_what_is_done_in_a_folder(tmp_path):
    folder = swept(tmp_path / "a", lines=8, search=LOW, trials=4)
    for work, state in ((locks.TRAINS, "running"), (locks.EVALUATES, "evaluating"), (locks.WORKS, "in use")):
        with driver(folder, work):
            assert entry_of(folder).state == state
    assert entry_of(folder).state == "interrupted"


def test_a_trial_that_diverged_is_not_the_best(tmp_path):
    folder = swept(tmp_path / "a", search=RATES, scheduler={"name": "none"})
    with driver(folder, locks.TRAINS):  # then it is read from the journal
        running = entry_of(folder)
    assert math.isclose(running.best, entry_of(folder).best)


def test_a_run_tells_of_its_epochs(tmp_path):
    whole, cut = entry_of(lone_run(tmp_path / "a", [1.0, 3.0, 2.0])), entry_of(lone_run(tmp_path / "b", [1.0]))
    assert (whole.kind, whole.state, whole.done, whole.of, whole.best) == ("run", "finished", 3, 3, 3.0)
    assert (cut.state, cut.done, cut.of) == ("interrupted", 1, 3)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / layout.ORIGIN).write_text("[]")  # killed in its first epoch
    assert entry_of(tmp_path / "c").state == "interrupted"


def test_a_sweep_that_was_sent_to_a_cluster_is_there_until_its_results_are_home(tmp_path):
    (tmp_path / layout.SENT).mkdir()
    for name in ("a", "b", "c"):
        layout.sent_file(tmp_path, name).write_text("{}")
    swept(tmp_path / "a", lines=8, search=LOW, trials=4)
    swept(tmp_path / "b", search=LOW, trials=4)
    assert {entry.name: entry.state for entry in inventory(tmp_path)} == {
        "a": "on a cluster", "b": "finished", "c": "on a cluster"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (layout.SPEC, "name: ["),
        (layout.SPEC, None),
        (layout.RESULTS, "{"),
        (layout.RESULTS, '{"name": "b", "objective": {}, "trials": []}'),
        (layout.JOURNAL, 'torn{\n{"event":"finished"}\n'),
        (layout.JOURNAL, '{"event":"ended"}\n{"event":"finished"}\n'),
    ],
)
def test_a_damaged_folder_is_shown_with_its_damage_and_does_not_break_the_list(tmp_path, file, content):
    swept(tmp_path / "a", search=LOW, trials=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / file).unlink()
    if content is not None:
        (tmp_path / "b" / file).write_text(content)
    found = {entry.name: entry for entry in inventory(tmp_path)}
    assert (found["a"].state, found["b"].state) == ("finished", "damaged")
    assert str(tmp_path / "b") in found["b"].note and "\n" not in found["b"].note and found["b"].bytes > 0


def test_folders_where_there_are_no_locks_are_listed(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks")

    swept(tmp_path / "a", search=LOW, trials=2)
    (tmp_path / "a" / layout.DRIVER_LOCK).touch()
    monkeypatch.setattr("fcntl.flock", flock)
    assert [entry.state for entry in inventory(tmp_path)] == ["finished"]


def test_a_damaged_run_is_shown_with_its_damage(tmp_path):
    lone_run(tmp_path / "a", [1.0])
    (tmp_path / "a" / layout.CONFIG).write_text("{}")
    assert entry_of(tmp_path / "a").state == "damaged"


def test_what_is_no_sweep_is_not_in_the_list(tmp_path):
    swept(tmp_path / "a", search=LOW, trials=2)
    for name in ("mlartifacts", "prepared", ".jobs", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "mlflow.db").touch()
    assert [entry.name for entry in inventory(tmp_path)] == names_in(tmp_path) == ["a"]
    assert inventory(tmp_path / "absent") == names_in(tmp_path / "absent") == []


def test_the_newest_is_the_first(tmp_path):
    for name, time in (("a", 2000), ("b", 3000), ("c", 1000)):
        spool = swept(tmp_path / name, search=LOW, trials=2) / layout.SPOOL
        spool.mkdir()
        (spool / "sweep.jsonl").write_text(json.dumps({"kind": "started", "time": time}) + "\n")
    assert [entry.name for entry in inventory(tmp_path)] == ["b", "a", "c"]
    assert begun(tmp_path / "b") == 3.0


def test_an_extended_sweep_counts_its_new_trials_until_it_has_ended_again(tmp_path):
    spec = spec_of(LOW, trials=3, scheduler={"name": "none"})
    folder = swept(tmp_path / "a", search=LOW, trials=3, scheduler={"name": "none"})
    plan = Plan(spec, list_trials(spec))
    plan = extended(folder, plan, Wanted(trials=2, epochs=1))
    entry = entry_of(folder)
    assert (entry.state, entry.done, entry.of) == ("interrupted", 2, 5)  # the best trains on
    drive(opened(folder, plan.spec, plan=plan))
    assert (entry_of(folder).state, entry_of(folder).done) == ("finished", 5)
