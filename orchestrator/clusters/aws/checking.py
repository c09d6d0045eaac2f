"""Looks whether an account of AWS has all that a cluster needs, and starts nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.aws.errors import NO_CREDENTIALS, told
from orchestrator.clusters.aws.lint import lint
from orchestrator.clusters.aws.network import find_subnets
from orchestrator.clusters.aws.policies import TRUST, as_text, of_head, of_workers
from orchestrator.errors import ClusterFailed, UserError

HEAD, WORKERS = "head", "workers"


@dataclass(frozen=True)
class Found:
    """What of an account a cluster uses."""

    account: str
    """The id of the account."""
    vpc: str
    subnets: tuple[str, ...]
    root_device: str
    """What the image calls its disk."""


def check(record) -> list[str]:
    """What was found, in lines. Without credentials, only what needs no network. Raises UserError with all problems."""
    lint(record)
    cloud = Cloud(record.region)
    try:
        found = find(cloud, record)
    except UserError as error:
        if error.lines != (NO_CREDENTIALS,):
            raise
        return [f"Ray and AWS understand this file. AWS was not asked: {NO_CREDENTIALS}"]
    zones = ", ".join(f"{record.region}{zone}" for zone in record.zones)
    return [
        f"account {found.account}: {record.image}, {record.store} and all instance profiles are there",
        f"{zones}: {len(found.subnets)} subnets of {found.vpc}, and all instance types",
    ]


def find(cloud: Cloud, record) -> Found:
    """What a cluster needs and AWS has. Raises UserError, with a line for each thing that is missing."""
    with told():
        account = cloud.client("sts").get_caller_identity()["Account"]
    problems: list[str] = []

    def kept(look: Callable[..., Any], *more: Any) -> Any:
        try:
            return look(cloud, record, *more)
        except (UserError, ClusterFailed) as error:
            problems.extend(error.lines)
            return None

    root_device, network = kept(_root_device), kept(find_subnets)
    for look in (_bucket, _instance_types):
        kept(look)
    kept(_profiles, account)
    if problems:
        raise UserError(*problems)
    return Found(account, *network, root_device)


def _root_device(cloud: Cloud, record) -> str:
    with told():
        images = cloud.client("ec2").describe_images(ImageIds=[record.image])["Images"]
    if not images:
        raise UserError(f"image: {record.image} is not in {record.region}. Write the id that it has there.")
    return images[0].get("RootDeviceName", "/dev/sda1")


def _bucket(cloud: Cloud, record) -> None:
    bucket = record.store.removeprefix("s3://").partition("/")[0]
    try:
        with told():
            cloud.client("s3").head_bucket(Bucket=bucket)
    except UserError as error:
        raise UserError(f"{error} ({bucket})") from None


def _instance_types(cloud: Cloud, record) -> None:
    ec2, zones = cloud.client("ec2"), [f"{record.region}{zone}" for zone in record.zones]
    machines = [(HEAD, record.head), *((f"workers[{n}]", row) for n, row in enumerate(record.workers))]
    wanted = sorted({machine.instance for _, machine in machines})
    filters = [{"Name": "location", "Values": zones}, {"Name": "instance-type", "Values": wanted}]
    with told():
        pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
            LocationType="availability-zone", Filters=filters
        )
        offered = {one["InstanceType"] for page in pages for one in page["InstanceTypeOfferings"]}
        known = ec2.describe_instance_types(InstanceTypes=sorted(offered))["InstanceTypes"] if offered else []
    cpus = {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in known}
    cure = f"is not to be had in {', '.join(zones)}. Choose another type or other zones."
    problems = [
        f"{place}.instance: {machine.instance} {cure}" for place, machine in machines if machine.instance not in offered
    ]
    problems += [
        f"{place}.cpus: {row.cpus}, but {row.instance} has {cpus[row.instance]}. Write that."
        for place, row in machines[1:]
        if row.cpus > cpus.get(row.instance, row.cpus)
    ]
    if problems:
        raise UserError(*problems)


def _profiles(cloud: Cloud, record, account: str) -> None:
    roles, missing = {}, []
    for place, profiles in ((WORKERS, {row.profile for row in record.workers}), (HEAD, {record.head.profile})):
        for profile in sorted(profiles):
            found = _roles(cloud, profile)
            if found is None:
                assumed = roles.get(WORKERS) or [f"arn:aws:iam::{account}:role/{row.profile}" for row in record.workers]
                policy = of_workers(record) if place == WORKERS else of_head(record, account, assumed)
                missing += [f"{place}: profile: {profile}: there is no such instance profile.", *_cure(profile, policy)]
            roles.setdefault(place, []).extend(found or ())
    if missing:
        raise UserError(*missing)


def _roles(cloud: Cloud, profile: str) -> list[str] | None:
    """The ARNs of an instance profile's roles; None where there is no such profile."""
    from botocore.exceptions import ClientError

    with told():
        try:
            name = profile.rpartition("/")[2]
            known = cloud.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return None
            raise
    return [role["Arn"] for role in known]


def _cure(profile: str, policy: dict[str, Any]) -> list[str]:
    """How to make an instance profile, with a role of the same name."""
    name = profile.rpartition("/")[2]
    return [
        "  Write the two policies below to trust.json and may.json, then make it:",
        f"  aws iam create-role --role-name {name} --assume-role-policy-document file://trust.json",
        f"  aws iam put-role-policy --role-name {name} --policy-name vaeorch --policy-document file://may.json",
        f"  aws iam create-instance-profile --instance-profile-name {name}",
        f"  aws iam add-role-to-instance-profile --instance-profile-name {name} --role-name {name}",
        f"  trust.json of {name}:",
        *as_text(TRUST),
        f"  may.json of {name}:",
        *as_text(policy),
    ]
