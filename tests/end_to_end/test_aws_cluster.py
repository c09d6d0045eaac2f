"""Sweeps on machines of AWS, where AWS is moto and its machines are hosts of a lab: nobody is billed at their end.

Ray's launcher and autoscaler run as they would. What only AWS has is not shown: whether it has such machines, what its
roles allow, GPUs, and when it really takes spot machines away.
"""

import sys

import pytest

from tests.support.aws_accounts import IMAGE_OF_MOTO
from tests.support.fake_ec2 import FakeEC2
from tests.support.lab import Lab, unavailable
from tests.support.ssh_clusters import ENDED_S, SWEEP, decisions_of, metrics_of
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
    pytest.mark.slow_lab,
]

CLUSTER = f"""\
kind: aws
region: us-west-2
zones: [a]
store: s3://bucket/prefix
image: {IMAGE_OF_MOTO}
python: {sys.executable}
user: root
head: {{instance: m5.large, profile: vaeorch-head, usd_per_hour: 0.1}}
workers:
  - {{instance: c5.large, profile: vaeorch-worker, cpus: 1, spot: true, at_most: 2, usd_per_hour: 0.1}}
  - {{instance: c5.large, profile: vaeorch-worker, cpus: 1, at_most: 1, usd_per_hour: 0.2}}
at_most: 2
idle_minutes: 1
patience_minutes: 0.5
max_hours: 2
private_addresses: true
checkpoint_minutes: 0.01
"""


@pytest.fixture(scope="module")
def ec2(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab, FakeEC2(lab, tmp_path_factory.mktemp("laptop")) as ec2:
        (ec2.folder / "ec2.yaml").write_text(f"{CLUSTER}subnets: [{ec2.subnet}]\n")
        (ec2.folder / "whole.yaml").write_text(SWEEP.replace("epochs: 4", "epochs: 12"))
        (ec2.folder / "long.yaml").write_text(SWEEP.replace("epochs: 4", "epochs: 40"))  # longer than until a snapshot
        yield ec2


@pytest.fixture(scope="module")
def swept(ec2):
    """A sweep that loses a spot machine: what was said of it, and its folder."""
    sweep = ec2.start("sweep", "whole.yaml", "--cluster", "ec2.yaml", "--yes", "--out", "out")
    sweep.until_said("started")
    [head] = ec2.billed("head")
    journal = "cat ~/vaeorch-runs/whole/journal.jsonl 2> /dev/null || true"
    until(lambda: '"epoch"' in ec2.lab.hosts[head["id"]].run(journal), ENDED_S)
    lost = ec2.billed("worker")[0]
    ec2.give_notice(lost)
    ec2.take(lost["id"])
    code = sweep.code()
    return code, sweep.said(), ec2.folder / "out" / "whole"


def test_a_sweep_loses_a_spot_machine_and_ends_as_on_the_laptop_alone(ec2, swept):
    code, said, folder = swept
    assert code == 0, said
    assert "Its node was lost. It goes on elsewhere from its last checkpoint." in said
    ec2.does("sweep", "whole.yaml", "--out", "alone")
    alone = ec2.folder / "alone" / "whole"
    assert (metrics_of(folder), decisions_of(folder)) == (metrics_of(alone), decisions_of(alone))


def test_nothing_is_billed_once_the_command_has_ended(ec2, swept):
    assert len(ec2.machines) > 2 and ec2.billed() == []


@pytest.fixture(scope="module")
def headless(ec2, swept):
    """A sweep whose head AWS takes away: (code, what was said) of it and of its resuming, and its folder."""
    where = ("--cluster", "ec2.yaml", "--yes", "--out", "out")
    sweep = ec2.start("sweep", "long.yaml", "--name", "headless", *where)
    sweep.until_said("started")
    until(lambda: len(ec2.snapshots("headless")) > 1 or sweep.process.poll() is not None, ENDED_S)
    [head] = ec2.billed("head")
    ec2.take(head["id"])
    lost = sweep.code(), sweep.said()
    again = ec2.vaeorch("resume", "headless", *where)
    return lost, (again.returncode, again.stdout + again.stderr), ec2.folder / "out" / "headless"


def test_a_sweep_whose_head_was_lost_goes_on_on_a_new_one_from_the_store(ec2, headless):
    (lost, said), (code, told), folder = headless
    assert lost == 3, said
    assert "headless: its cluster was lost." in said
    assert "resume       vaeorch resume headless --out out --cluster ec2.yaml" in said
    assert code == 0, told
    assert ec2.billed() == []
    ec2.does("sweep", "long.yaml", "--name", "headless", "--out", "alone")
    alone = ec2.folder / "alone" / "headless"
    assert (metrics_of(folder), decisions_of(folder)) == (metrics_of(alone), decisions_of(alone))


def test_the_watchdog_ends_a_cluster_that_nobody_uses(ec2, swept):
    ec2.does("cluster", "up", "ec2.yaml", "--yes")
    assert len(ec2.billed("head")) == 1
    until(lambda: not ec2.billed(), ENDED_S)


def test_machines_whose_cluster_was_forgotten_are_listed_and_ended(ec2, swept):
    ec2.does("cluster", "up", "ec2.yaml", "--yes")
    file, elsewhere = ec2.folder / "ec2.yaml", ec2.folder / "moved.yaml"
    file.rename(elsewhere)
    listed = ec2.does("cluster", "ls")
    assert "1 machines without a file, in us-west-2" in listed
    ended = ec2.vaeorch("cluster", "down", "--all")
    elsewhere.rename(file)
    assert "its 1 machines were ended" in ended.stdout
    assert ec2.billed() == []


@pytest.fixture(scope="module")
def short(ec2):
    """A sweep while AWS has no spot machines, and one while it has none at all: (code, what was said) of each."""
    (ec2.folder / "one.yaml").write_text(SWEEP.replace("trials: 4", "trials: 1"))
    ec2.refuse("spot c5.large")
    one = ec2.start("sweep", "one.yaml", "--name", "one", "--cluster", "ec2.yaml", "--yes", "--out", "out")
    until(lambda: ec2.billed("worker") or one.process.poll() is not None, ENDED_S)
    rows = [machine["row"] for machine in ec2.billed("worker")]
    some = one.code(), one.said(), rows
    ec2.refuse("spot c5.large", "on-demand c5.large")
    none = ec2.vaeorch("sweep", "one.yaml", "--name", "none", "--cluster", "ec2.yaml", "--yes", "--out", "out")
    ec2.refuse()
    return some, (none.returncode, none.stdout + none.stderr, ec2.billed())


def test_where_spot_machines_are_short_others_are_started_and_it_is_told(short):
    code, said, rows = short[0]
    assert (code, rows) == (0, ["c5.large-on-demand"]), said
    assert "no c5.large-spot: AWS has no such machines free in these zones now (InsufficientInstanceCapacity" in said


def test_where_there_is_no_machine_at_all_the_sweep_ends_with_3_and_nothing_is_billed(short):
    code, said, billed = short[1]
    assert (code, billed) == (3, []), said
    assert "The cluster has had no machine for 0.5 minutes." in said
    assert "resume       vaeorch resume none --out out --cluster ec2.yaml" in said
