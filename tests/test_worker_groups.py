"""Sweeps whose trials are trained by groups of workers, on real Ray and Ray Train.

Three sweeps of the same three trials on one slot: by one worker; by two on different nodes of a cluster of three; and,
in a process of its own meanwhile, by two of which one is killed in the last trial. A fourth is broken off by Ctrl-C.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator import local_ray
from orchestrator.errors import UserError
from orchestrator.sweep import claim, run_sweep
from tests.test_sweep import BAD, BEST, EPOCHS, GOOD, Recorder, processes_with, spec_of, trials_of

ROOT = Path(__file__).parents[1]
ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}

# Two workers add the same float32 numbers in another order, which moves a gradient by about 1e-7 of itself. In the 40
# steps of these trials that grows to less than 1e-6 of a metric; 1e-5 leaves room for other machines. (In float64
# test_workers.py finds 1e-10.) What should differ does so by far more: the trials' metrics differ in the first digit.
ROUNDING = 1e-5

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.test_worker_groups import ASHA, Recorder, spec_of, three, workers_of
from tests.test_sweep import trials_of
from orchestrator import local_ray
from orchestrator.sweep import claim, run_sweep

name, out = sys.argv[1], Path(sys.argv[2])
resources = {"workers": 2, "cpus_per_worker": local_ray.cpus() / 2}  # one slot

class Killer(Recorder):
    def epoch(self, trial, epoch, metrics):
        if name == "long":
            print("epoch", flush=True)
        elif (trial, epoch) == ("0003", 1):
            os.kill(workers_of(out / name / "trials" / trial)[-1][1]["pid"], signal.SIGKILL)

if name == "long":
    spec, trials = spec_of(name, 10_000, scheduler={"name": "none"}, resources=resources), trials_of({}, epochs=10_000)
else:
    spec, trials = spec_of(name, scheduler=ASHA, resources=resources), three()
outcome = run_sweep(spec, trials, claim(out, spec), Recorder(), Killer())
sys.exit(130 if outcome.interrupted else 0)
"""


def three():
    return trials_of(GOOD, BAD, BEST)


def workers_of(folder: Path) -> list[list[dict]]:
    """The groups that took a trial up, one after the other: of each the workers in rank order."""
    return [json.loads(line)["workers"] for line in (folder / "workers.jsonl").read_text().splitlines()]


def alone(name: str, out: Path) -> SimpleNamespace:
    """Start a sweep of SCRIPT in a process of its own; whatever it starts can be told by `mark`."""
    mark, scratch = f"MARK_OF_{name}_{os.getpid()}", tempfile.mkdtemp(dir="/tmp", prefix="t-")
    environment = os.environ | {"VAEORCH_TEST": mark, "TMPDIR": scratch}
    command = [sys.executable, "-c", SCRIPT, name, str(out)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return SimpleNamespace(process=process, mark=mark, scratch=Path(scratch), folder=out / name)


def ended(sweep: SimpleNamespace) -> SimpleNamespace:
    said, _ = sweep.process.communicate(timeout=300)
    left = processes_with(sweep.mark), list(sweep.scratch.iterdir())
    shutil.rmtree(sweep.scratch)
    return SimpleNamespace(said=said, code=sweep.process.returncode, left=left, folder=sweep.folder)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The sweep with the kill. It starts before the cluster does, so that it runs meanwhile."""
    sweep = alone("killed", tmp_path_factory.mktemp("killed"))
    yield sweep
    if sweep.process.poll() is None:  # a test failed before it was waited for
        sweep.process.send_signal(signal.SIGINT)
        ended(sweep)


@pytest.fixture(scope="module")
def killed(started):
    return ended(started)


@pytest.fixture(scope="module")
def cluster(started):
    """Three nodes on this machine; the head has two CPUs, the others have one each."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.update(local_ray.ENVIRONMENT)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="CRITICAL", namespace="vaeorch")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def swept(name: str, out: Path, resources: dict):
    spec = spec_of(name, scheduler=ASHA, resources=resources)
    return run_sweep(spec, three(), claim(out, spec), Recorder(), Recorder())


@pytest.fixture(scope="module")
def one(cluster, tmp_path_factory):
    """By one worker, on the only node that has room for it."""
    return swept("one", tmp_path_factory.mktemp("one"), {"cpus_per_worker": 2})


@pytest.fixture(scope="module")
def apart(cluster, tmp_path_factory):
    """By two workers on different nodes; then there is no room for a second such pair."""
    return swept("apart", tmp_path_factory.mktemp("apart"), {"workers": 2, "placement": "STRICT_SPREAD"})


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
    [group] = workers_of(apart.folder / "trials" / "0003")
    assert len(group) == len({worker["node"] for worker in group}) == 2


def test_a_group_is_kept_from_trial_to_trial_and_through_pauses(apart):
    groups = {number: workers_of(apart.folder / "trials" / f"000{number}") for number in (1, 2, 3)}
    assert [len(groups[number]) for number in (1, 2, 3)] == [2, 1, 1]  # the first trial paused, and was taken up again
    assert len({json.dumps(group) for trial in groups.values() for group in trial}) == 1


@pytest.mark.parametrize("trial", ["0001", "0002", "0003"])
def test_worker_0_keeps_all_that_one_worker_keeps(one, apart, trial):
    folders = [outcome.folder / "trials" / trial for outcome in (one, apart)]
    kept = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in folders]
    assert kept[1] - kept[0] == {Path("workers.jsonl")} and not kept[0] - kept[1]
    epochs = [[json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").open()] for folder in folders]
    assert epochs[0] == epochs[1] == list(range(1, len(epochs[0]) + 1))
    assert any((folders[1] / "pictures").rglob("*.png"))


def test_a_killed_worker_costs_a_restart_and_changes_no_number(one, killed):
    assert killed.code == 0, killed.said
    assert_same_table(json.loads((killed.folder / "results.json").read_text()), one.results)
    first, last = workers_of(killed.folder / "trials" / "0003")
    assert not {worker["pid"] for worker in first} & {worker["pid"] for worker in last}
    [restart] = (killed.folder / "trials" / "0003" / "restarts.txt").read_text().splitlines()
    assert "died" in restart
    assert not (killed.folder / "trials" / "0003" / "error.txt").exists()
    lines = [json.loads(line) for line in (killed.folder / "trials" / "0003" / "metrics.jsonl").open()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]


def test_a_sweep_of_groups_says_nothing_and_leaves_nothing(killed):
    assert killed.said == ""
    assert killed.left == ([], [])


def test_ctrl_c_leaves_no_worker(tmp_path):
    sweep = alone("long", tmp_path)
    for line in sweep.process.stdout:
        if line == "epoch\n":
            break
    assert sum("RayTrainWorker" in command for command in processes_with(sweep.mark)) == 2
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
def test_slots_of_groups_are_what_the_nodes_have_room_for(monkeypatch, room, workers, placement, slots):
    monkeypatch.setattr(local_ray, "nodes", lambda gpus_used: [{"cpus": 2 * cpus, "gpus": 0} for cpus in room])
    resources = SimpleNamespace(workers=workers, cpus_per_worker=2, gpus_per_worker=0, placement=placement)
    assert local_ray.count_slots(resources) == slots


def test_workers_may_share_gpus(monkeypatch):
    monkeypatch.setattr(local_ray, "nodes", lambda gpus_used: [{"cpus": 16, "gpus": 1}] * 2)
    resources = SimpleNamespace(workers=2, cpus_per_worker=1, gpus_per_worker=0.25, placement="STRICT_PACK")
    assert local_ray.count_slots(resources) == 4


@pytest.mark.parametrize(
    ("cpus", "workers", "placement", "said"),
    [
        ([2], 4, "PACK", "resources.cpus_per_worker: 4 workers need 4 cpus, this machine has 2."),
        ([2, 1], 4, "PACK", "resources.cpus_per_worker: 4 workers need 4 cpus, the cluster of 2 machines has 3."),
        ([2], 2, "STRICT_SPREAD", "STRICT_SPREAD finds no room for 2 workers: this machine has 2."),
        ([2, 1], 3, "STRICT_PACK", "STRICT_PACK finds no room for 3 workers: the cluster of 2 machines has 2, 1."),
    ],
)
def test_a_group_without_room_is_told_in_one_line(monkeypatch, cpus, workers, placement, said):
    monkeypatch.setattr(local_ray, "nodes", lambda gpus_used: [{"cpus": number, "gpus": 0} for number in cpus])
    resources = SimpleNamespace(workers=workers, cpus_per_worker=1, gpus_per_worker=0, placement=placement)
    with pytest.raises(UserError) as caught:
        local_ray.count_slots(resources)
    [line] = caught.value.lines
    assert line.endswith(said) and line.startswith("resources.")
