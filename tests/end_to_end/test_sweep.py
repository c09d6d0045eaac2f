"""Whole sweeps on real Ray: one for most of the facts, one that is broken off by Ctrl-C."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ruamel.yaml import YAML

from orchestrator.clusters.connection import THIS_MACHINE
from orchestrator.clusters.resources import cpus
from orchestrator.errors import UserError
from orchestrator.execution.run import run_sweep
from orchestrator.space.plan import Plan
from orchestrator.spec.records import SweepSpec
from orchestrator.sweep.folder import claim
from tests.support import ROOT
from tests.support.exposure import CANARY, SECRETS, assert_private
from tests.support.journals import journal_of
from tests.support.processes import processes_with
from tests.support.small_runs import a_run
from tests.support.sweeps import BAD, BEST, EPOCHS, GOOD, Recorder, spec_of, trials_of
from trainables.train import train

DIVERGES, FAILS = {"optimizer": {"lr": 1e18}}, {"data": {"name": "digits", "train_rows": 10**6}}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Five trials under ASHA on one slot, so that their order is known: outcome, tracker, console."""
    asha = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}
    one_slot = {"cpus_per_worker": cpus()}
    spec = spec_of("tiny", scheduler=asha, resources=one_slot, pictures={"top": 2})
    tracker, console = Recorder(), Recorder()
    folder = claim(tmp_path_factory.mktemp("out"), spec)
    outcome = run_sweep(Plan(spec, trials_of(GOOD, BAD, DIVERGES, FAILS, BEST)), folder, tracker, console)
    return outcome, tracker.told, console.told


def test_every_trial_ends_with_its_status_and_reason(swept):
    outcome = swept[0]
    found = [(trial["id"], trial["status"], trial["epochs"], trial["reason"]) for trial in outcome.results["trials"]]
    assert found[0] == ("0001", "completed", 4, None)
    assert found[1] == ("0002", "stopped", 2, "asha@2")
    assert found[2][:3] == ("0003", "diverged", 0) and "not finite at step" in found[2][3]
    assert found[3][:3] == ("0004", "failed", 0) and found[3][3].startswith("DataError: 1000000 rows asked for")
    assert found[4] == ("0005", "completed", 4, None)
    assert not outcome.interrupted


def test_results_file_is_the_outcome_with_its_checkpoints(swept):
    outcome = swept[0]
    written = json.loads((outcome.folder / "results.json").read_text())
    assert 0 < written.pop("events") <= len(journal_of(outcome.folder))
    assert written == outcome.results
    assert outcome.results["name"] == "tiny" and outcome.results["objective"] == {"metric": "val/elbo", "mode": "max"}
    for trial in outcome.results["trials"]:
        keys = ["id", "configuration", "config", "seed", "stage", "status", "epochs", "last", "best", "checkpoint"]
        assert list(trial) == [*keys, "reason", "retries"]
        assert Path(trial["checkpoint"]).exists() if trial["epochs"] else trial["checkpoint"] is None
    assert outcome.results["trials"][0]["config"] == GOOD
    assert [trial["retries"] for trial in outcome.results["trials"]] == [0, 0, 0, 1, 0]


def test_a_failed_trial_leaves_its_traceback(swept):
    text = (swept[0].folder / "trials" / "0004" / "error.txt").read_text()
    assert text.count("Failure #") == 2 and "in load" in text  # tried twice; the line that raised it


@pytest.mark.parametrize(("trial", "change"), [("0001", GOOD), ("0002", BAD), ("0005", BEST)])
def test_a_trial_that_paused_has_the_numbers_of_an_unbroken_run(swept, trial, change):
    told = {event[2]: event[3] for event in swept[1] if event[:2] == ("epoch", trial)}
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus())  # as in the slot
    unbroken = {report.epoch: report.metrics for report in train(a_run(epochs=EPOCHS, **change))}
    torch.set_num_threads(threads)
    assert told == {epoch: unbroken[epoch] for epoch in told} and len(told) == {"0002": 2}.get(trial, 4)


def test_trials_pause_and_go_on_as_the_core_says(swept):
    told = [event[:2] for event in swept[2] if event[0] in ("trial_started", "trial_paused", "trial_resumed")]
    assert told == [
        ("trial_started", "0001"),
        ("trial_paused", "0001"),
        ("trial_started", "0002"),
        ("trial_paused", "0002"),
        ("trial_resumed", "0001"),
        ("trial_paused", "0001"),
        ("trial_started", "0003"),  # diverges: with it there are three at rung 1
        ("trial_started", "0004"),  # fails, is tried again, fails
        ("trial_resumed", "0004"),
        ("trial_resumed", "0002"),  # four at rung 1: the second goes on, and 0001 with it at rung 2
        ("trial_paused", "0002"),
        ("trial_resumed", "0001"),
        ("trial_started", "0005"),  # the best so far never pauses
    ]


def test_each_epoch_is_told_once_and_in_order(swept):
    for told in swept[1:]:
        epochs = [event[1:3] for event in told if event[0] == "epoch"]
        of_each = {trial: [epoch for name, epoch in epochs if name == trial] for trial, _ in epochs}
        assert of_each == {"0001": [1, 2, 3, 4], "0002": [1, 2], "0005": [1, 2, 3, 4]}


def test_the_best_trials_alone_are_drawn_from_their_best_epochs_once_all_have_ended(swept):
    outcome, tracker, console = swept
    names = [event[0] for event in tracker]
    told = [event[1:] for event in tracker if event[0] == "pictures"]
    best = {trial["id"]: trial["best"].get("epoch") for trial in outcome.results["trials"]}
    assert [(name, epoch) for name, epoch, _ in told] == [("0005", best["0005"]), ("0001", best["0001"])]
    assert names.index("pictures") > max(at for at, name in enumerate(names) if name == "trial_ended")
    assert [event[1:] for event in console if event[0] == "drawing"] == [(0, 2), (1, 2), (2, 2)]
    paths = [path for *_, paths in told for path in paths]
    assert sorted(paths) == sorted(outcome.folder.glob("trials/*/pictures/*/*")) and paths
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_listeners_hear_of_ends_and_of_the_best_trial(swept):
    outcome, *listeners = swept
    best = {key: value for key, value in outcome.results["trials"][4]["best"].items() if value is not None}
    for told in listeners:
        ends = {event[1]: event[2] for event in told if event[0] == "trial_ended"}
        assert ends == {trial["id"]: trial["status"] for trial in outcome.results["trials"]}
        assert told[-1] == ("sweep_ended", "completed", best, {"best_trial": "0005"})


SCRIPT = """
import json, sys
from pathlib import Path
from tests.support.journals import journal_of
from tests.support.sweeps import Recorder, spec_of, trials_of
from orchestrator.execution.run import run_sweep
from orchestrator.sweep.folder import claim
from orchestrator.space.plan import Plan
from orchestrator.clusters.resources import cpus

class Loud(Recorder):
    def epoch(self, *values):
        print("epoch", flush=True)

spec = spec_of("long", 10_000, scheduler={"name": "none"}, resources={"cpus_per_worker": cpus()})
trials = trials_of({}, {"seed": 1}, {"seed": 2}, epochs=10_000)
outcome = run_sweep(Plan(spec, trials), claim(Path(sys.argv[1]), spec), Recorder(), Loud())
sys.exit(130 if outcome.interrupted else 0)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_sweep_is_private_and_ctrl_c_leaves_results_and_no_process_and_no_scratch(tmp_path):
    mark = f"MARK_OF_{tmp_path.name}_{os.getpid()}"
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as scratch:
        known = {"PYTHONPATH": str(ROOT), "TMPDIR": scratch, "VAEORCH_TEST": mark} | SECRETS
        command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        process = subprocess.Popen(
            command, env=os.environ | known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout:
            if line == "epoch\n":
                break
        assert_private(mark, Path(scratch), least=5)
        assert any(command.startswith("ray::") for command in processes_with(CANARY))  # a slot may need the secrets
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 130, said
        assert not set(said.splitlines()) - {"epoch"}  # Ray has nothing to say
        assert processes_with(mark) == []
        assert list(Path(scratch).iterdir()) == []
    results = json.loads((tmp_path / "long" / "results.json").read_text())
    assert {(trial["status"], trial["reason"]) for trial in results["trials"]} == {("stopped", "interrupted")}
    assert any(trial["epochs"] and Path(trial["checkpoint"]).exists() for trial in results["trials"])


def test_a_folder_that_holds_another_sweep_is_refused(tmp_path):
    spec = spec_of("taken")
    folder = claim(tmp_path, spec)
    before = (folder / "spec.yaml").read_text()
    with pytest.raises(UserError, match="taken: holds another sweep"):
        claim(tmp_path, spec_of("taken", epochs=2))
    assert (folder / "spec.yaml").read_text() == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(UserError, match="holds other files"):
        claim(tmp_path, spec_of("thesis"))


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        claim(tmp_path / "runs", spec_of("a"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_told_before_anything_starts(tmp_path, monkeypatch, number):
    def full(path, text):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("orchestrator.sweep.folder.write_whole", full)  # no such disk can be had without root
    with pytest.raises(UserError, match=os.strerror(number)):
        claim(tmp_path, spec_of("a"))


def test_the_spec_in_the_folder_is_the_sweeps_own(tmp_path):
    spec = spec_of("own", search={"method.beta": {"loguniform": [0.1, 1.0]}, "seed": {"grid": [1, 2]}}, trials=2)
    text = (claim(tmp_path, spec) / "spec.yaml").read_text()
    assert SweepSpec.model_validate_json(json.dumps(YAML(typ="safe", pure=True).load(text))) == spec


def resources(cpus: float = 1, gpus: float = 0) -> SimpleNamespace:
    return SimpleNamespace(workers=1, cpus_per_worker=cpus, gpus_per_worker=gpus, placement="PACK")


@pytest.mark.parametrize(
    ("have", "asked", "slots"),
    [
        ((8, 0), resources(1), 8),
        ((8, 0), resources(3), 2),
        ((2, 0), resources(0.5), 4),
        ((8, 2), resources(1, 1), 2),
        ((8, 2), resources(1, 0.4), 4),  # two on each: a trial's share lies on one GPU
        ((4, 4), resources(2, 1), 2),
        ((8, 4), resources(1, 2), 2),
    ],
)
def test_slots_are_what_the_machine_has_room_for(monkeypatch, have, asked, slots):
    monkeypatch.setattr("orchestrator.clusters.connection.cpus", lambda: have[0])
    monkeypatch.setattr("orchestrator.clusters.connection.gpus", lambda: have[1])
    assert THIS_MACHINE.slots(asked) == slots


def test_resources_that_the_machine_has_not_are_told_all_at_once(monkeypatch):
    monkeypatch.setattr("orchestrator.clusters.connection.cpus", lambda: 2)
    monkeypatch.setattr("orchestrator.clusters.connection.gpus", lambda: 0)
    with pytest.raises(UserError) as caught:
        THIS_MACHINE.slots(resources(4, 1))
    assert caught.value.lines == (
        "resources.cpus_per_worker: a trial needs 4 cpus, this machine has 2.",
        "resources.gpus_per_worker: a trial needs 1 gpus, this machine has 0.",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Failure # 1 (occurred at 2026-01-01_00-00-00)\n\x1b[36mray::X.train()\x1b[39m (pid=1)\n"
            '  File "a.py", line 1, in f\n    g()\n    ^^^\nValueError: first\n'
            "Failure # 2 (occurred at 2026-01-01_00-00-01)\n\x1b[36mray::X.train()\x1b[39m (pid=2)\n"
            '  File "a.py", line 1, in f\n    g()\n    ^^^\ntrainables.common.errors.DataError: no rows\nin it\n',
            "DataError: no rows",
        ),
        (
            "Failure # 1 (occurred at 2026-01-01_00-00-00)\nThe actor died unexpectedly before finishing this task.\n"
            "\tpid: 7\nThe actor is dead because its worker process has died.\n",
            "The actor died unexpectedly before finishing this task.",
        ),
        ("", "unknown"),
    ],
)
def test_the_reason_of_a_failure_is_its_last_exception(text, reason):
    from orchestrator.execution.tune import reason_of

    assert reason_of(text) == reason
