"""Makes the file of Ray's cluster launcher for a record of kind `aws`. `lint.py` checks it.

Everything is written that Ray has a default for which costs money or opens a port: no machine is only stopped, none
has Ray's own image, packages or rights, and no dashboard listens to the network.
"""

import io
import json
import math
import shlex
from dataclasses import dataclass
from typing import Any

from orchestrator.clusters.local import API_SERVER, ENVIRONMENT
from orchestrator.clusters.openssh import quoted

HEAD = "head"  # what Ray calls the row of the head
TAG = "vaeorch"  # of everything that vaeorch makes; its value is the cluster's name
OWNER_TAG = "vaeorch-owner"
MOUNTS = "~/.vaeorch"  # on each machine, where TOKEN and our programs are
TOKEN, WATCHDOG, ON_WORKER, FACTS = "token", "watchdog.py", "on_worker.py", "cluster.json"
LOGS, IDLE = "~/.local/state/vaeorch", "idle_s"  # on each machine; in IDLE is how long the head waits for a job
RAY_PORT, OBJECTS_PORT, DASHBOARD_PORT = 6379, 8076, 8265
OBJECT_STORE_BYTES = 512 * 2**20  # results and blocks of files; Ray's default takes a third of the memory
LAUNCHES = 100.0  # a sweep has use for all its machines at once
OUTSIDE = "192.0.2.1"  # an address that is nobody's; nothing is sent to it
ON_CLUSTER = {
    "RAY_AUTH_MODE": "token",
    "RAY_JOB_STOP_WAIT_TIME_S": "120",  # for a driver to end in order; after Ray's 3 s it is killed
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1800",  # for a trial's workers to have machines that are set up
}


@dataclass(frozen=True)
class Places:
    """What of a cluster is known once AWS has been asked."""

    cluster: str
    """The cluster's name there."""
    owner: str
    """Who has started it, and where."""
    subnets: tuple[str, ...]
    """Ids of subnets, in the order of the zones."""
    security_group: str
    """The id of the security group."""
    key_file: str
    """The private key, on this machine."""
    mounts: str
    """The folder on this machine with what each machine gets."""
    root_device: str = "/dev/sda1"
    """What the image calls its disk; this is what Ubuntu's do."""


def offline(record) -> Places:
    """What is not known yet, as it is shown."""
    subnets = record.subnets or tuple(f"<subnet in {record.region}{zone}>" for zone in record.zones)
    return Places("<cluster>", "<you>", subnets, "<security group>", "<key>", "<mounts>")


def render(record, places: Places) -> dict[str, Any]:
    """The values of the launcher's file."""
    rows = {HEAD: _head(record, places)}
    for number, row in enumerate(record.workers):
        rows[row.name] = _workers(record, row, places, len(record.workers) - number)
    made = {
        "cluster_name": places.cluster,
        "max_workers": record.workers_at_most,
        "upscaling_speed": LAUNCHES,
        "idle_timeout_minutes": record.idle_minutes,
        "docker": {},
        "provider": {
            "type": "aws",
            "region": record.region,
            "availability_zone": ",".join(f"{record.region}{zone}" for zone in record.zones),
            "cache_stopped_nodes": False,
            "use_internal_ips": record.private_addresses,
        },
        "auth": {"ssh_user": record.user, "ssh_private_key": places.key_file},
        "head_node_type": HEAD,
        "available_node_types": rows,
        "file_mounts": {MOUNTS: places.mounts},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "initialization_commands": [],
        "setup_commands": list(record.setup),
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": _on_head(record),
        "worker_start_ray_commands": _on_worker(record),
    }
    return merged(made, record.ray)


def merged(made: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`made` with what `own` has in its place; mappings are merged, lists replaced."""
    result = dict(made)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        result[key] = merged(made[key], value) if both else value
    return result


def as_yaml(values: dict[str, Any]) -> str:
    """The text of the launcher's file."""
    from ruamel.yaml import YAML

    yaml, text = YAML(pure=True), io.StringIO()
    yaml.width, yaml.default_flow_style = 10**6, False
    yaml.representer.ignore_aliases = lambda *values: True
    yaml.dump(values, text)
    return text.getvalue()


def facts(record, places: Places) -> dict[str, Any]:
    """What the programs on the machines are told, as plain values."""
    return {
        "cluster": places.cluster,
        "tag": TAG,
        "region": record.region,
        "idle_s": 60 * record.idle_minutes,
        "end_s": 3600 * record.max_hours,
        "dashboard_port": DASHBOARD_PORT,
        "ray_port": RAY_PORT,
        "rows": {row.name: row.at_most for row in record.workers},
    }


def _head(record, places: Places) -> dict[str, Any]:
    node = _node(record, record.head, places)
    return {"min_workers": 0, "max_workers": 0, "resources": {"CPU": 0, "GPU": 0}, "node_config": node}


def _workers(record, row, places: Places, priority: int) -> dict[str, Any]:
    node = _node(record, row, places)
    if row.spot:
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        node["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    if row.close_together:
        node["Placement"] = {"GroupName": places.cluster}
    resources = {"CPU": row.cpus, "GPU": row.gpus}
    how = {"min_workers": 0, "max_workers": row.at_most, "priority": priority}
    return {**how, "resources": resources, "node_config": node}


def _node(record, machine, places: Places) -> dict[str, Any]:
    """The request for a machine, as EC2's RunInstances takes it."""
    disk = {"VolumeSize": machine.disk_gib, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    tags = [{"Key": TAG, "Value": places.cluster}, {"Key": OWNER_TAG, "Value": places.owner}]
    known_as = "Arn" if machine.profile.startswith("arn:") else "Name"
    return {
        "InstanceType": machine.instance,
        "ImageId": record.image,
        "KeyName": places.cluster,
        "SubnetIds": list(places.subnets),
        "SecurityGroupIds": [places.security_group],
        "IamInstanceProfile": {known_as: machine.profile},
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "UserData": user_data(record.max_hours),
        "BlockDeviceMappings": [{"DeviceName": places.root_device, "Ebs": disk}],
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
    }


def user_data(hours: float) -> str:
    """What a machine runs at its first start: it ends after so many hours, although nothing else may work there."""
    minutes = math.ceil(60 * hours)
    later = f"(sleep {60 * minutes}; poweroff -f) > /dev/null 2>&1 &"
    return f"#!/bin/sh\nshutdown -h +{minutes} || {later}\n"


def _on_head(record) -> list[str]:
    options = [
        "--head",
        f"--port={RAY_PORT}",
        "--num-cpus=0",
        "--num-gpus=0",
        "--include-dashboard=true",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={DASHBOARD_PORT}",
        "--autoscaling-config=~/ray_bootstrap_config.yaml",
    ]
    start = _start(record, options, {API_SERVER: f"http://127.0.0.1:{DASHBOARD_PORT}"})
    return [_ray(record, "stop"), start, _kept_running(record, WATCHDOG)]


def _on_worker(record) -> list[str]:
    start = _start(record, [f"--address=$RAY_HEAD_IP:{RAY_PORT}"], {})
    return [_ray(record, "stop"), start, _kept_running(record, ON_WORKER)]


def _start(record, options: list[str], own: dict[str, str]) -> str:
    """The command that starts Ray on a machine."""
    common = [
        f"--object-manager-port={OBJECTS_PORT}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--disable-usage-stats",
        "--log-color=false",
    ]
    interface = f"$(ip -o route get {OUTSIDE} | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')"
    sockets = f'export GLOO_SOCKET_IFNAME="{interface}"; export NCCL_SOCKET_IFNAME="$GLOO_SOCKET_IFNAME"'
    start = " ".join([_ray(record, "start"), *options, *common])
    own_threads = "unset OMP_NUM_THREADS"  # Ray's launcher sets it to 1, for all that runs there
    return f"ulimit -n 65536 2> /dev/null || true; {own_threads}; {_exports(record, own)}; {sockets}; {start}"


def _exports(record, own: dict[str, str]) -> str:
    values = {**ENVIRONMENT, **ON_CLUSTER, "AWS_DEFAULT_REGION": record.region, **own}
    words = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return f"export RAY_AUTH_TOKEN_PATH={MOUNTS}/{TOKEN} {' '.join(words)}"


def _ray(record, verb: str) -> str:
    return f"{quoted(record.python)} -m ray.scripts.scripts {verb}"


def _kept_running(record, program: str) -> str:
    """The command that leaves one of our programs running, and starts it again where it is lost."""
    run = f"{quoted(record.python)} {MOUNTS}/{program} {MOUNTS}/{FACTS}"
    log = f"{LOGS}/{program}.log"
    loop = f"{_exports(record, {})}; until {run} >> {log} 2>&1 < /dev/null; do sleep 10; done"
    return f"mkdir -p {LOGS}; setsid nohup bash -c {shlex.quote(loop)} > /dev/null 2>&1 < /dev/null &"


def facts_text(record, places: Places) -> str:
    """The text of the file FACTS."""
    return json.dumps(facts(record, places), indent=2) + "\n"
