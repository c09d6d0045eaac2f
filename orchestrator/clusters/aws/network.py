"""What machines in a region of AWS need besides themselves: subnets, a security group, a key, a placement group.

A subnet is found, the others are made. The security group stays when a cluster ends; it costs nothing.
"""

import os
import socket
import urllib.request
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.aws.errors import told
from orchestrator.clusters.aws.render import TAG
from orchestrator.errors import UserError

GROUP = "vaeorch"  # the security group, one in each VPC
OWN_ADDRESS = "https://checkip.amazonaws.com"
OWN_ADDRESS_S = 10
ANYWHERE = "0.0.0.0/0"


def find_subnets(cloud: Cloud, record) -> tuple[str, tuple[str, ...]]:
    """The VPC, and the ids of its subnets for machines in the order of the zones. Raises UserError."""
    zones = [f"{record.region}{zone}" for zone in record.zones]
    named = {"SubnetIds": list(record.subnets)} if record.subnets else {}
    of_default = {} if named else {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
    with told():
        found = cloud.client("ec2").describe_subnets(**named, **of_default)["Subnets"]
    if len({subnet["VpcId"] for subnet in found}) > 1:
        raise UserError(f"subnets: are of several VPCs: {', '.join(record.subnets)}. Name those of one.")
    order = {zone: number for number, zone in enumerate(zones)}
    usable = sorted(
        (order[one["AvailabilityZone"]], one["SubnetId"]) for one in found if one["AvailabilityZone"] in order
    )
    if not usable:
        what = "zones: none of them has one of the `subnets`" if named else "zones: the default VPC has no subnet there"
        raise UserError(f"{what}: {', '.join(zones)}. Correct `zones` or `subnets`.")
    return found[0]["VpcId"], tuple(subnet for _, subnet in usable)


def make_security_group(cloud: Cloud, vpc: str, ssh_from: str) -> str:
    """The id of the security group: the machines reach each other, and `ssh_from` reaches them by SSH; nobody else."""
    ec2 = cloud.client("ec2")
    known = [{"Name": "group-name", "Values": [GROUP]}, {"Name": "vpc-id", "Values": [vpc]}]
    with told():
        found = ec2.describe_security_groups(Filters=known)["SecurityGroups"]
        group = found[0]["GroupId"] if found else _new_group(ec2, vpc)
    for rule in (
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ssh_from, "Description": TAG}]},
    ):
        _allow(ec2, group, rule)
    return group


def _new_group(ec2, vpc: str) -> str:
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": "1"}]}]
    what = "Machines of vaeorch: SSH from their users, everything among themselves"
    return ec2.create_security_group(GroupName=GROUP, Description=what, VpcId=vpc, TagSpecifications=tags)["GroupId"]


def _allow(ec2, group: str, rule: dict) -> None:
    from botocore.exceptions import ClientError

    with told():
        try:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                raise


def own_network(cloud: Cloud, record, vpc: str) -> str:
    """The network that may reach the head by SSH. Raises UserError."""
    if record.ssh_from:
        return record.ssh_from
    if record.private_addresses:
        with told():
            network = cloud.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.connect((str(IPv4Network(network)[1]), 9))  # nothing is sent
            return f"{probe.getsockname()[0]}/32"
    try:
        with urllib.request.urlopen(OWN_ADDRESS, timeout=OWN_ADDRESS_S) as answer:
            return f"{IPv4Address(answer.read().decode().strip())}/32"
    except (OSError, ValueError) as error:
        what = f"{OWN_ADDRESS} does not say by which address AWS sees this machine ({error})"
        raise UserError(f"ssh_from: {what}. Write ssh_from yourself, as 203.0.113.7/32.") from None


def make_key(cloud: Cloud, name: str, file: Path) -> None:
    """Make a key pair of this name in place of an older one. The private key goes to `file`, for this user alone."""
    ec2, tags = cloud.client("ec2"), [{"ResourceType": "key-pair", "Tags": [{"Key": TAG, "Value": name}]}]
    with told():
        ec2.delete_key_pair(KeyName=name)  # no fault where there is none
        made = ec2.create_key_pair(KeyName=name, KeyType="rsa", TagSpecifications=tags)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(made["KeyMaterial"])


def make_placement_group(cloud: Cloud, name: str) -> None:
    """Make a group whose machines stand close together."""
    tags = [{"ResourceType": "placement-group", "Tags": [{"Key": TAG, "Value": name}]}]
    with told():
        cloud.client("ec2").create_placement_group(GroupName=name, Strategy="cluster", TagSpecifications=tags)


def remove(cloud: Cloud, name: str, placement_group: bool) -> None:
    """Remove a cluster's key pair and placement group, once its machines are gone. Raises UserError."""
    with told():
        cloud.client("ec2").delete_key_pair(KeyName=name)
        if placement_group:
            cloud.client("ec2").delete_placement_group(GroupName=name)
