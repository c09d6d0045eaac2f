"""Renders what the KubeRay operator is given for a job: a RayJob (ray.io/v1), and the Secret with the job's files."""

import base64
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ruamel.yaml

from orchestrator.clusters.state import owner
from orchestrator.errors import UserError

PLACE = "/vaeorch"  # in each pod: code, and on the head also the folders of sweeps
CODE, RUNS, FILES = f"{PLACE}/code", f"{PLACE}/runs", "/etc/vaeorch"
ARCHIVE = "job.tar.xz"
MOST_BYTES = 2**20  # of a Secret, as Kubernetes allows
GRACE_S = 900  # that pods stay after a job's end, for its results to be fetched
IDLE_S = 120  # without work, after which a worker is ended
STOP_S = 120  # for a driver to end in order
JOB, FOLDER, MADE_BY = "vaeorch.io/job", "vaeorch.io/folder", {"app.kubernetes.io/managed-by": "vaeorch"}
OWNER = "vaeorch.io/owner"
GPU = "nvidia.com/gpu"


def labels() -> dict[str, str]:
    """Those of all that this user makes from this machine. A label takes few characters, so that this is a digest."""
    return MADE_BY | {OWNER: hashlib.sha256(owner().encode()).hexdigest()[:16]}


def name_of(job_id: str) -> str:
    """The name that a job has in Kubernetes: KubeRay takes 47 characters, and no capital letters."""
    words = re.sub("[^a-z0-9]+", "-", job_id.lower()).strip("-")[:30].strip("-")
    return f"vo-{words}-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}"


def manifest(record, job_id: str, entrypoint: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The RayJob of a job, for a record of kind `kuberay`. `entrypoint` is the command line of its driver."""
    from ray import __version__ as ray_version

    about = {"labels": labels(), "annotations": {JOB: job_id}, "name": name_of(job_id), "namespace": record.namespace}
    head = {
        "serviceType": "ClusterIP",
        "rayStartParams": {"num-cpus": "0", "disable-usage-stats": "true"},
        "template": pod(record, job_id, "ray-head", record.head, env | {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)}),
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": about,
        "spec": {
            "jobId": job_id,
            "entrypoint": entrypoint,
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": submitter(record),
            "submitterConfig": {"backoffLimit": 0},  # a second submission would be a second driver
            "backoffLimit": 0,  # a second cluster would begin with an empty disk: `resume` goes on
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": GRACE_S,
            "activeDeadlineSeconds": max(1, round(3600 * record.max_hours)),
            "rayClusterSpec": {
                "rayVersion": ray_version,
                "authOptions": {"mode": "token"},
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": {"idleTimeoutSeconds": IDLE_S, "upscalingMode": "Default"},
                "headGroupSpec": head,
                "workerGroupSpecs": [worker_group(record, job_id, group, env) for group in record.workers],
            },
        },
    }


def worker_group(record, job_id: str, group, env: Mapping[str, str]) -> dict[str, Any]:
    """Workers of one kind, of which there are none until trials need them."""
    template = pod(record, job_id, "ray-worker", group, env)
    tolerated = [
        {"key": each.key, "operator": "Exists" if each.value is None else "Equal"}
        | ({"value": each.value} if each.value is not None else {})
        | ({"effect": each.effect} if each.effect else {})
        for each in group.tolerations
    ]
    template["spec"] |= {"nodeSelector": group.node_selector} if group.node_selector else {}
    template["spec"] |= {"tolerations": tolerated} if tolerated else {}
    return {
        "groupName": group.name,
        "replicas": 0,
        "minReplicas": 0,
        "maxReplicas": group.at_most,
        "rayStartParams": {"num-cpus": str(group.cpus), "num-gpus": str(group.gpus)},
        "template": template,
    }


def pod(record, job_id: str, name: str, size, env: Mapping[str, str]) -> dict[str, Any]:
    """A pod of Ray: before it starts, the job's files are unpacked into PLACE."""
    gpus = getattr(size, "gpus", 0)
    amounts = {"cpu": str(size.cpus), "memory": f"{size.memory_gib}Gi"} | ({GPU: str(gpus)} if gpus else {})
    mounts = [{"name": "files", "mountPath": FILES, "readOnly": True}, {"name": "place", "mountPath": PLACE}]
    known = {"PYTHONPATH": CODE, **env}
    ray = {
        "name": name,
        "image": record.image,
        "env": [{"name": key, "value": value} for key, value in known.items()],
        "resources": {"requests": amounts, "limits": amounts},
        "volumeMounts": [*mounts, {"name": "memory", "mountPath": "/dev/shm"}],
    }
    if record.secrets:
        ray["envFrom"] = [{"secretRef": {"name": secret}} for secret in record.secrets]
    unpack = {
        "name": "unpack",
        "image": record.image,
        "command": ["python", "-m", "tarfile", "--extract", f"{FILES}/{ARCHIVE}", PLACE],
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "files", "secret": {"secretName": name_of(job_id)}},
        {"name": "place", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ]
    spec = {"initContainers": [unpack], "containers": [ray], "volumes": volumes}
    account = {"serviceAccountName": record.service_account} if record.service_account else {}
    return {"metadata": {"labels": labels()}, "spec": spec | account}


def submitter(record) -> dict[str, Any]:
    """The pod that submits the driver to the head, and shows its log."""
    small = {"cpu": "500m", "memory": "1Gi"}
    container = {"name": "submitter", "image": record.image, "resources": {"requests": small, "limits": small}}
    return {"spec": {"restartPolicy": "Never", "containers": [container]}}


def files_secret(record, job_id: str, folder: Path) -> dict[str, Any]:
    """The Secret with what pods have at PLACE: what is in a folder. Raises UserError if that is too big for one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        tar.add(folder, ".")
    content = base64.b64encode(packed.getvalue()).decode()
    if len(content) > MOST_BYTES:
        cure = "Make the spec smaller."
        raise UserError(f"{job_id}: its files have {len(content)} bytes, and Kubernetes takes {MOST_BYTES}. {cure}")
    about = {"labels": labels(), "annotations": {JOB: job_id}, "name": name_of(job_id), "namespace": record.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "type": "Opaque", "data": {ARCHIVE: content}}


def as_yaml(values: dict[str, Any]) -> str:
    text = io.StringIO()
    yaml = ruamel.yaml.YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False
    yaml.representer.ignore_aliases = lambda value: True
    yaml.dump(values, text)
    return text.getvalue()
