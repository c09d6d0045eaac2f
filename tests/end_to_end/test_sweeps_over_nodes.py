"""Sweeps whose trials run on nodes that do not share the driver's files, on a real Ray with two such nodes.

The same three trials on one slot, with the same numbers: beside the driver; with a driver that is killed, and one that
is interrupted; with a head that is lost; with a node that is lost and a trial that then fails by itself; and with the
store of trials lost.
"""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import ray

from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.clusters.local import NAMESPACE
from orchestrator.errors import UserError
from orchestrator.evaluation.jobs import answers, examine
from orchestrator.execution import slot
from orchestrator.execution.handshake import check_nodes, training_nodes
from orchestrator.execution.run import Outcome, run_sweep
from orchestrator.space.plan import Plan
from orchestrator.storage import locks
from orchestrator.storage.blobs import here
from orchestrator.storage.stored_sweep import StoredSweep
from orchestrator.sweep.folder import claim
from orchestrator.sweep.reuse import software
from tests.support import ROOT
from tests.support.ray_clusters import UnluckySlot, connect, notes_of, ray_cluster
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder, spec_of
from tests.support.trial_folders import lines_in, numbers
from tests.support.worker_groups import ASHA, three

ONE_SLOT = ({"cpus": 1, "gpus": 0},)
STORED, SHARED = ConnectedCluster(ONE_SLOT), ConnectedCluster(ONE_SLOT, shares_files=True)

DRIVER = """
import os, signal, sys
from pathlib import Path
import ray
from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.clusters.local import NAMESPACE
from orchestrator.execution.run import run_sweep
from orchestrator.space.plan import Plan
from orchestrator.storage import locks
from orchestrator.storage import snapshots as made
from orchestrator.sweep.folder import claim
from tests.support.sweeps import Recorder, spec_of
from tests.support.worker_groups import ASHA, three

class Ending(Recorder):
    def epoch(self, trial, epoch, metrics):
        if first and (trial, epoch) == ("0003", 2):
            while snapshots and not snapshots.stored.manifests():
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        if (trial, epoch) == ("0003", 3) and not snapshots:
            raise KeyboardInterrupt

quiet = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "CRITICAL"}
settings = {name: value for name, value in os.environ.items() if name[:4] == "AWS_"}
ray.init(address=sys.argv[1], runtime_env={"env_vars": settings}, **quiet)
spec, folder, one_slot = spec_of("killed", scheduler=ASHA), Path(sys.argv[2]) / "killed", ({"cpus": 1, "gpus": 0},)
snapshots, made.INTERVAL_S = made.Snapshots(sys.argv[3], folder, print) if sys.argv[3:] else None, 0.0
if snapshots:
    snapshots.restore()
if first := not folder.exists():
    claim(folder.parent, spec)
with locks.driver(folder):
    if snapshots:
        snapshots.begin()
    cluster = ConnectedCluster(one_slot, snapshots=snapshots)
    run_sweep(Plan(spec, three()), folder, Ending(), Recorder(), cluster=cluster)
    if snapshots:
        snapshots.close()
"""


@pytest.fixture(scope="module")
def cluster():
    """The head has no CPU for trials; two nodes have one each."""
    with ray_cluster(0, 1, 1) as cluster:
        assert ray.get_runtime_context().get_node_id() == cluster.head_node.node_id  # the driver's
        yield cluster


def test_the_bill_of_an_hour_counts_the_nodes_that_are_up_by_their_group(cluster):
    assert ConnectedCluster(prices={"head": 0.25, "worker": 1.5, "none of these": 9.0}).usd_per_hour() == 3.25
    assert ConnectedCluster().usd_per_hour() == 0.0
    with pytest.raises(UserError, match="the price of worker is not known"):
        ConnectedCluster(prices={"head": 0.25, "worker": None}).usd_per_hour()


def swept(name, out, nodes=STORED, tracker=None):
    spec = spec_of(name, scheduler=ASHA)
    return run_sweep(Plan(spec, three()), claim(out, spec), tracker or Recorder(), Recorder(), cluster=nodes)


def gone_on(name, out):
    with locks.driver(out / name):
        plan = Plan(spec_of(name, scheduler=ASHA), three())
        return run_sweep(plan, out / name, Recorder(), Recorder(), cluster=STORED)


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory):
    """An undisturbed sweep, whose trials write into the driver's folder themselves."""
    return swept("whole", tmp_path_factory.mktemp("whole"), SHARED)


def drive(code: int, *words: str) -> None:
    """Run a driver in a process of its own, which is to end with this exit code."""
    command, environment = [sys.executable, "-c", DRIVER, *words], os.environ | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert driver.returncode == code, driver.stderr


@pytest.fixture(scope="module")
def killed(cluster, tmp_path_factory):
    """Its driver is killed in the last trial, and the next one is interrupted there."""
    out = tmp_path_factory.mktemp("killed")
    for code in (-signal.SIGKILL, 0):
        drive(code, cluster.address, str(out))
    assert len(lines_in(out / "killed" / "trials" / "0003")) >= 3  # sent because of the interrupt
    return gone_on("killed", out)


@pytest.fixture(scope="module")
def bereft(whole, killed, tmp_path_factory):
    """A node is lost: the last sweep on the cluster but for what one node is enough for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slot, "Slot", UnluckySlot)
        return swept("bereft", tmp_path_factory.mktemp("bereft"))


class StoreLoss(Recorder):
    """In the last trial the store of trials is lost."""

    def epoch(self, trial, epoch, metrics):
        if (trial, epoch) == ("0003", 1):
            [store] = [actor for actor in ray.util.list_named_actors() if actor.startswith("trials-")]
            ray.kill(ray.get_actor(store, NAMESPACE))


def assert_same(found, expected):
    """Bit for bit, but for the seconds and what was tried again."""
    for mine, other in zip(found.results["trials"], expected.results["trials"], strict=True):
        for key in ("id", "config", "seed", "status", "epochs", "reason", "last", "best"):
            assert mine[key] == other[key]
        folders = [outcome.folder / "trials" / mine["id"] for outcome in (found, expected)]
        assert numbers(lines_in(folders[0])) == numbers(lines_in(folders[1]))
        drawn = [{path.name: path.read_bytes() for path in folder.rglob("*.png")} for folder in folders]
        assert drawn[0] == drawn[1] != {}
        assert (folders[0] / "best.pt").read_bytes() == (folders[1] / "best.pt").read_bytes()
        assert (folders[0] / "checkpoint.pt").exists() and not list(folders[0].rglob(".*"))


def test_every_node_is_compared_with_the_driver_before_the_first_trial(cluster):
    run, said = a_run(), []
    assert len(set(training_nodes().values())) == len(training_nodes()) > 0
    made = check_nodes([run.data], None, spec_of("a").resources, said.append)
    assert software().items() <= made.items() and made["device"].startswith("cpu")
    assert len(said) == 1 and said[0].startswith("checking ")


def test_a_driver_that_is_killed_or_interrupted_changes_no_number(whole, killed):
    ends = [(trial["status"], trial["epochs"]) for trial in whole.results["trials"]]
    assert ends == [("stopped", 2), ("stopped", 1), ("completed", 4)]  # of every kind
    assert_same(killed, whole)


def test_a_lost_head_changes_no_number_and_no_weights_were_on_it(cluster, whole, bucket, tmp_path):
    """Nothing is left of its disk: another one goes on from the bucket, in which nodes have put the weights."""
    first, second = tmp_path / "first", tmp_path / "second"
    drive(-signal.SIGKILL, cluster.address, str(first), bucket.root)
    assert list(first.rglob("checkpoint.pt.blob"))
    assert {file.name for file in first.rglob("*.pt")} <= {"fitted.pt"}
    shutil.rmtree(first)
    drive(0, cluster.address, str(second), bucket.root)
    assert {file.name for file in second.rglob("*.pt")} <= {"fitted.pt"}  # a few statistics
    assert all(file.stat().st_size < 10_000 for file in second.rglob("*.pt"))
    for file in list(second.rglob("*.pt.blob")):
        here(file.with_suffix(""))
    results = json.loads((second / "killed" / "results.json").read_text())
    assert_same(Outcome(second / "killed", results, None), whole)
    assert not list((second / "killed").glob(".*")) and StoredSweep(bucket.root, "killed").head() > 1


def test_a_lost_node_changes_no_number_and_costs_no_retry_of_the_trial(whole, bereft):
    assert_same(bereft, whole)
    lost, *after = notes_of(bereft.folder)
    assert len(after) == 2 and lost not in after  # it went on elsewhere, failed there by itself, and went on again
    events = [json.loads(line) for line in (bereft.folder / "journal.jsonl").read_text().splitlines()]
    tried = [(event["trial"], event["of"]) for event in events if event["event"] == "retried"]
    assert tried == [("0001", "node"), ("0001", "slot")]
    assert [trial["retries"] for trial in bereft.results["trials"]] == [2, 0, 0]


def test_without_the_store_a_sweep_ends_in_one_line_and_goes_on_later(cluster, whole, bereft, tmp_path):
    with pytest.raises(UserError) as caught:
        swept("lost", tmp_path, tracker=StoreLoss())
    [line] = caught.value.lines
    assert line.startswith("The cluster has lost the process that keeps the trials' files. Go on with it: vaeorch res")
    connect(cluster)  # its driver has ended, and with it the slot that holds the only CPU
    assert_same(gone_on("lost", tmp_path), whole)


def test_models_are_measured_on_nodes_that_fetch_them(whole, bereft):
    trials = bereft.results["trials"]
    asked = [{"name": "active"}]
    jobs = [
        {"id": trial["id"], "run": json.loads((folder / "config.json").read_text())["run"], "evaluations": asked}
        | {"path": f"trials/{trial['id']}/best.pt", "checkpoint": str(folder / "best.pt"), "data_root": None}
        | {"kept": str(folder)}
        for trial in trials
        for folder in [bereft.folder / "trials" / trial["id"]]
    ]
    found = {
        answer["id"]: answer
        for answer in answers([job | {"checkpoint": "/absent"} for job in jobs], bereft.folder, STORED)
    }
    here = {job["id"]: next(examine(job, 1)) for job in jobs}
    values = [{name: answer["finding"]["values"] for name, answer in side.items()} for side in (found, here)]
    assert values[0] == values[1] and len(values[0]) == 3
