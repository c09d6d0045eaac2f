"""The keys and types of a RayJob (ray.io/v1), and of what Kubernetes has in a pod, as their references document them.

A mapping has these keys and no others; `{ANY: type}` any keys; a list elements of one type; a tuple one of its words.
"""

from typing import Any

ANY = "*"
REQUIRED = {  # the keys that a mapping must have, by one of its other keys
    "rayClusterSpec": {"entrypoint"},
    "headGroupSpec": {"headGroupSpec"},
    "groupName": {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"},
    "volumeMounts": {"name", "image"},
    "mountPath": {"name", "mountPath"},
    "containers": {"containers"},
}
WORDS = {ANY: str}
META = {"name": str, "namespace": str, "labels": WORDS, "annotations": WORDS, "finalizers": [str]}
ENV = {"name": str, "value": str, "valueFrom": {ANY: WORDS}}
ENV_FROM = {
    "prefix": str,
    "secretRef": {"name": str, "optional": bool},
    "configMapRef": {"name": str, "optional": bool},
}
RESOURCES = {"requests": WORDS, "limits": WORDS, "claims": [WORDS]}
MOUNT = {"name": str, "mountPath": str, "readOnly": bool, "subPath": str, "subPathExpr": str, "mountPropagation": str}
PORT = {"name": str, "containerPort": int, "hostPort": int, "protocol": ("TCP", "UDP", "SCTP")}
CONTAINER = {
    "name": str,
    "image": str,
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [ENV],
    "envFrom": [ENV_FROM],
    "ports": [PORT],
    "resources": RESOURCES,
    "volumeMounts": [MOUNT],
}
KEY_TO_PATH = {"key": str, "path": str, "mode": int}
VOLUME = {
    "name": str,
    "emptyDir": {"medium": ("", "Memory"), "sizeLimit": str},
    "secret": {"secretName": str, "items": [KEY_TO_PATH], "defaultMode": int, "optional": bool},
    "configMap": {"name": str, "items": [KEY_TO_PATH], "defaultMode": int, "optional": bool},
    "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
}
TOLERATION = {
    "key": str,
    "operator": ("Exists", "Equal"),
    "value": str,
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    "tolerationSeconds": int,
}
POD = {
    "metadata": META,
    "spec": {
        "initContainers": [CONTAINER],
        "containers": [CONTAINER],
        "volumes": [VOLUME],
        "restartPolicy": ("Always", "OnFailure", "Never"),
        "serviceAccountName": str,
        "automountServiceAccountToken": bool,
        "imagePullSecrets": [WORDS],
        "nodeSelector": WORDS,
        "tolerations": [TOLERATION],
        "terminationGracePeriodSeconds": int,
        "priorityClassName": str,
    },
}
AUTOSCALER = {
    "resources": RESOURCES,
    "image": str,
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "idleTimeoutSeconds": int,
    "upscalingMode": ("Default", "Aggressive", "Conservative"),
    "version": ("v1", "v2"),
    "env": [ENV],
    "envFrom": [ENV_FROM],
    "volumeMounts": [MOUNT],
}
HEAD = {
    "template": POD,
    "enableIngress": bool,
    "rayStartParams": WORDS,
    "serviceType": ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
}
WORKERS = {
    "groupName": str,
    "suspend": bool,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "idleTimeoutSeconds": int,
    "numOfHosts": int,
    "rayStartParams": WORDS,
    "template": POD,
}
CLUSTER = {
    "suspend": bool,
    "managedBy": str,
    "authOptions": {"mode": ("disabled", "token"), "secretName": str, "enableK8sTokenAuth": bool},
    "autoscalerOptions": AUTOSCALER,
    "headServiceAnnotations": WORDS,
    "enableInTreeAutoscaling": bool,
    "headGroupSpec": HEAD,
    "rayVersion": str,
    "workerGroupSpecs": [WORKERS],
}
JOB = {
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "rayClusterSpec": CLUSTER,
    "submitterPodTemplate": POD,
    "metadata": WORDS,
    "clusterSelector": WORDS,
    "submitterConfig": {"backoffLimit": int},
    "managedBy": str,
    "entrypoint": str,
    "runtimeEnvYAML": str,
    "jobId": str,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    "entrypointResources": str,
    "entrypointNumCpus": float,
    "entrypointNumGpus": float,
    "ttlSecondsAfterFinished": int,
    "shutdownAfterJobFinishes": bool,
    "suspend": bool,
}
RAY_JOB = {"apiVersion": ("ray.io/v1",), "kind": ("RayJob",), "metadata": META, "spec": JOB}
SECRET = {"apiVersion": ("v1",), "kind": ("Secret",), "metadata": META, "type": ("Opaque",), "data": WORDS}


def faults(value: Any, shape: Any, path: str = "") -> list[str]:
    """Where a value differs from a shape, in lines; none where it does not."""
    if isinstance(shape, tuple):
        return [] if value in shape else [f"{path}: {value!r} is none of {shape}"]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path}: must be a list"]
        return [line for number, each in enumerate(value) for line in faults(each, shape[0], f"{path}[{number}]")]
    if isinstance(shape, type):
        return [] if type(value) is shape else [f"{path}: must be {shape.__name__}, not {value!r}"]
    if not isinstance(value, dict):
        return [f"{path}: must be a mapping"]
    lines = [f"{path}: has no {key}" for key in sorted(required(value) - value.keys())]
    for key, each in value.items():
        known = shape.get(key, shape.get(ANY))
        lines += faults(each, known, f"{path}.{key}") if known is not None else [f"{path}.{key}: unknown key"]
    return lines


def required(value: dict[str, Any]) -> set[str]:
    return set().union(*(keys for sign, keys in REQUIRED.items() if sign in value))
