"""Sweeps on a real Slurm of two nodes, sent from its login node: each equals the sweep on this machine to the bit.

`whole` runs undisturbed, `long` meets its time limit and is queued again, `stopped` is stopped while it trains.
"""

import sys

import pytest

from orchestrator.clusters.slurm.allocation import START_S
from tests.support.lab import Lab
from tests.support.slurm_lab import SlurmLab, unavailable
from tests.support.ssh_clusters import ENDED_S, SWEEP, Laptop, decisions_of, drawn, metrics_of, results_of
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow_lab,
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]

CLUSTER = """\
kind: slurm
nodes: 2
cpus: 1
hours: 0.5
shared: {shared}
python: {python}
"""
WHERE = ("--cluster", "lab.yaml", "--out", "out")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch, Lab(tmp_path_factory.mktemp("lab")) as lab:
        slurm = SlurmLab(lab, folder, ("n1", "n2"))
        for name, value in slurm.environment.items():
            patch.setenv(name, value)
        yield slurm


@pytest.fixture(scope="module")
def laptop(slurm, tmp_path_factory):
    laptop = Laptop(slurm.lab, tmp_path_factory.mktemp("laptop"))
    laptop.write("lab.yaml", CLUSTER.format(shared=slurm.shared, python=sys.executable))
    laptop.write("whole.yaml", SWEEP.replace("batch_size: 1", "batch_size: 8"))
    return laptop


@pytest.fixture(scope="module")
def whole(laptop):
    """A sweep on both nodes: what was said of it. Meanwhile the laptop does it on its own."""
    alone = laptop.start("sweep", "whole.yaml", "--out", "alone")
    said = laptop.does("sweep", "whole.yaml", *WHERE)
    assert alone.code() == 0, alone.said()
    return said


@pytest.fixture(scope="module")
def alone(laptop, whole):
    """The folder of the sweep on the laptop alone."""
    return laptop.folder / "alone" / "whole"


def assert_equal(found, known) -> None:
    """Two sweeps' folders hold the same numbers, decisions and pictures."""
    assert metrics_of(found) == metrics_of(known)
    assert decisions_of(found) == decisions_of(known)
    assert drawn(found) == drawn(known)


def test_a_sweep_on_two_nodes_equals_one_on_this_machine_to_the_bit(slurm, alone, whole):
    assert "node n1 joined" in whole and "node n2 joined" in whole
    assert whole.splitlines()[-1] == f"compare      vaeorch ui whole --out {slurm.shared}"
    assert_equal(slurm.shared / "whole", alone)


def test_nothing_of_a_job_is_left_on_its_nodes(slurm, whole):
    for host in slurm.lab.hosts.values():
        assert host.run("ls -d /tmp/vo-slurm-* 2> /dev/null || true") == ""
        assert "ray" not in host.run("ps -e -o comm=")


def test_only_their_owner_reads_the_token_of_a_job_and_it_is_in_no_command_line(slurm, whole):
    tokens = list(slurm.shared.glob(".jobs/*/token"))
    assert [file.stat().st_mode & 0o777 for file in tokens] == [0o600] * len(tokens) != []
    scripts = "".join(file.read_text() for file in slurm.shared.glob(".jobs/*/job.sbatch"))
    assert not [file for file in tokens if file.read_text() in scripts]


def test_check_has_slurm_look_at_a_job_and_submits_none(slurm, laptop):
    before = slurm.said("squeue", "--noheader", "--states=all", "--format=%A")
    assert "to start at" in laptop.does("cluster", "check", "lab.yaml")
    assert slurm.said("squeue", "--noheader", "--states=all", "--format=%A") == before


def test_a_sweep_that_meets_its_time_limit_is_queued_again_and_goes_on_to_the_same_end(slurm, laptop, alone):
    begun = laptop.start("sweep", "whole.yaml", "--name", "long", *WHERE)
    journal = slurm.shared / "long" / "journal.jsonl"
    until(lambda: journal.exists() and '"epoch"' in journal.read_text(), ENDED_S)
    slurm.freeze("n2")  # so that it does not end before
    number = slurm.number("long")
    slurm.said("scontrol", "update", f"JobId={number}", f"TimeLimit={slurm.minutes_so_far(number) + 3}")
    begun.until_said("is queued again, and goes on from here")
    until(lambda: slurm.state(number) == "PENDING", ENDED_S)
    slurm.said("scontrol", "update", f"JobId={number}", "TimeLimit=30", "StartTime=now")
    assert begun.code() == 0, begun.said()
    assert slurm.number("long") == number
    assert_equal(slurm.shared / "long", alone)


def test_a_sweep_that_is_stopped_ends_in_order_and_is_not_queued_again_until_it_is_resumed(slurm, laptop, alone):
    begun = laptop.start("sweep", "whole.yaml", "--name", "stopped", *WHERE)
    journal = slurm.shared / "stopped" / "journal.jsonl"
    until(lambda: journal.exists() and '"epoch"' in journal.read_text(), ENDED_S)
    slurm.freeze("n2")
    stop = laptop.vaeorch("cluster", "stop", "stopped", "--out", "out")
    assert (stop.returncode, begun.code()) == (143, 143)
    number = slurm.number("stopped")
    until(lambda: slurm.state(number) not in ("RUNNING", "COMPLETING"), ENDED_S)
    assert slurm.state(number) == "FAILED"
    assert any(trial["status"] == "stopped" for trial in results_of(slurm.shared / "stopped")["trials"])
    laptop.does("resume", "stopped", *WHERE)
    assert_equal(slurm.shared / "stopped", alone)


def test_a_node_that_does_not_answer_is_told_and_nothing_waits_for_ever(slurm, laptop):
    slurm.lab.hosts["n2"].kill()
    done = laptop.vaeorch("sweep", "whole.yaml", "--name", "down", *WHERE)
    assert done.returncode == 3
    [lost] = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("down: its driver was lost")]
    number = slurm.number("down")
    refused = f"srun has not started Ray on the nodes of job {number}: Task launch" in lost and "node n2" in lost
    silent = f"Ray is up on 1 of 2 nodes of job {number} after {START_S:g} s: look at n[1-2]" in lost
    assert refused or silent, lost
    until(lambda: slurm.state(number) != "RUNNING", ENDED_S)  # what was on n2 Slurm cannot know
