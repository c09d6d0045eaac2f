"""A cluster's life at AWS, with moto for AWS: what is made, what is left, and what is billed at the end: nothing."""

import json
import stat
from contextlib import contextmanager

import pytest

from orchestrator.clusters.aws import cloud, life, network, standing
from orchestrator.clusters.aws.noted import FILE, Noted, name_of_cluster
from orchestrator.clusters.aws.reach import KEY
from orchestrator.clusters.aws.render import HEAD
from orchestrator.clusters.state import state_folder
from orchestrator.errors import ClusterFailed, UserError
from tests.support.aws_accounts import IMAGE_OF_MOTO, account, answering, refusing, start, states
from tests.support.aws_records import SPOT, aws_cluster

SPOT_ROW = "g5.2xlarge-spot"


@pytest.fixture
def ec2(monkeypatch):
    with account(monkeypatch) as client:
        yield client


@pytest.fixture
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cloud, "PAUSE_S", 0.0)
    return state_folder("gpus")


@pytest.fixture
def launcher(monkeypatch, ec2):
    """In place of `ray up`: starts the head. What it is to do before that can be set; it counts its calls."""
    calls = []

    def ray_up(file, state):
        calls.append(file)
        start(ec2, file, HEAD)
        for act in acts:
            act(file)

    @contextmanager
    def opened(record, state):
        yield

    acts = []
    monkeypatch.setattr(life, "ray_up", ray_up)
    monkeypatch.setattr(life, "opened", opened)
    ray_up.calls, ray_up.acts = calls, acts
    return ray_up


def a_cluster(**changes):
    return aws_cluster(**{"image": IMAGE_OF_MOTO, "ssh_from": "203.0.113.7/32"} | changes)


def billed(ec2) -> list[str]:
    return [one for one, state in states(ec2).items() if state != "terminated"]


def keys(ec2) -> list[str]:
    return [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]]


def test_up_starts_the_head_and_says_so(ec2, state, launcher):
    said = []
    assert life.up(a_cluster(), state, said.append)
    assert said == [f"Starting m6i.xlarge in us-west-2, the head of {name_of_cluster(state)}."]
    [head] = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    assert (head["InstanceType"], head["ImageId"], head["State"]["Name"]) == ("m6i.xlarge", IMAGE_OF_MOTO, "running")
    assert head["IamInstanceProfile"]["Arn"].endswith("instance-profile/vaeorch-head")
    assert Noted.read(state).address == head["PublicIpAddress"]
    assert standing.standing(state) == "up, 0 workers"


def test_up_of_a_cluster_that_is_up_starts_nothing(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    assert not life.up(a_cluster(), state, print)
    assert len(launcher.calls) == len(billed(ec2)) == 1


def test_only_its_user_reaches_the_machines_and_they_each_other(ec2, state, launcher):
    for _ in range(2):
        life.up(a_cluster(), state, print)
        life.down(a_cluster(), state)
    [group] = [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] == network.GROUP]
    rules = [(rule["IpProtocol"], rule.get("FromPort"), rule["IpRanges"]) for rule in group["IpPermissions"]]
    assert sorted(protocol for protocol, _, _ in rules) == ["-1", "tcp"]
    assert [pair["GroupId"] for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]] == [
        group["GroupId"]
    ]
    [(_, port, ranges)] = [rule for rule in rules if rule[2]]
    assert (port, [one["CidrIp"] for one in ranges]) == (22, ["203.0.113.7/32"])


def test_the_machines_of_the_head_belong_to_the_group(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    [head] = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    assert [group["GroupName"] for group in head["SecurityGroups"]] == [network.GROUP]


def test_secrets_are_for_the_user_alone(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    modes = {file: stat.S_IMODE((state / file).stat().st_mode) for file in (KEY, FILE, "launcher.yaml", "mounts/token")}
    assert set(modes.values()) == {0o600}
    assert "PRIVATE KEY" in (state / KEY).read_text()
    secret = (state / "token").read_text()
    assert secret not in (state / "launcher.yaml").read_text() + (state / "mounts" / "cluster.json").read_text()


def test_each_machine_gets_the_token_and_the_programs_as_they_are_here(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    mounts = state / "mounts"
    assert sorted(file.name for file in mounts.iterdir()) == ["cluster.json", "on_worker.py", "token", "watchdog.py"]
    facts = json.loads((mounts / "cluster.json").read_text())
    assert (facts["cluster"], facts["rows"]) == (name_of_cluster(state), {SPOT_ROW: 8})
    for name in ("watchdog.py", "on_worker.py"):
        compile((mounts / name).read_text(), name, "exec")


def test_what_is_made_is_noted_before_aws_is_asked_anything(state, monkeypatch):
    noted = []

    def find(cloud, record):
        noted.append(json.loads((state / FILE).read_text()))
        raise UserError("no")

    monkeypatch.setattr(life, "find", find)
    with pytest.raises(UserError):
        life.up(a_cluster(), state, print)
    assert [(one["cluster"], one["region"]) for one in noted] == [(name_of_cluster(state), "us-west-2")]
    assert Noted.read(state) is None


FAULTS = [RuntimeError("a bug"), ClusterFailed("no room"), UserError("a mistake"), KeyboardInterrupt()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_whatever_befalls_the_launcher_nothing_is_billed_afterwards(ec2, state, launcher, fault):
    def fail(file):
        start(ec2, file, SPOT_ROW, 2)
        raise fault

    launcher.acts.append(fail)
    with pytest.raises(type(fault)):
        life.up(a_cluster(), state, print)
    assert len(states(ec2)) == 3 and billed(ec2) == keys(ec2) == []
    assert Noted.read(state) is None and not (state / KEY).exists()


def test_a_head_that_does_not_answer_is_ended(ec2, state, launcher, monkeypatch):
    @contextmanager
    def opened(record, state):
        raise life.NoAnswer("silence")
        yield

    monkeypatch.setattr(life, "opened", opened)
    monkeypatch.setattr(life, "ANSWER_S", 0.0)
    with pytest.raises(ClusterFailed, match="does not answer within 0 s: silence"):
        life.up(a_cluster(), state, print)
    assert billed(ec2) == []


def test_down_ends_the_workers_of_all_zones_too_and_removes_the_key(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    start(ec2, launcher.calls[0], SPOT_ROW, 3)
    assert len(billed(ec2)) == 4
    assert standing.standing(state) == "up, 3 workers"
    assert life.down(a_cluster(), state) == []
    assert billed(ec2) == keys(ec2) == []
    assert standing.standing(state) == "down"


def test_down_can_be_repeated_and_works_without_what_was_noted(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    (state / FILE).unlink()
    assert life.down(a_cluster(), state) == life.down(a_cluster(), state) == []
    assert billed(ec2) == []


def test_down_ends_the_machines_of_a_cluster_whose_folder_was_lost(ec2, state, launcher, monkeypatch, tmp_path):
    life.up(a_cluster(), state, print)
    life.up(a_cluster(), state_folder(f"{state.name}-2"), print)  # another cluster, whose name only begins like this
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "anew"))
    assert life.down(a_cluster(), state_folder(state.name)) == []
    assert len(billed(ec2)) == 1
    monkeypatch.setattr("orchestrator.clusters.aws.noted.owner", lambda: "you@there")
    assert life.down(a_cluster(), state_folder(f"{state.name}-2")) == []
    assert len(billed(ec2)) == 1  # of another user


def test_a_file_that_was_edited_while_its_cluster_is_up_is_told(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    assert not life.up(a_cluster(checkpoint_minutes=3), state, print)
    with pytest.raises(UserError, match="is up as its file was before max_hours changed. Put that back, or end"):
        life.up(a_cluster(max_hours=2), state, print)


@pytest.mark.parametrize(
    "content", ['{"cluster": "x"}', '{"cluster": 5, "region": [1]}', '{"cluster": "x", "region": "y", "z": 1}']
)
def test_notes_that_are_damaged_are_told_in_a_line(state, content):
    (state / FILE).write_text(content)
    with pytest.raises(UserError, match="aws.json: is damaged. Look at AWS's console"):
        Noted.read(state)


def test_down_leaves_the_machines_of_others_alone(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    life.up(a_cluster(), other := state_folder("other"), print)
    [stranger] = ec2.run_instances(ImageId=IMAGE_OF_MOTO, MinCount=1, MaxCount=1)["Instances"]
    life.down(a_cluster(), state)
    assert stranger["InstanceId"] in billed(ec2) and len(billed(ec2)) == 2
    life.down(a_cluster(), other)
    assert billed(ec2) == [stranger["InstanceId"]]


def test_a_machine_that_was_ended_by_hand_does_not_keep_down_from_ending_the_rest(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    workers = start(ec2, launcher.calls[0], SPOT_ROW, 2)
    ec2.terminate_instances(InstanceIds=workers[:1])
    assert life.down(a_cluster(), state) == []
    assert billed(ec2) == []


def test_down_believes_only_terminated(ec2, state, launcher, monkeypatch):
    life.up(a_cluster(), state, print)
    monkeypatch.setattr(cloud, "END_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(cloud, "GONE", "never")
        [line] = life.down(a_cluster(), state)
    assert "AWS still shows machines" in line and "cluster down" in line
    assert Noted.read(state)
    assert life.down(a_cluster(), state) == [] and Noted.read(state) is None


def test_a_machine_that_comes_up_while_others_end_is_ended_too(ec2, state, launcher, monkeypatch):
    life.up(a_cluster(), state, print)
    late = [lambda: start(ec2, launcher.calls[0], SPOT_ROW)]
    monkeypatch.setattr(cloud.time, "sleep", lambda seconds: late and late.pop()())
    assert life.down(a_cluster(), state) == []
    assert len(states(ec2)) == 2 and billed(ec2) == []


def test_up_after_the_head_was_lost_ends_what_is_left_first(ec2, state, launcher):
    life.up(a_cluster(), state, print)
    start(ec2, launcher.calls[0], SPOT_ROW, 2)
    [head] = [one.id for one in cloud.Cloud("us-west-2").alive() if one.head]
    ec2.terminate_instances(InstanceIds=[head])
    assert standing.standing(state) == "the head is lost, 2 workers"
    said = []
    assert life.up(a_cluster(), state, said.append)
    assert said[0] == f"Ending what is left of {name_of_cluster(state)}."
    assert len(billed(ec2)) == 1


def test_a_head_is_lost_once_aws_says_that_it_ends_and_not_while_aws_says_nothing(ec2, state, launcher, monkeypatch):
    life.up(a_cluster(), state, print)
    assert not standing.lost(state)
    [head] = [one.id for one in cloud.Cloud("us-west-2").alive()]
    ec2.terminate_instances(InstanceIds=[head])
    assert standing.lost(state)
    with refusing(monkeypatch, "DescribeInstances", "RequestLimitExceeded"):
        assert not standing.lost(state)


def test_a_placement_group_is_made_and_removed(ec2, state, launcher, monkeypatch):
    record = a_cluster(zones=["a"], workers=[SPOT | {"close_together": True}])
    with answering(monkeypatch, "CreatePlacementGroup", "DeletePlacementGroup") as asked:
        life.up(record, state, print)
        [(operation, made)] = asked
        assert (operation, made["GroupName"], made["Strategy"]) == (
            "CreatePlacementGroup",
            name_of_cluster(state),
            "cluster",
        )
        life.down(record, state)
    assert asked[1:] == [("DeletePlacementGroup", {"GroupName": name_of_cluster(state)})]


@pytest.mark.parametrize(
    ("operation", "code", "kind", "line"),
    [
        ("GetCallerIdentity", "InvalidClientTokenId", UserError, "AWS refuses the credentials"),
        ("CreateSecurityGroup", "UnauthorizedOperation", UserError, "these credentials may not do this"),
        ("CreateKeyPair", "UnauthorizedOperation", UserError, "these credentials may not do this"),
        ("RunInstances", "InsufficientInstanceCapacity", ClusterFailed, "AWS has no such machines free"),
        ("RunInstances", "InstanceLimitExceeded", ClusterFailed, "the quota of this account"),
        ("RunInstances", "VcpuLimitExceeded", ClusterFailed, "the quota of this account"),
    ],
)
def test_a_refusal_is_told_in_a_line_and_nothing_is_billed(
    ec2, state, launcher, monkeypatch, operation, code, kind, line
):
    from orchestrator.clusters.aws.errors import told

    plain = life.ray_up

    def ray_up(file, state):
        with told():
            plain(file, state)

    monkeypatch.setattr(life, "ray_up", ray_up)
    with refusing(monkeypatch, operation, code), pytest.raises(kind) as error:
        life.up(a_cluster(), state, print)
    [told_line] = error.value.lines
    assert told_line.startswith(line) and code in told_line or "credentials of this machine" in told_line
    assert billed(ec2) == keys(ec2) == []
    assert Noted.read(state) is None


def test_where_aws_does_not_end_machines_it_is_told_and_stays_noted(ec2, state, launcher, monkeypatch):
    launcher.acts.append(lambda file: 1 / 0)
    said = []
    with refusing(monkeypatch, "TerminateInstances", "UnauthorizedOperation"), pytest.raises(ZeroDivisionError):
        life.up(a_cluster(), state, said.append)
    assert said[-1].startswith("AWS still shows machines") and "cluster down" in said[-1]
    assert Noted.read(state)
    assert life.down(a_cluster(), state) == [] and billed(ec2) == []
