"""What the KubeRay operator is given: it fits the documented keys and types, and says what the cluster file says."""

import base64
import io
import json
import tarfile

import pytest
import ray
from ruamel.yaml import YAML

from orchestrator.clusters.jobs import package
from orchestrator.clusters.kuberay.ray_job import MOST_BYTES, files_secret, manifest, name_of
from orchestrator.clusters.kuberay.record import KubeRay
from orchestrator.errors import UserError
from tests.support.ray_job_shape import RAY_JOB, SECRET, faults

FILE = {
    "namespace": "ml",
    "image": "registry.example/vaeorch:1",
    "store": "s3://bucket/prefix",
    "workers": [
        {"name": "gpu", "cpus": 8, "memory_gib": 32, "gpus": 1, "at_most": 8},
        {
            "name": "cpu",
            "cpus": 4,
            "memory_gib": 8,
            "at_most": 2,
            "node_selector": {"pool": "spot"},
            "tolerations": [{"key": "spot"}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
        },
    ],
}


def record(**changes) -> KubeRay:
    return KubeRay.model_validate_json(json.dumps(FILE | changes))


def made(**changes) -> dict:
    return manifest(record(**changes), "whole-sweep-1", "exec python -m orchestrator driver x", {"VAEORCH_A": "b"})


def pods(job: dict) -> list[dict]:
    """The specs of the pods of Ray, the head's first."""
    cluster = job["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("changes", [{}, {"service_account": "reader", "secrets": ["keys"], "max_hours": 0.5}])
def test_a_rayjob_has_the_documented_keys_and_types_and_no_others(changes):
    assert faults(made(**changes), RAY_JOB) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["spec", "shutdownAfterJobFinish"], ".spec.shutdownAfterJobFinish: unknown key"),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplica"], "[0].maxReplica: unknown key"),
        (["spec", "rayClusterSpec", "authOptions", "mode"], "mode: True is none of ('disabled', 'token')"),
        (["spec", "ttlSecondsAfterFinished"], ".spec.ttlSecondsAfterFinished: must be int, not True"),
        (["spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers"], "containers: must be a list"),
    ],
)
def test_a_mistake_in_a_rayjob_is_found(path, line):
    job = made()
    *way, last = path
    place = job
    for step in way:
        place = place[step]
    place[last] = True
    (found,) = faults(job, RAY_JOB)
    assert found.endswith(line)


def test_a_key_that_lacks_is_found():
    job = made()
    del job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"]
    (found,) = faults(job, RAY_JOB)
    assert found.endswith("workerGroupSpecs[0]: has no maxReplicas")


def test_a_job_ends_with_all_that_it_has_started_whatever_happens():
    spec = made(max_hours=1.5)["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] <= 900
    assert spec["activeDeadlineSeconds"] == 5400
    assert (spec["backoffLimit"], spec["submitterConfig"]) == (0, {"backoffLimit": 0})


def test_ray_asks_for_a_token_has_our_version_and_grows_as_trials_need():
    cluster = made()["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["enableInTreeAutoscaling"] is True
    assert [(group["minReplicas"], group["maxReplicas"]) for group in cluster["workerGroupSpecs"]] == [(0, 8), (0, 2)]


def test_no_trial_runs_on_the_head_and_it_is_not_shown_outside_the_cluster():
    head = made()["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert head["serviceType"] == "ClusterIP"
    assert "enableIngress" not in head


def test_pods_get_what_they_ask_for_and_ray_counts_the_same():
    job = made()
    head, gpu, cpu = (pod["containers"][0]["resources"] for pod in pods(job))
    assert all(sizes["requests"] == sizes["limits"] for sizes in (head, gpu, cpu))
    assert gpu["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    assert cpu["limits"] == {"cpu": "4", "memory": "8Gi"}
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert groups[0]["rayStartParams"] == {"num-cpus": "8", "num-gpus": "1"}
    assert record().room() == ({"cpus": 8, "gpus": 1},) * 8 + ({"cpus": 4, "gpus": 0},) * 2


def test_workers_run_on_the_nodes_that_the_file_says():
    _, gpu, cpu = pods(made())
    assert "nodeSelector" not in gpu and "tolerations" not in gpu
    assert cpu["nodeSelector"] == {"pool": "spot"}
    assert cpu["tolerations"] == [
        {"key": "spot", "operator": "Exists"},
        {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
    ]


def test_secrets_are_given_by_name():
    for pod in pods(made(secrets=["keys", "more"], service_account="reader")):
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}, {"secretRef": {"name": "more"}}]
        assert pod["serviceAccountName"] == "reader"


def test_a_driver_has_the_time_to_end_in_order_and_every_pod_the_settings():
    head, *workers = ({each["name"]: each["value"] for each in pod["containers"][0]["env"]} for pod in pods(made()))
    assert head["RAY_JOB_STOP_WAIT_TIME_S"] == "120"
    assert {env["VAEORCH_A"] for env in (head, *workers)} == {"b"}
    assert {env["PYTHONPATH"] for env in (head, *workers)} == {"/vaeorch/code"}


def test_each_pod_unpacks_the_jobs_files_before_it_starts(tmp_path):
    for pod in pods(made()):
        (unpack,) = pod["initContainers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in unpack["volumeMounts"]}
        assert unpack["command"][-2:] == [f"{mounts['files']}/job.tar.xz", mounts["place"]]
        sources = {volume["name"]: volume for volume in pod["volumes"]}
        assert sources["files"]["secret"] == {"secretName": name_of("whole-sweep-1")}


def test_our_packages_fit_into_a_secret_with_room_to_spare(tmp_path):
    package(tmp_path)
    secret = files_secret(record(), "whole-sweep-1", tmp_path)
    assert faults(secret, SECRET) == []
    (content,) = secret["data"].values()
    assert len(content) < MOST_BYTES * 0.75
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(content))) as tar:
        names = tar.getnames()
    assert "./code/orchestrator/__main__.py" in names
    assert secret["metadata"]["name"] == made()["metadata"]["name"]


def test_files_that_are_too_big_for_kubernetes_are_told(tmp_path):
    import random

    (tmp_path / "spec.yaml").write_bytes(random.Random(0).randbytes(MOST_BYTES))
    with pytest.raises(UserError, match="its files have .* bytes, and Kubernetes takes 1048576"):
        files_secret(record(), "whole-sweep-1", tmp_path)


@pytest.mark.parametrize("job", ["whole-sweep-1", f"{'Long_Name' * 20}-sweep-1", "äöü-sweep-1", "-x-"])
def test_the_name_of_a_job_is_one_that_kuberay_takes(job):
    name = name_of(job)
    assert len(name) <= 47
    assert name.replace("-", "a").isascii() and name.replace("-", "a").isalnum() and name == name.lower()


def test_jobs_that_differ_have_different_names():
    assert len({name_of(job) for job in ("a_b", "a-b", "A-b", f"{'x' * 99}1", f"{'x' * 99}2")}) == 5


def test_show_prints_the_manifest_as_yaml_that_kubectl_reads():
    job = YAML(typ="safe", pure=True).load(record().rendered())
    assert faults(json.loads(json.dumps(job)), RAY_JOB) == []
    assert "&" not in record().rendered() and "secret" in record().rendered()
