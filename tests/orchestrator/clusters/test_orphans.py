"""Machines at AWS that are billed although no known cluster accounts for them, with moto for AWS."""

import pytest

from orchestrator.clusters.aws.noted import Noted, forget
from orchestrator.clusters.orphans import find_orphans
from orchestrator.clusters.state import note_file, owner, state_folder
from tests.support import ROOT
from tests.support.aws_accounts import IMAGE_OF_MOTO, REGION, account, states


@pytest.fixture
def ec2(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with account(monkeypatch) as client:
        yield client


def machine(ec2, cluster: str, whose: str | None = None) -> str:
    tags = {"vaeorch": cluster, "vaeorch-owner": whose or owner()}
    given = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    made = ec2.run_instances(ImageId=IMAGE_OF_MOTO, MinCount=1, MaxCount=1, TagSpecifications=given)
    return made["Instances"][0]["InstanceId"]


@pytest.fixture
def file(tmp_path):
    """A file of a cluster that this machine has started, which is noted."""
    file = tmp_path / "gpus.yaml"
    file.write_text((ROOT / "clusters" / "aws.yaml").read_text())
    state = state_folder("gpus")
    note_file(state, file)
    Noted("c-gpus", REGION).write(state)
    return file


def test_machines_of_this_user_without_a_cluster_are_found_and_ended(ec2, file):
    mine, of_cluster, of_others = machine(ec2, "c-gone"), machine(ec2, "c-gpus"), machine(ec2, "c-other", "you@there")
    [found] = find_orphans()
    assert (found.cluster, found.region, found.machines) == ("c-gone", REGION, (mine,))
    assert found.end() == []
    known = states(ec2)
    assert (known[mine], known[of_cluster], known[of_others]) == ("terminated", "running", "running")
    assert find_orphans() == []


def test_a_cluster_whose_file_is_gone_has_orphans(ec2, file):
    mine = machine(ec2, "c-gpus")
    assert find_orphans() == []
    file.unlink()
    assert [found.machines for found in find_orphans()] == [(mine,)]


def test_machines_that_were_left_when_a_cluster_was_down_are_found(ec2, file):
    mine = machine(ec2, "c-gpus")
    forget(state_folder("gpus"))
    assert [found.machines for found in find_orphans()] == [(mine,)]


def test_where_there_was_never_a_cluster_at_aws_nobody_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert find_orphans() == []
