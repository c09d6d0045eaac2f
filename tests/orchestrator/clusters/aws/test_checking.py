"""What `cluster check` finds in an account of AWS, with moto for AWS: each thing that is missing, in a line."""

import json

import boto3
import pytest

from orchestrator.clusters.aws import checking
from orchestrator.clusters.aws.policies import of_head, of_workers, on_store
from orchestrator.errors import UserError
from tests.support.aws_accounts import CREDENTIALS, IMAGE_OF_MOTO, account, refusing
from tests.support.aws_records import HEAD, SPOT, aws_cluster


@pytest.fixture
def ec2(monkeypatch):
    with account(monkeypatch) as client:
        yield client


def a_cluster(**changes):
    return aws_cluster(**{"image": IMAGE_OF_MOTO} | changes)


def problems(**changes) -> list[str]:
    with pytest.raises(UserError) as error:
        checking.check(a_cluster(**changes))
    return list(error.value.lines)


def test_an_account_that_has_everything_is_told_so_and_nothing_is_started(ec2):
    lines = checking.check(a_cluster())
    assert lines[0].startswith("account 123456789012: ")
    assert lines[1].startswith("us-west-2a, us-west-2b: 2 subnets of vpc-")
    assert ec2.describe_instances()["Reservations"] == [] == ec2.describe_key_pairs()["KeyPairs"]


MISSING = [
    ({"image": "ami-0000000000000000f"}, "image: is not in this region (InvalidAMIID.NotFound"),
    (
        {"store": "s3://nowhere/x"},
        "store: there is no such bucket (404: Not Found). Make it",
    ),
    ({"head": HEAD | {"instance": "zz.huge"}}, "head.instance: zz.huge is not to be had in us-west-2a, us-west-2b."),
    ({"workers": [SPOT | {"instance": "zz.huge"}]}, "workers[0].instance: zz.huge is not to be had in us-west-2a"),
    ({"workers": [SPOT | {"cpus": 64}]}, "workers[0].cpus: 64, but g5.2xlarge has 8. Write that."),
    ({"subnets": ["subnet-0123456789abcdef0"]}, "subnets: is not in this region (InvalidSubnetID.NotFound"),
    ({"zones": ["z"]}, "zones: the default VPC has no subnet there: us-west-2z. Correct `zones` or `subnets`."),
]


@pytest.mark.parametrize(("changes", "line"), MISSING, ids=[line for _, line in MISSING])
def test_what_is_missing_is_told_in_a_line(ec2, changes, line):
    assert problems(**changes)[0].startswith(line)


def test_all_that_is_missing_is_told_at_once(ec2):
    told = problems(image="ami-0000000000000000f", store="s3://nowhere/x", workers=[SPOT | {"cpus": 64}])
    assert [line.partition(":")[0] for line in told] == ["image", "store", "workers[0].cpus"]


def test_where_a_profile_is_missing_the_exact_policy_is_printed(ec2):
    record = a_cluster(workers=[SPOT | {"profile": "mine"}])
    first, *cure = problems(workers=[SPOT | {"profile": "mine"}])
    assert first == "workers: profile: mine: there is no such instance profile."
    text = "\n".join(cure)
    printed = json.loads(text[text.index("may.json of mine:") + len("may.json of mine:") :])
    assert printed == of_workers(record)
    assert "aws iam create-instance-profile --instance-profile-name mine" in text


def test_the_policies_are_as_aws_wants_them_and_a_profile_can_be_made_of_them(ec2):
    iam, record = boto3.client("iam"), a_cluster()
    for name, policy in (
        ("head", of_head(record, "123456789012", ["arn:aws:iam::123456789012:role/w"])),
        ("worker", of_workers(record)),
    ):
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy))  # moto checks its grammar


def test_workers_may_use_the_store_alone_and_the_head_passes_their_role_only():
    record = a_cluster()
    assert of_workers(record)["Statement"] == on_store("s3://bucket/prefix")
    for statement in on_store("s3://bucket/prefix"):
        assert "arn:aws:s3:::bucket" in statement["Resource"]
    assert on_store("s3://bucket/prefix")[0]["Resource"] == "arn:aws:s3:::bucket/prefix/*"
    passed = [one for one in of_head(record, "1", ["arn:w"])["Statement"] if one["Action"] == "iam:PassRole"]
    assert [one["Resource"] for one in passed] == [["arn:w"]]
    ended = [one for one in of_head(record, "1", [])["Statement"] if "ec2:TerminateInstances" in one["Action"]]
    assert [one["Condition"] for one in ended] == [{"StringLike": {"aws:ResourceTag/vaeorch": "*"}}]


def test_credentials_that_are_refused_are_told_in_a_line(ec2, monkeypatch):
    with refusing(monkeypatch, "GetCallerIdentity", "InvalidClientTokenId"):
        assert problems() == [
            "AWS refuses the credentials of this machine. Renew them: `aws configure`, or `aws sso login`."
        ]


def test_without_credentials_only_what_needs_no_network_is_checked(monkeypatch, tmp_path):
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    [line] = checking.check(a_cluster())
    assert line.startswith("Ray and AWS understand this file. AWS was not asked: there are no credentials")
    assert problems(ray={"max_worker": 3})[0].endswith("('max_worker' was unexpected)")
