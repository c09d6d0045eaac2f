"""A sweep that is killed and resumed at one point after the other, on real Ray: it ends as if nothing had been.

Then another, on two slots, whose real MLflow server fails as well.

Most of its lives are on a Ray that outlives them, as a cluster does; some have one of their own, which ends with them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from orchestrator.clusters import local as local_ray
from orchestrator.clusters.resources import cpus
from orchestrator.tracking.client import connect, set_environment
from tests.support import ROOT
from tests.support.fatal import Server
from tests.support.journals import journal_of
from tests.support.processes import processes_with
from tests.support.waiting import until
from trainables.run import Run
from trainables.train import train

SPEC = """\
name: tiny
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [16], latent_dim: 2}}
  data: {{name: circle, train_rows: 300, val_rows: 90}}
  batch_size: 32
  epochs: 4
search:
  optimizer.lr: {{grid: {rates}}}
scheduler: {scheduler}
resources: {{cpus_per_worker: {cpus}}}
"""
ONE_SLOT = {"rates": "[3e-3, 1e-4, 1e18, 1e-3, 1e-2]", "cpus": cpus()}
ONE_SLOT |= {"scheduler": "{name: asha, grace_epochs: 1, reduction_factor: 2}"}
TWO_SLOTS = {"rates": "[3e-3, 1e-4, 1e-3, 1e-2]", "cpus": cpus() / 2, "scheduler": "{name: none}"}
MARK = f"resume-{uuid.uuid4()}"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, None: 2}  # with which a driver ends by itself
ORDERLY = (signal.SIGINT, signal.SIGTERM)
ORDERLY_S = 120.0  # on a machine with much other work


class Said(NamedTuple):
    """What came of a command line: exit code, words, how long after the signal it ended (if known), what it left."""

    code: int
    words: str
    seconds: float | None
    processes: list[str]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """Environment variables for all that is started here."""
    scratch = tempfile.mkdtemp(dir="/tmp", prefix="t-")  # of killed drivers: Ray's sockets want a short path
    known = {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "TMPDIR": scratch}
    known["FATAL"] = str(tmp_path_factory.mktemp("fatal") / "point")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in known.items():
            patch.setenv(name, value)
        patch.setattr(tempfile, "tempdir", None)  # what it knows of TMPDIR
        set_environment()
        yield
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def lasting_ray(surroundings) -> str:
    """The address of a Ray that outlives the drivers."""
    with local_ray.private_ray(gpus_used=False, dashboard=False):
        import ray

        yield ray.get_runtime_context().gcs_address


def test_trials_have_the_priority_of_who_started_the_sweep(lasting_ray):
    import ray

    nice = ray.remote(num_cpus=1)(lambda: os.nice(0))
    assert ray.get(nice.remote()) == os.nice(0)


@pytest.fixture(scope="module")
def vaeorch(lasting_ray, tmp_path_factory):
    """Runs command lines in processes of their own, with a signal at a point.

    Their words go to files: what is left of the Ray of a killed driver would hold a pipe open for a minute.
    """
    said = tmp_path_factory.mktemp("said") / "said"
    command = [sys.executable, "-m", "tests.support.fatal"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def run(*words, point: dict | None = None, alone: bool = False) -> Said:
            order = {"words": list(map(str, words)), "point": point or {}, "said": str(said)}
            order |= {"mark": (mark := f"{MARK}-{uuid.uuid4()}"), "address": None if alone else lasting_ray}
            print(json.dumps(order), file=server.stdin, flush=True)
            code, text = int(server.stdout.readline()), said.read_text()
            struck = re.findall(r"STRUCK (\S+)\n", text)  # a slot's words are lost
            seconds = time.time() - float(struck[-1]) if struck else None
            return Said(code, re.sub(r"STRUCK .*\n", "", text), seconds, processes_with(mark))

        yield run
        server.stdin.close()


def spec_in(out: Path, facts: dict) -> Path:
    spec = out / "tiny.yaml"
    spec.write_text(SPEC.format(**facts))
    return spec


@pytest.fixture(scope="module")
def unbroken(vaeorch, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    said = vaeorch("sweep", spec_in(out, ONE_SLOT), "--out", out)
    assert said.code == 0, said.words
    return out


def line_of(out: Path, *facts) -> int:
    """The line of the journal with the first event that has these facts."""
    found = [set(map(str, facts)) <= set(map(str, event.values())) for event in journal_of(out / "tiny")]
    return found.index(True) + 1


def points(out: Path) -> list[dict]:
    """Where the driver is struck, in the order of the sweep; the lines are those of the unbroken journal.

    "alone": in a life with a Ray of its own. The last ones come when every trial has ended. "thorough": only where all
    are asked for.
    """
    more = {"thorough": True}
    at = {"signal": signal.SIGKILL, "alone": False}
    line = at | {"at": "journal"}
    alone = {"alone": True}
    lost = alone | {"when": "after", "signal": None}
    return [
        line | alone | {"line": line_of(out, "began", "0001"), "when": "after"},
        at | {"at": "checkpoint", "epoch": ["0001", 1]},
        line | {"line": line_of(out, "epoch", "0001", 1), "when": "before"},  # its rung is reached, and not yet decided
        line | more | {"line": line_of(out, "promoted"), "when": "after"},
        at | more | {"at": "recalled"},
        at | more | {"at": "metrics", "epoch": ["0001", 2]},
        line | lost | {"line": line_of(out, "began", "0003"), "victim": "gcs_server"},
        {"at": "ray", "signal": None, "alone": True},  # it does not start
        line | alone | {"line": line_of(out, "began", "0004"), "when": "after", "signal": signal.SIGTERM},
        line | more | lost | {"line": line_of(out, "epoch", "0004", 1), "victim": "raylet"},
        at | more | {"at": "spool", "epoch": ["0004", 2]},
        line | alone | {"line": line_of(out, "epoch", "0001", 4), "when": "after", "signal": signal.SIGINT},
        at | more | {"at": "acknowledged", "trial": "0005", "line": line_of(out, "epoch", "0005", 2)},
        at | more | {"at": "results", "trial": "0004"},
        at | {"at": "picture"},
        at | more | {"at": "last results"},
        at | more | {"at": "sweep ended"},
        line | {"line": line_of(out, "finished"), "when": "amid"},
        at | {"at": "sending"},
    ]


@pytest.fixture(scope="module", params=["some points", pytest.param("all points", marks=pytest.mark.thorough)])
def broken(request, vaeorch, unbroken, tmp_path_factory) -> tuple[Path, list[tuple[dict, Said]]]:
    """The same sweep, struck at one point after the other, and resumed after each."""
    out = tmp_path_factory.mktemp("broken")
    words, told = ("sweep", spec_in(out, ONE_SLOT)), []
    for point in (point for point in points(unbroken) if request.param == "all points" or "thorough" not in point):
        told.append((point, vaeorch(*words, "--out", out, point=point, alone=point["alone"])))
        words = ("resume", "tiny")
    told.append(({}, vaeorch(*words, "--out", out)))
    return out, told


def test_every_process_ended_by_its_signal_and_the_last_by_itself(broken):
    *struck, (_, last) = broken[1]
    assert sum(point["signal"] == signal.SIGKILL for point, _ in struck) >= 6
    for point, said in struck:
        assert said.code == CODES.get(point["signal"], -signal.SIGKILL), (point, said.words)
        assert "Traceback" not in said.words
    assert last.code == 0, last.words
    assert "tiny: 5 trials by val/elbo" in last.words


def test_the_journal_is_that_of_the_unbroken_sweep_word_for_word(unbroken, broken):
    assert journal_of(broken[0] / "tiny")[1:] == journal_of(unbroken / "tiny")[1:]
    assert journal_of(broken[0] / "tiny")[0]["trials"] == journal_of(unbroken / "tiny")[0]["trials"]


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
                assert without_seconds(path) == without_seconds(other)


def without_seconds(file: Path) -> list[dict]:
    return [json.loads(line) | {"seconds": 0} for line in file.read_text().splitlines()]


def recorded(out: Path) -> dict[str, tuple]:
    """What MLflow has of each run: its end, its parameters, its tags, and the history of every metric."""
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


def test_a_ray_that_does_not_start_is_told_in_one_line(broken):
    [said] = [said for point, said in broken[1] if point.get("at") == "ray"]
    [*_, line] = said.words.splitlines()
    assert line.startswith("Ray did not start: The current node timed out during startup.")
    assert line.endswith(f"Go on with it: vaeorch resume tiny --out {broken[0]}")


def test_a_ray_that_is_lost_is_told_soon_in_one_line(broken):
    """The counts of the sweep and its numbers are those of the unbroken one: see above."""
    lost = [(point["victim"], said) for point, said in broken[1] if "victim" in point]
    assert lost
    for victim, said in lost:
        lines = said.words.splitlines()
        assert lines[-1].startswith(f"Ray's process {victim} has died")
        assert lines[-1].endswith(f"Go on with it: vaeorch resume tiny --out {broken[0]}")
        assert all(line.startswith(("reading", "tiny: 5 trials", "000")) for line in lines[:-1])  # neither Ray nor Tune
        assert said.seconds < ORDERLY_S and said.processes == []


def test_what_was_done_is_not_shown_again_and_tune_says_nothing(broken):
    words = "".join(said.words for _, said in broken[1])
    assert "Trial FatalSlot" not in words
    for what in (*(f"000{trial} started:" for trial in range(1, 6)), "0003 diverged (", "0001 completed"):
        assert words.count(what) <= 1  # it is in the journal first, so a kill may leave it unsaid


def test_a_finished_sweep_is_told_again_and_nothing_changes(vaeorch, broken):
    def contents():
        return {path: path.read_bytes() for path in (broken[0] / "tiny").rglob("*") if path.is_file()}

    before = contents()
    said = vaeorch("resume", "tiny", "--out", broken[0])
    assert said.code == 0 and "tiny: 5 trials by val/elbo" in said.words
    assert contents() == before


@pytest.fixture(scope="module")
def outage(vaeorch, tmp_path_factory) -> tuple[Path, Said, Said, Said]:
    """Four trials on two slots and a real MLflow server: it is gone for a while, then with the driver, then for good.

    What came of the sweep, of its resume, and of `sync` when the server was there again.
    """
    out = tmp_path_factory.mktemp("outage")
    where = {"out": str(out), "port": local_ray.free_port()}
    server = Server(**where)
    point = {"at": "told", "signal": signal.SIGKILL, "server": where}
    point |= {"gone": ["0001", 1], "back": ["0001", 2], "epoch": ["0001", 3]}
    try:
        server.start()
        spec = spec_in(out, TWO_SLOTS)
        swept = vaeorch("sweep", spec, "--out", out, "--tracking-uri", server.uri, point=point)
        resumed = vaeorch("resume", "tiny", "--out", out)
        server.start()
        return out, swept, resumed, vaeorch("sync", "tiny", "--out", out)
    finally:
        server.kill()


def test_a_sweep_on_two_slots_is_resumed_to_the_table_of_runs_without_faults(outage):
    out, swept, resumed, _ = outage
    assert swept.code == -signal.SIGKILL and resumed.code == 0, resumed.words
    results = json.loads((out / "tiny" / "results.json").read_text())
    trials = journal_of(out / "tiny")[0]["trials"]
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cpus() // 2))  # as in the slots
    expected = [list(train(Run.model_validate(trial["run"])))[-1].metrics for trial in trials]
    torch.set_num_threads(threads)
    assert [trial["last"] for trial in results["trials"]] == expected
    assert [(trial["status"], trial["epochs"]) for trial in results["trials"]] == [("completed", 4)] * 4
    began = [event["trial"] for event in journal_of(out / "tiny") if event["event"] == "began"]
    assert sorted(began) == ["0001", "0002", "0003", "0004"]


def test_a_server_that_is_gone_for_good_is_told_with_its_cure(outage):
    out, _, resumed, synced = outage
    [line] = [line for line in resumed.words.splitlines() if line.startswith("unsent")]
    assert line.startswith("unsent") and line.endswith(f". Send them: vaeorch sync tiny --out {out}")
    assert (synced.code, synced.words) == (0, "Everything is sent.\n")


def test_after_outages_mlflow_has_each_epoch_once(outage):
    client = connect(f"sqlite:///{outage[0] / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert sorted(run.data.tags["trial_id"] for run in trials) == ["0001", "0002", "0003", "0004"]
    for run in trials:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "val/elbo")] == [1, 2, 3, 4]
        assert run.info.status == "FINISHED"


def test_no_process_outlives_its_driver_for_long(broken):
    """Ray's agents look for their raylet once a minute."""
    until(lambda: processes_with(f"{MARK}-") == [])


def test_the_folders_of_killed_drivers_are_gone_with_the_next_but_one(lasting_ray, broken):
    """A nameless one would go a minute later. That of the Ray that lives stays."""
    folders = list(Path(os.environ["TMPDIR"]).glob("vaeorch-*"))
    assert [folder for folder in folders if (folder / "driver").exists()] == folders
    assert len(folders) == 1
