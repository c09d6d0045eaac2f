"""What machines of AWS may do: the policies of their roles, no wider than their work needs."""

import json
from typing import Any

from orchestrator.clusters.aws.render import TAG

VERSION = "2012-10-17"
LOOKS = (
    *("DescribeInstances", "DescribeInstanceTypes", "DescribeImages", "DescribeSubnets", "DescribeSecurityGroups"),
    *("DescribeKeyPairs", "DescribeAvailabilityZones", "DescribeVpcs", "DescribeLaunchTemplateVersions"),
)
TRUST = {
    "Version": VERSION,
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
"""Who may have such a role: machines of EC2."""


def on_store(store: str) -> list[dict[str, Any]]:
    """To read and write below s3://BUCKET/PREFIX, and nothing else."""
    bucket, _, prefix = store.removeprefix("s3://").rstrip("/").partition("/")
    below = f"{prefix}/*" if prefix else "*"
    files = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [prefix, below]}}
    return [{"Effect": "Allow", "Action": files, "Resource": f"arn:aws:s3:::{bucket}/{below}"}, listing]


def of_workers(record) -> dict[str, Any]:
    """The policy of machines that train."""
    return {"Version": VERSION, "Statement": on_store(record.store)}


def of_head(record, account: str, worker_roles: list[str]) -> dict[str, Any]:
    """The policy of the head, which starts and ends workers.

    Args:
        account: the id of the account, or * where it is not known.
        worker_roles: ARNs of the roles of the workers' instance profiles.
    """
    machines = f"arn:aws:ec2:{record.region}:{account}:instance/*"
    tagged = {"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}
    started = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    here = {"StringEquals": {"aws:RequestedRegion": record.region}}
    return {
        "Version": VERSION,
        "Statement": [
            {"Effect": "Allow", "Action": [f"ec2:{name}" for name in LOOKS], "Resource": "*"},
            {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*", "Condition": here},
            {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*", "Condition": started},
            {
                "Effect": "Allow",
                "Action": ["ec2:TerminateInstances", "ec2:CreateTags"],
                "Resource": machines,
                "Condition": tagged,
            },
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": worker_roles},
            *on_store(record.store),
        ],
    }


def as_text(policy: dict[str, Any]) -> list[str]:
    """The lines of a policy, as AWS takes it."""
    return json.dumps(policy, indent=2).splitlines()
