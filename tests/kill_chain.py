"""Sweeps that are killed and resumed, on real Ray: they end as if nothing had been."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
from test_sweep import processes_with

from orchestrator import local_ray

HERE = Path(__file__).parent
SPEC = """\
name: tiny
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [16], latent_dim: 6}}
  data: {{name: digits, train_rows: 300, val_rows: 90}}
  batch_size: 32
  epochs: 4
search:
  optimizer.lr: {{grid: [3e-3, 1e-4, 1e18, 1e-3, 1e-2]}}
scheduler: {{name: asha, grace_epochs: 1, reduction_factor: 2}}
resources: {{cpus_per_worker: {cpus}}}
"""
MARK = f"resume-{uuid.uuid4()}"
ORDERLY = {signal.SIGINT: 130, signal.SIGTERM: 143}  # the exit codes
ORDERLY_S = 15.0
TOO_BUSY = "timed out during startup"  # what Ray says where it has not started after 30 s; then it is tried again


class Said(NamedTuple):
    """What came of a command line: exit code, words, how long after the signal it ended (if known), what it left."""

    code: int
    words: str
    seconds: float | None
    processes: list[str]


@pytest.fixture(scope="module")
def vaeorch(tmp_path_factory):
    """Runs command lines in processes of their own, with a signal at a point.

    Their words go to files: what is left of the Ray of a killed driver would hold a pipe open for a minute.
    """
    said = tmp_path_factory.mktemp("said") / "said"
    known = {"PYTHONPATH": str(HERE), "COLUMNS": "200"}
    command = [sys.executable, str(HERE / "fatal.py")]
    with subprocess.Popen(
        command, env=os.environ | known, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:

        def run(*words, point: dict | None = None) -> Said:
            mark = f"{MARK}-{uuid.uuid4()}"
            order = {"words": list(map(str, words)), "point": point or {}, "said": str(said), "mark": mark}
            print(json.dumps(order), file=server.stdin, flush=True)
            code, text = int(server.stdout.readline()), said.read_text()
            struck = re.findall(r"STRUCK (\S+)\n", text)  # a slot's words are lost
            seconds = time.time() - float(struck[-1]) if struck else None
            return Said(code, re.sub(r"STRUCK .*\n", "", text), seconds, processes_with(mark))

        yield run
        server.stdin.close()


def swept(out: Path) -> Path:
    spec = out / "tiny.yaml"
    spec.write_text(SPEC.format(cpus=local_ray.cpus()))
    return spec


@pytest.fixture(scope="module")
def unbroken(vaeorch, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    said = vaeorch("sweep", swept(out), "--out", out)
    assert said.code == 0, said.words
    return out


def journal_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "tiny" / "journal.jsonl").read_text().splitlines()]


def line_of(out: Path, *facts) -> int:
    """The line of the journal with the first event that has these facts."""
    found = [set(map(str, facts)) <= set(map(str, event.values())) for event in journal_of(out)]
    return found.index(True) + 1


def points(out: Path) -> list[dict]:
    """Where the driver is struck, in the order of the sweep; the lines are those of the unbroken journal."""
    at = {"signal": signal.SIGKILL}
    line = {"at": "journal"} | at
    return [
        line | {"line": line_of(out, "began", "0001"), "when": "after"},
        at | {"at": "checkpoint", "epoch": ["0001", 1]},
        line | {"line": line_of(out, "epoch", "0001", 1), "when": "before"},  # its rung is reached, and not yet decided
        at | {"at": "picture", "epoch": ["0001", 1]},  # it was decided
        line | {"line": line_of(out, "promoted"), "when": "after"},
        at | {"at": "metrics", "epoch": ["0001", 2]},
        at | {"at": "results", "trial": "0003"},
        line | {"line": line_of(out, "began", "0004"), "when": "after", "signal": signal.SIGTERM},
        at | {"at": "spool", "epoch": ["0004", 2]},
        line | {"line": line_of(out, "epoch", "0001", 4), "when": "after", "signal": signal.SIGINT},
        at | {"at": "acknowledged", "trial": "0005", "line": line_of(out, "epoch", "0005", 2)},
        at | {"at": "last results"},
        at | {"at": "sweep ended"},
        line | {"line": line_of(out, "finished"), "when": "amid"},
        at | {"at": "sending"},
    ]


@pytest.fixture(scope="module")
def broken(vaeorch, unbroken, tmp_path_factory) -> tuple[Path, list[tuple[dict, Said]]]:
    """The same sweep, struck at one point after the other, and resumed after each."""
    out = tmp_path_factory.mktemp("broken")
    words, told = ("sweep", swept(out)), []
    for point in [*points(unbroken), {}]:
        for _ in range(3):
            said = vaeorch(*words, "--out", out, point=point)
            words = ("resume", "tiny")
            if TOO_BUSY not in said.words:
                break
        told.append((point, said))
    return out, told


def test_every_process_ended_by_its_signal_and_the_last_by_itself(broken):
    *struck, (_, last) = broken[1]
    assert len(struck) >= 14
    for point, said in struck:
        assert said.code == ORDERLY.get(point["signal"], -signal.SIGKILL), (point, said.words)
        assert "Traceback" not in said.words
    assert last.code == 0, last.words
    assert "tiny: 5 trials by val/elbo" in last.words


def test_the_journal_is_that_of_the_unbroken_sweep_word_for_word(unbroken, broken):
    assert journal_of(broken[0])[1:] == journal_of(unbroken)[1:]
    assert journal_of(broken[0])[0]["trials"] == journal_of(unbroken)[0]["trials"]


def results_of(out: Path) -> str:
    return (out / "tiny" / "results.json").read_text().replace(str(out), "OUT")


def test_the_results_are_those_of_the_unbroken_sweep_bit_for_bit(unbroken, broken):
    assert results_of(broken[0]) == results_of(unbroken)


def test_the_trials_folders_hold_the_same(unbroken, broken):
    for mine, theirs in ((broken[0], unbroken), (unbroken, broken[0])):
        for path in (mine / "tiny" / "trials").rglob("*"):
            other = theirs / path.relative_to(mine)
            assert other.exists(), path
            if path.suffix in (".png", ".json"):
                assert path.read_bytes() == other.read_bytes(), path
            if path.name == "metrics.jsonl":
                lines = [
                    [json.loads(line) | {"seconds": 0} for line in file.read_text().splitlines()]
                    for file in (path, other)
                ]
                assert lines[0] == lines[1]


def without_seconds(file: Path) -> list[dict]:
    return [json.loads(line) | {"seconds": 0} for line in file.read_text().splitlines()]


def recorded(out: Path) -> dict[str, tuple]:
    """What MLflow has of each run: its end, its parameters, its tags, and the history of every metric."""
    from orchestrator.mlflow_store import connect, set_environment

    set_environment()
    client = connect(f"sqlite:///{out / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert len(runs) == 6
    found = {}
    for run in runs:
        histories = {
            name: sorted((point.step, repr(point.value)) for point in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        tags = {key: run.data.tags.get(key) for key in ("kind", "status", "stop_reason", "best_trial")}
        found[run.data.tags.get("trial_id", "sweep")] = (run.info.status, run.data.params, tags, histories)
        if run.data.tags["kind"] == "sweep":  # its best so far is told at every stop, and the last telling counts
            histories.update({name: repr(value) for name, value in run.data.metrics.items()})
    return found


def test_mlflow_has_each_epoch_of_each_trial_once_in_the_same_runs(unbroken, broken):
    mine, theirs = recorded(broken[0]), recorded(unbroken)
    assert mine == theirs
    assert [step for step, _ in mine["0001"][3]["val/elbo"]] == [1, 2, 3, 4]
    assert {key: run[0] for key, run in mine.items()} == dict.fromkeys(mine, "FINISHED")


def test_ctrl_c_and_sigterm_end_in_order_and_say_how_to_go_on(broken):
    orderly = [said for point, said in broken[1] if point.get("signal") in ORDERLY]
    assert len(orderly) == 2
    for said in orderly:
        assert said.words.splitlines()[-1] == f"resume       vaeorch resume tiny --out {broken[0]}"
        assert said.seconds < ORDERLY_S and said.processes == []


def test_what_was_done_is_not_shown_again(broken):
    words = "".join(said.words for _, said in broken[1])
    for what in (*(f"000{trial} started:" for trial in range(1, 6)), "0003 diverged", "0001 completed"):
        assert words.count(what) <= 1  # it is in the journal first, so a kill may leave it unsaid


def test_a_finished_sweep_is_told_again_and_nothing_changes(vaeorch, broken):
    def contents():
        return {path: path.read_bytes() for path in (broken[0] / "tiny").rglob("*") if path.is_file()}

    before = contents()
    said = vaeorch("resume", "tiny", "--out", broken[0])
    assert said.code == 0 and "tiny: 5 trials by val/elbo" in said.words
    assert contents() == before


def test_no_process_outlives_its_driver_for_long(broken):
    """Ray's agents look for their raylet once a minute."""
    deadline = time.monotonic() + 120
    while (left := processes_with(f"{MARK}-")) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []
