"""`vaeorch watch` and `vaeorch stop`: the very process that trains is shown, and ended in order."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest

from orchestrator.commands import watch
from orchestrator.space.trials import list_trials
from orchestrator.storage import layout, locks
from orchestrator.storage.locks import Holder, driver, holder
from tests.support import ROOT
from tests.support.one_slot import LOW, spec_of
from tests.support.sweep_folders import swept, write_epochs
from tests.support.trainers import training, write
from tests.support.waiting import until


@pytest.fixture
def running(tmp_path):
    """A sweep that a process trains: it has the first five lines of its journal, and writes the rest when told to."""
    folder = swept(tmp_path / "runs" / "a", search=LOW, trials=4)
    file, rest = folder / layout.JOURNAL, tmp_path / "rest"
    first, *lines = file.read_bytes().splitlines(keepends=True)
    trials = list(map(asdict, list_trials(spec_of(LOW, trials=4))))
    lines = [json.dumps(json.loads(first) | {"trials": trials}).encode() + b"\n", *lines]
    file.write_bytes(b"".join(lines[:5]))
    rest.write_bytes(b"".join(lines[5:]))
    with training(folder, rest) as process:
        yield folder, process


def test_a_sweep_is_watched_until_it_ends(running, vaeorch, monkeypatch):
    folder, process = running
    looks = []

    def look(*values):
        looks.append(values)
        if len(looks) == 2:  # from then on the sweep goes on, and ends
            write(process)
            process.stdin.close()
            process.wait()
        return real(*values)

    real = watch.show
    monkeypatch.setattr(watch, "show", look)
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    code, said, err = vaeorch("watch", "a", "--out", folder.parent)
    assert (code, err) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "a: 4 trials" and "best so far: val/elbo" in lines[1]
    assert sum(" completed | " in line or " stopped" in line for line in lines) == 4
    assert not any(line.startswith("0001 started") for line in lines)  # it had begun before
    assert any(line.startswith("0004 started: lr=") for line in lines)
    assert lines[-1] == f"It has finished. Its results: vaeorch results a --out {folder.parent}"


def test_ctrl_c_ends_the_watching_and_not_the_sweep(running):
    folder, process = running
    command = [sys.executable, "-m", "orchestrator", "watch", "a", "--out", str(folder.parent)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout.readline() == "a: 4 trials\n"
        watching.send_signal(signal.SIGINT)
        said = watching.stdout.read()
    assert watching.returncode == 130 and "It goes on. Watch it again: vaeorch watch a" in said
    assert process.poll() is None and holder(folder).pid == process.pid


def test_a_run_is_watched_like_it_trains(tmp_path, vaeorch, monkeypatch):
    folder = write_epochs(tmp_path / "a", "val/elbo", [1.0, 2.0])
    config = {"id": "a", "config": {}, "seed": 0, "run": {"epochs": 3}}
    (folder / layout.CONFIG).write_text(json.dumps(config))
    text = (folder / layout.METRICS).read_text()
    with training(folder) as process:

        def go_on():
            (folder / layout.METRICS).write_text(
                text + json.dumps(json.loads(text.splitlines()[1]) | {"epoch": 3}) + "\n"
            )
            process.stdin.close()

        threading.Timer(1.0, go_on).start()
        code, said, _ = vaeorch("watch", "a", "--out", tmp_path)
    assert code == 0
    assert [line.split()[1] for line in said.splitlines() if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert said.splitlines()[-1].startswith("It has finished.")


def test_a_sweep_is_stopped_by_a_signal_to_its_own_process(running, tmp_path, vaeorch):
    folder, process = running
    other = swept(folder.parent / "b", lines=5, search=LOW, trials=4)
    with training(other) as bystander:
        code, said, err = vaeorch("stop", "a", "--out", folder.parent)
        assert (code, err) == (0, "")
        assert process.wait() == 143 and bystander.poll() is None
    first, second, third = said.splitlines()
    assert first == f"stopping     {folder} (process {process.pid})" and second.startswith("stopped ")
    assert third.endswith(f"Go on: vaeorch resume a --out {folder.parent}") and "is interrupted after" in third


def test_a_real_run_is_stopped_in_order_and_goes_on(spec, tmp_path, vaeorch):
    words = ["train", str(spec), "--out", str(tmp_path), "--set", "run.epochs=4000"]
    command = [sys.executable, "-m", "orchestrator", *words]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as process:
        metrics = tmp_path / "tiny" / layout.METRICS
        until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 1, 120)
        assert vaeorch("list", "--out", tmp_path)[1].count(" running ") == 1
        code, said, _ = vaeorch("stop", "tiny", "--out", tmp_path)
        told = process.communicate()[0]
    assert (code, process.returncode) == (0, 143) and "The same command goes on from here." in told, told
    assert "Go on: the same `vaeorch train`" in said.splitlines()[-1]
    [entry] = json.loads(vaeorch("list", "--out", tmp_path, "--json")[1])
    assert (entry["kind"], entry["state"]) == ("run", "interrupted") and 0 < entry["done"] < entry["of"] == 4000


@pytest.mark.parametrize("verb", ["stop", "watch"])
def test_what_does_not_run_is_told_so_with_the_way_on(tmp_path, vaeorch, verb):
    swept(tmp_path / "whole", search=LOW, trials=2)
    swept(tmp_path / "cut", lines=5, search=LOW, trials=2)
    swept(tmp_path / "far", lines=5, search=LOW, trials=2)
    layout.sent_file(tmp_path, "far").parent.mkdir()
    layout.sent_file(tmp_path, "far").write_text("{}")
    ways = {"whole": "vaeorch results whole", "cut": "vaeorch resume cut", "far": "vaeorch cluster attach far"}
    for name, way in ways.items():
        code, said, err = vaeorch(verb, name, "--out", tmp_path)
        assert (code, said) == (2, "") and "does not run." in err and way in err and len(err.splitlines()) == 1
    code, _, err = vaeorch(verb, "none", "--out", tmp_path)
    assert code == 2 and "Sweeps and runs in" in err


def test_an_evaluation_is_not_stopped(tmp_path, vaeorch):
    folder = swept(tmp_path / "a", search=LOW, trials=2)
    with driver(folder, locks.EVALUATES):
        code, _, err = vaeorch("stop", "a", "--out", tmp_path)
    assert code == 2 and f"is being evaluated (process {os.getpid()} on {socket.gethostname()})" in err


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"host": "gpu7"}, "On that host: vaeorch stop a"), (None, "by an earlier version of vaeorch")],
)
def test_a_process_that_cannot_be_reached_from_here_is_left_to_the_user(tmp_path, vaeorch, changes, told):
    folder = swept(tmp_path / "a", lines=5, search=LOW, trials=2)
    with driver(folder, locks.TRAINS):
        own = json.loads((folder / layout.DRIVER_LOCK).read_text())
        (folder / layout.DRIVER_LOCK).write_text(json.dumps(own | changes) if changes else "")
        code, _, err = vaeorch("stop", "a", "--out", tmp_path)
    assert code == 2 and told in err and len(err.splitlines()) == 1


def test_a_number_that_another_process_was_given_is_sent_no_signal(tmp_path, monkeypatch):
    from orchestrator.commands import stop

    folder = swept(tmp_path / "a", lines=5, search=LOW, trials=2)
    sent = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *values: sent.append(values), raising=False)
    monkeypatch.setattr(os, "kill", lambda *values: sent.append(values))
    if hasattr(os, "pidfd_open"):
        stop._signal(folder, Holder(locks.TRAINS, socket.gethostname(), os.getpid(), "1"))
        assert sent == []
