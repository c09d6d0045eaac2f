"""The machines of clusters in a region of AWS: which there are, and how they are ended."""

import time
from dataclasses import dataclass
from typing import Any

from orchestrator.clusters.aws.errors import told
from orchestrator.clusters.aws.render import OWNER_TAG, TAG

KIND_TAG = "ray-node-type"  # that Ray gives to its machines
GONE = "terminated"
PAUSE_S = 3.0  # between looks whether machines are gone
END_S = 300.0  # for machines to be gone
ATTEMPTS, CONNECT_S, ANSWER_S = 5, 10, 30


@dataclass(frozen=True)
class Instance:
    """A machine, as AWS describes it."""

    id: str
    state: str
    """pending, running, shutting-down, stopping, stopped or terminated."""
    instance: str
    """Its type."""
    spot: bool
    cluster: str
    """Name of the cluster."""
    owner: str
    """Who has started the cluster, and where."""
    head: bool
    public_address: str
    private_address: str


class Cloud:
    """A region of AWS. Methods raise UserError and ClusterFailed."""

    def __init__(self, region: str):
        self.region = region
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """boto3's client."""
        if service not in self._clients:
            import boto3
            from botocore.config import Config

            retries = {"max_attempts": ATTEMPTS, "mode": "standard"}
            how = Config(retries=retries, connect_timeout=CONNECT_S, read_timeout=ANSWER_S)
            with told():
                self._clients[service] = boto3.client(service, region_name=self.region, config=how)
        return self._clients[service]

    def instances(self, cluster: str = "*") -> list[Instance]:
        """The machines of a cluster, or of all clusters of vaeorch, in all zones, also some that are gone."""
        of_ours = [{"Name": f"tag:{TAG}", "Values": [cluster]}]
        with told():
            pages = self.client("ec2").get_paginator("describe_instances").paginate(Filters=of_ours)
            return [_instance(one) for page in pages for group in page["Reservations"] for one in group["Instances"]]

    def alive(self, cluster: str = "*") -> list[Instance]:
        """Those that are billed, or may be: of no others does AWS say that they are terminated."""
        return [one for one in self.instances(cluster) if one.state != GONE]

    def end(self, cluster: str) -> list[Instance]:
        """End all machines of a cluster, and those that come up meanwhile. Returns those that are alive after END_S."""
        deadline, quiet = time.monotonic() + END_S, 0
        while True:
            left = self.alive(cluster)
            if asked := [one.id for one in left if one.state != "shutting-down"]:
                with told():
                    self.client("ec2").terminate_instances(InstanceIds=asked)
            quiet = 0 if left else quiet + 1
            if quiet > 1 or time.monotonic() > deadline:  # a machine may be described only some seconds after its start
                return left
            time.sleep(PAUSE_S)


def _instance(one: dict[str, Any]) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    return Instance(
        id=one["InstanceId"],
        state=one["State"]["Name"],
        instance=one["InstanceType"],
        spot=one.get("InstanceLifecycle") == "spot",
        cluster=tags[TAG],
        owner=tags.get(OWNER_TAG, ""),
        head=tags.get(KIND_TAG) == "head",
        public_address=one.get("PublicIpAddress", ""),
        private_address=one.get("PrivateIpAddress", ""),
    )
