"""An account of AWS that has all that a cluster needs, and a launcher that starts the head in it: both by moto."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from orchestrator.clusters.aws.policies import TRUST, as_text
from orchestrator.clusters.aws.render import HEAD

REGION = "us-west-2"
IMAGE_OF_MOTO = "ami-12c6146b"  # one that moto knows
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def account(monkeypatch) -> Iterator[Any]:
    """Yields a client of EC2 in an account with a bucket, a virtual network, and two instance profiles."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        furnish()
        yield boto3.client("ec2", region_name=REGION)


def furnish(**how: Any) -> None:
    """Make what an account needs. `how` goes to each client."""
    place = {"LocationConstraint": REGION}
    boto3.client("s3", region_name=REGION, **how).create_bucket(Bucket="bucket", CreateBucketConfiguration=place)
    iam = boto3.client("iam", region_name=REGION, **how)
    for name in ("vaeorch-head", "vaeorch-worker"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="".join(as_text(TRUST)))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def start(ec2: Any, launcher_file: Path, row: str, count: int = 1) -> list[str]:
    """Start machines of a row as Ray's launcher does. Returns their ids."""
    config = yaml.safe_load(launcher_file.read_text())
    asked = dict(config["available_node_types"][row]["node_config"])
    subnets, tags = asked.pop("SubnetIds"), asked.pop("TagSpecifications")
    kind = "head" if row == HEAD else "worker"
    own = {"ray-cluster-name": config["cluster_name"], "ray-node-type": kind, "ray-user-node-type": row}
    tags[0]["Tags"] += [{"Key": key, "Value": value} for key, value in own.items()]
    made = ec2.run_instances(**asked, SubnetId=subnets[0], TagSpecifications=tags, MinCount=count, MaxCount=count)
    return [one["InstanceId"] for one in made["Instances"]]


@contextmanager
def refusing(monkeypatch, operation: str, code: str, text: str = "because") -> Iterator[list[dict]]:
    """Inside this context AWS refuses an operation with a code. Yields the requests that were refused."""
    usual, refused = BaseClient._make_api_call, []

    def call(client, name, values):
        if name != operation:
            return usual(client, name, values)
        refused.append(values)
        raise ClientError({"Error": {"Code": code, "Message": text}}, name)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield refused


@contextmanager
def answering(monkeypatch, *operations: str) -> Iterator[list[tuple[str, dict]]]:
    """Inside this context AWS does as it is asked by operations that moto lacks. Yields what it was asked."""
    usual, asked = BaseClient._make_api_call, []

    def call(client, name, values):
        if name not in operations:
            return usual(client, name, values)
        asked.append((name, values))
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield asked


def states(ec2: Any) -> dict[str, str]:
    """The state of each machine, by its id."""
    groups = ec2.describe_instances()["Reservations"]
    return {one["InstanceId"]: one["State"]["Name"] for group in groups for one in group["Instances"]}
