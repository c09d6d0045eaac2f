"""Sweeps whose trials are trained by groups of workers, on real Ray and Ray Train.

Three sweeps of the same three trials on one slot: by one worker; by two on different nodes of a cluster of three, one
of which is lost in the last trial; and, in processes of their own meanwhile, by two whose driver is killed, and after
the resume a worker, and then the slot. A fourth is broken off by Ctrl-C.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.clusters.resources import count_slots
from orchestrator.clusters.serving import place_of
from orchestrator.errors import UserError
from orchestrator.execution.drawing import Drawing, draw, drawn_by_tasks
from orchestrator.execution.run import run_sweep
from orchestrator.space.plan import Plan
from orchestrator.spec.records import Resources
from orchestrator.sweep.folder import claim
from tests.support import ROOT, warm
from tests.support.exposure import CANARY, SECRETS, assert_private
from tests.support.processes import processes_with
from tests.support.ray_clusters import ray_cluster
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder, spec_of
from tests.support.worker_groups import ASHA, three, workers_of

# Two workers add the same float32 numbers in another order, which moves a gradient by about 1e-7 of itself. In the 40
# steps of these trials that grows to less than 1e-6 of a metric; 1e-5 leaves room for other machines. (In float64
# tests/trainables/test_workers.py finds 1e-10.) What should differ does so by far more: in the first digit.
ROUNDING = 1e-5
DYING_SECONDS = 120.0  # at most, for Ray's workers, once their driver has ended

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.support.worker_groups import ASHA, MortalSlot, three, workers_of
from tests.support.sweeps import Recorder, spec_of, trials_of
from orchestrator.clusters.resources import cpus
from orchestrator.execution import slot
from orchestrator.execution.run import run_sweep
from orchestrator.storage import locks
from orchestrator.sweep.folder import claim
from orchestrator.space.plan import Plan

name, out = sys.argv[1], Path(sys.argv[2])
resources = {"workers": 2, "cpus_per_worker": cpus() / 2}  # one slot

class Killer(Recorder):
    def epoch(self, trial, epoch, metrics):
        if name == "long":
            print("epoch", flush=True)
        elif (trial, epoch) == ("0001", 2):  # told again, without harm, when the sweep is resumed
            if first:
                os.kill(os.getpid(), signal.SIGKILL)
        elif (trial, epoch) == ("0003", 1):
            os.kill(workers_of(out / name / "trials" / trial)[-1][1]["pid"], signal.SIGKILL)

if name == "long":
    spec, trials = spec_of(name, 10_000, scheduler={"name": "none"}, resources=resources), trials_of({}, epochs=10_000)
else:
    spec, trials = spec_of(name, scheduler=ASHA, resources=resources, pictures=None), three()
first, slot.Slot = not (out / name).exists(), MortalSlot
folder = claim(out, spec) if first else out / name
with locks.driver(folder):
    outcome = run_sweep(Plan(spec, trials), folder, Recorder(), Killer())
sys.exit(130 if outcome.interrupted else 0)
"""


def alone(name: str, out: Path, popen: type[subprocess.Popen] = warm.Popen) -> SimpleNamespace:
    """Start a sweep of SCRIPT in a process of its own; whatever it starts can be told by `mark`.

    So can the process itself, if it is a new interpreter: with the Popen of `subprocess`.
    """
    mark, scratch = f"MARK_OF_{name}_{uuid.uuid4()}", tempfile.mkdtemp(dir="/tmp", prefix="t-")
    environment = os.environ | {"VAEORCH_TEST": mark, "TMPDIR": scratch, "PYTHONPATH": str(ROOT)} | SECRETS
    command = [sys.executable, "-c", SCRIPT, name, str(out)]
    process = popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return SimpleNamespace(process=process, mark=mark, scratch=Path(scratch), folder=out / name)


def resumed(sweep: SimpleNamespace) -> SimpleNamespace:
    """The same sweep, once its driver was killed, in a new process."""
    assert sweep.process.wait(timeout=300) == -signal.SIGKILL, sweep.process.stdout.read()
    sweep.process.stdout.close()
    shutil.rmtree(sweep.scratch, ignore_errors=True)  # what is left of the killed one's Ray may still write here
    return alone(sweep.folder.name, sweep.folder.parent)


def ended(sweep: SimpleNamespace) -> SimpleNamespace:
    said, _ = sweep.process.communicate(timeout=300)
    deadline = time.monotonic() + DYING_SECONDS
    while processes_with(sweep.mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = processes_with(sweep.mark), list(sweep.scratch.iterdir())
    shutil.rmtree(sweep.scratch)
    return SimpleNamespace(said=said, code=sweep.process.returncode, left=left, folder=sweep.folder)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The sweep with the kills. It starts before the cluster does, so that it runs meanwhile."""
    sweep = alone("killed", tmp_path_factory.mktemp("killed"))
    yield sweep
    if sweep.process.poll() is None:  # a test failed before it was waited for
        sweep.process.send_signal(signal.SIGINT)
        ended(sweep)


@pytest.fixture(scope="module")
def killed(started):
    sweep = resumed(started)
    try:
        return ended(sweep)
    finally:
        sweep.process.kill()  # of no effect on one that has ended


@pytest.fixture(scope="module")
def cluster(started):
    """Three nodes on this machine; the head has two CPUs, the others have one each."""
    with ray_cluster(2, 1, 1) as cluster:
        yield cluster


def swept(name: str, out: Path, resources: dict, tracker=None, shares_files: bool = False):
    """A sweep on the cluster, whose nodes are taken not to share the driver's files, unless they are said to."""
    spec = spec_of(name, scheduler=ASHA, resources=resources, pictures=None)  # they are drawn when they pause
    nodes = ConnectedCluster(shares_files=shares_files)
    return run_sweep(Plan(spec, three()), claim(out, spec), tracker or Recorder(), Recorder(), cluster=nodes)


@pytest.fixture(scope="module")
def one(cluster, tmp_path_factory):
    """By one worker, on the only node that has room for it."""
    return swept("one", tmp_path_factory.mktemp("one"), {"cpus_per_worker": 2}, shares_files=True)


class NodeLoss(Recorder):
    """In the middle of the last trial the machine that worker 1 or 0 is on is lost, with all that runs there."""

    def __init__(self, cluster, trial: Path):
        super().__init__()
        self.cluster, self.trial, self.lost = cluster, trial, None

    def epoch(self, trial: str, epoch: int, metrics: dict) -> None:
        if (trial, epoch) == ("0003", 1):
            [group] = workers_of(self.trial)
            self.lost = next(node for node in self.cluster.worker_nodes if node.node_id in {w["node"] for w in group})
            self.cluster.remove_node(self.lost, allow_graceful=False)
            for worker in group:
                if worker["node"] == self.lost.node_id:
                    with suppress(ProcessLookupError):  # it ends when it misses its node
                        os.kill(worker["pid"], signal.SIGKILL)


@pytest.fixture(scope="module")
def lost_and_apart(cluster, one, tmp_path_factory):
    """The id of the node that is lost, and the sweep by two workers on different nodes.

    There is no room for a second such pair. Two nodes are left: the last sweep on the cluster.
    """
    out = tmp_path_factory.mktemp("apart")
    loss = NodeLoss(cluster, out / "apart" / "trials" / "0003")
    outcome = swept("apart", out, {"workers": 2, "placement": "STRICT_SPREAD"}, loss)
    return loss.lost.node_id, outcome


@pytest.fixture(scope="module")
def apart(lost_and_apart):
    return lost_and_apart[1]


def assert_same_table(found: dict, expected: dict):
    """The same decisions; the same metrics but for ROUNDING."""
    assert [trial["id"] for trial in found["trials"]] == ["0001", "0002", "0003"]
    for mine, other in zip(found["trials"], expected["trials"], strict=True):
        for key in ("id", "config", "seed", "status", "epochs", "reason"):
            assert mine[key] == other[key]
        for key in ("last", "best"):
            assert mine[key] == pytest.approx(other[key], rel=ROUNDING)


def test_two_workers_on_different_nodes_give_the_table_of_one(one, apart):
    ends = [(trial["status"], trial["epochs"]) for trial in one.results["trials"]]
    assert ends == [("stopped", 2), ("stopped", 1), ("completed", 4)]  # of every kind
    assert_same_table(apart.results, one.results)


def test_strict_spread_places_the_workers_on_different_nodes(apart):
    for number in (1, 2, 3):
        for group in workers_of(apart.folder / "trials" / f"000{number}"):
            assert len(group) == len({worker["node"] for worker in group}) == 2


def test_a_group_is_kept_from_trial_to_trial_and_through_pauses(apart):
    groups = {number: workers_of(apart.folder / "trials" / f"000{number}") for number in (1, 2, 3)}
    assert [len(groups[number]) for number in (1, 2)] == [2, 1]  # the first trial paused, and was taken up again
    assert len({json.dumps(group) for group in [*groups[1], *groups[2], groups[3][0]]}) == 1


@pytest.mark.parametrize("trial", ["0001", "0002", "0003"])
def test_worker_0_keeps_all_that_one_worker_keeps(one, apart, trial):
    folders = [outcome.folder / "trials" / trial for outcome in (one, apart)]
    kept = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in folders]
    restarted = {Path("restarts.txt")} if trial == "0003" else set()
    assert kept[1] - kept[0] == {Path("workers.jsonl")} | restarted
    assert kept[0] - kept[1] <= {Path("checkpoint.previous.pt")}  # of a trial that has sent only one
    epochs = [[json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").open()] for folder in folders]
    assert epochs[0] == epochs[1] == list(range(1, len(epochs[0]) + 1))
    assert any((folders[1] / "pictures").rglob("*.png"))


def retried(folder: Path) -> list[tuple[str, str]]:
    """What was tried again in a sweep, and what of it had failed, from its journal."""
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [(event["trial"], event["of"]) for event in events if event["event"] == "retried"]


def test_a_driver_a_worker_and_a_slot_are_killed_and_no_number_changes(one, killed):
    assert killed.code == 0, killed.said
    results, trial = json.loads((killed.folder / "results.json").read_text()), killed.folder / "trials" / "0003"
    assert_same_table(results, one.results)
    pids = [{worker["pid"] for worker in group} for group in workers_of(trial)]
    assert len(pids) == 3 and len(set.union(*pids)) == 6  # no process of one group is in another
    [restart] = (trial / "restarts.txt").read_text().splitlines()
    assert "died" in restart or "gloo" in restart  # as Ray tells it, or the other worker, whichever notices first
    assert not (trial / "error.txt").exists()
    lines = [json.loads(line) for line in (trial / "metrics.jsonl").open()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]


def test_lost_groups_and_lost_slots_are_one_count(one, killed):
    results = json.loads((killed.folder / "results.json").read_text())
    assert [trial["retries"] for trial in results["trials"]] == [0, 1, 2]
    assert retried(killed.folder) == [("0002", "group"), ("0003", "group"), ("0003", "slot")]


def test_a_worker_killed_before_it_draws_costs_no_picture(one, killed):
    names = [
        sorted(path.name for path in (folder / "trials" / "0002" / "pictures" / "0001").iterdir())
        for folder in (one.folder, killed.folder)
    ]
    assert names[0] == names[1] != []


def test_pictures_drawn_by_a_group_started_anew_are_the_same(tmp_path):
    from orchestrator.execution.workers import Leader, shared_folder

    known = {"id": "0001", "config": {}, "seed": 0, "run": a_run().model_dump(mode="json"), "data_root": None}
    known |= {"objective": {"metric": "val/elbo", "mode": "max"}, "draws": True, "pictures_every": None}
    sweeps = [claim(tmp_path, spec_of(name)) for name in ("sound", "lost")]
    trials = [known | {"folder": str(sweep / "trials" / "0001")} for sweep in sweeps]

    def leader(trial: dict) -> Leader:
        return Leader(trial, shared_folder(trial, tmp_path, [], lambda: True), [])

    sound, lost = map(leader, trials)
    sound.step(), lost.step()
    anew = leader(trials[1])
    sound.draw(), anew.draw()
    drawn = [{path.name: path.read_bytes() for path in leader.folder.path.rglob("*.png")} for leader in (sound, anew)]
    assert drawn[0] == drawn[1] != {}


def test_tasks_draw_on_nodes_that_do_not_share_the_driver_s_files_what_this_process_draws(apart):
    found = Drawing("0003", apart.folder / "trials" / "0003", 1)
    lost = Drawing("0004", apart.folder / "trials" / "0004", 1)
    job = found.job(json.loads((found.folder / "config.json").read_text())["run"], None, threads=1)
    threads = torch.get_num_threads()
    known = draw(job)
    torch.set_num_threads(threads)
    with place_of(apart.folder, ConnectedCluster(shares_files=False)) as place:
        jobs = {found: job | place, lost: job | place | {"path": "trials/0004/best.pt"}}
        answers = dict(filter(None, drawn_by_tasks(jobs, Resources())))
    assert answers.pop(lost).startswith("FileNotFoundError: ")
    assert answers == {found: known}


def test_the_other_workers_take_the_trial_up_when_worker_0_does(monkeypatch):
    from orchestrator.execution import workers

    monkeypatch.setattr(workers, "follow", lambda trial, scratch: iter([1, 2, 3]))
    anew, other = (workers.Follower({}, None) for _ in range(2))
    anew.draw(), anew.draw()
    other.step(), other.step(), other.draw()
    assert list(anew.epochs) == [2, 3] and list(other.epochs) == [3]


def test_a_lost_node_costs_a_restart_and_changes_no_number(one, lost_and_apart):
    lost, outcome = lost_and_apart
    assert_same_table(outcome.results, one.results)
    assert [trial["retries"] for trial in outcome.results["trials"]] == [0, 0, 1]
    assert retried(outcome.folder) == [("0003", "group")]
    before, after = workers_of(outcome.folder / "trials" / "0003")
    assert lost in {worker["node"] for worker in before} and lost not in {worker["node"] for worker in after}
    assert len({worker["node"] for worker in after}) == 2


def test_a_sweep_of_groups_says_nothing_and_leaves_nothing(killed):
    assert killed.said == ""
    assert killed.left == ([], [])


def test_a_sweep_of_groups_is_private_and_ctrl_c_leaves_no_worker(tmp_path):
    sweep = alone("long", tmp_path, subprocess.Popen)
    for line in sweep.process.stdout:
        if line == "epoch\n":
            break
    assert sum("RayTrainWorker" in command for command in processes_with(sweep.mark)) == 2
    assert sum("RayTrainWorker" in command for command in processes_with(CANARY)) == 2
    assert_private(sweep.mark, sweep.scratch, least=9)
    sweep.process.send_signal(signal.SIGINT)
    end = ended(sweep)
    assert end.code == 130, end.said
    assert not set(end.said.splitlines()) - {"epoch"}
    assert end.left == ([], [])
    [trial] = json.loads((end.folder / "results.json").read_text())["trials"]
    assert (trial["status"], trial["reason"]) == ("stopped", "interrupted") and trial["epochs"] > 0


@pytest.mark.parametrize(
    ("room", "workers", "placement", "slots"),
    [
        ([2, 1, 1], 2, "PACK", 2),
        ([2, 1, 1], 2, "STRICT_SPREAD", 1),  # the small ones may be taken first
        ([2, 2, 2], 2, "STRICT_SPREAD", 2),
        ([2, 1, 1], 2, "STRICT_PACK", 1),
        ([3, 3], 2, "STRICT_PACK", 2),
        ([3, 3], 2, "SPREAD", 3),
        ([8], 4, "PACK", 2),
        ([8], 1, "STRICT_SPREAD", 8),
        ([4, 4, 4], 3, "STRICT_SPREAD", 4),
    ],
)
def test_slots_of_groups_are_what_the_nodes_have_room_for(room, workers, placement, slots):
    nodes = [{"cpus": 2 * cpus, "gpus": 0} for cpus in room]
    resources = SimpleNamespace(workers=workers, cpus_per_worker=2, gpus_per_worker=0, placement=placement)
    assert count_slots(resources, nodes) == slots


def test_workers_may_share_gpus():
    resources = SimpleNamespace(workers=2, cpus_per_worker=1, gpus_per_worker=0.25, placement="STRICT_PACK")
    assert count_slots(resources, [{"cpus": 16, "gpus": 1}] * 2) == 4


@pytest.mark.parametrize(
    ("cpus", "workers", "placement", "said"),
    [
        ([2], 4, "PACK", "resources.cpus_per_worker: 4 workers need 4 cpus, this machine has 2."),
        ([2, 1], 4, "PACK", "resources.cpus_per_worker: 4 workers need 4 cpus, the cluster of 2 machines has 3."),
        ([2], 2, "STRICT_SPREAD", "STRICT_SPREAD finds no room for 2 workers: this machine has 2."),
        ([2, 1], 3, "STRICT_PACK", "STRICT_PACK finds no room for 3 workers: the cluster of 2 machines has 2, 1."),
    ],
)
def test_a_group_without_room_is_told_in_one_line(cpus, workers, placement, said):
    nodes = [{"cpus": number, "gpus": 0} for number in cpus]
    resources = SimpleNamespace(workers=workers, cpus_per_worker=1, gpus_per_worker=0, placement=placement)
    with pytest.raises(UserError) as caught:
        count_slots(resources, nodes)
    [line] = caught.value.lines
    assert line.endswith(said) and line.startswith("resources.")
