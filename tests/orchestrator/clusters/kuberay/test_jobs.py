"""Jobs of KubeRay, with a `kubectl` of the test: what it is given, what is told of jobs, and each error."""

import base64
import io
import json
import tarfile
from pathlib import Path

import pytest

from orchestrator.clusters.job_server import NoAnswer, NoJob
from orchestrator.clusters.job_system import State
from orchestrator.clusters.kuberay import jobs as kube_jobs
from orchestrator.clusters.kuberay.jobs import KubeJobs, tar_pattern
from orchestrator.clusters.kuberay.ray_job import FOLDER, JOB, OWNER, RUNS, labels, manifest, name_of
from orchestrator.clusters.kuberay.record import KubeRay
from orchestrator.errors import UserError
from tests.support.fake_programs import FakePrograms, in_pauses
from tests.support.ray_job_shape import RAY_JOB, SECRET, faults
from tests.support.specs import TINY

FILE = """\
kind: kuberay
namespace: ml
context: lab
image: registry.example/vaeorch:1
store: s3://bucket/prefix
workers: [{name: gpu, cpus: 8, memory_gib: 32, at_most: 2}]
"""
ID = "tiny-sweep-1"
NOT_FOUND = f'Error from server (NotFound): rayjobs.ray.io "{name_of(ID)}" not found\n'


def job(**status) -> dict:
    """A RayJob as the cluster has it."""
    about = {"annotations": {JOB: ID, FOLDER: "tiny"}, "creationTimestamp": "2026-01-02T03:04:05Z"}
    return {"metadata": about, "spec": {"entrypoint": "x"}, "status": status}


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    kubectl = FakePrograms(tmp_path / "bin", "kubectl")
    monkeypatch.setenv("PATH", kubectl.path())
    monkeypatch.setattr(kube_jobs, "PAUSE_S", 0.01)
    kubectl.says("kubectl get rayjob", errors=NOT_FOUND, code=1)
    for words in ("create", "delete", "exec", "auth can-i"):
        kubectl.says(f"kubectl {words}")
    return kubectl


@pytest.fixture
def jobs(kubectl) -> KubeJobs:
    workers = [{"name": "gpu", "cpus": 8, "memory_gib": 32, "at_most": 2}]
    values = {"namespace": "ml", "image": "i", "store": "s3://bucket/x", "workers": workers}
    return KubeJobs(KubeRay.model_validate_json(json.dumps(values)))


def stands(kubectl, **status) -> None:
    """From now on the job is there, and stands so."""
    kubectl.says("kubectl get rayjob", json.dumps(job(**status)))
    kubectl.says("kubectl get rayjobs", json.dumps({"items": [job(**status)]}))


def given(kubectl, kind: str) -> dict:
    (found,) = [
        each
        for call in kubectl.calls("kubectl create --filename=-")
        if (each := json.loads(call.given))["kind"] == kind
    ]
    return found


@pytest.fixture
def submitted(jobs, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "config.json").write_text('{"target": "tiny"}')
    (tmp_path / "working").mkdir()
    (tmp_path / "working" / "code.py").write_text("x = 1\n")
    jobs.push(tmp_path / "files", f"{RUNS}/.jobs/{ID}")
    jobs.submit(ID, "exec python x", tmp_path / "working", {"VAEORCH_A": "b"})
    return jobs


def test_a_job_is_a_secret_with_its_files_and_a_rayjob(submitted, kubectl):
    secret, rayjob = given(kubectl, "Secret"), given(kubectl, "RayJob")
    assert (faults(secret, SECRET), faults(rayjob, RAY_JOB)) == ([], [])
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(secret["data"]["job.tar.xz"]))) as tar:
        assert {"./code/code.py", f"./runs/.jobs/{ID}/config.json"} <= set(tar.getnames())
    assert rayjob["spec"]["entrypoint"] == "exec python x"
    assert rayjob["metadata"]["annotations"] == {JOB: ID, FOLDER: "tiny"}
    kinds = [json.loads(call.given)["kind"] for call in kubectl.calls("kubectl create --filename=-")]
    assert kinds == ["Secret", "RayJob"]


def test_a_job_that_is_there_is_not_submitted_again(jobs, kubectl, tmp_path):
    stands(kubectl, jobStatus="RUNNING")
    jobs.submit(ID, "exec python x", tmp_path, {})
    assert kubectl.calls("kubectl create --filename=-") == []


def test_every_call_names_the_namespace_and_the_context_that_the_file_has(submitted, kubectl, jobs):
    assert all("--namespace=ml" in call.words for call in kubectl.calls())
    other = KubeJobs(jobs.record.model_copy(update={"context": "lab"}))
    assert other.kubectl.words("get")[:2] == ["kubectl", "--context=lab"]


def test_a_setting_that_may_be_a_secret_is_refused(jobs, tmp_path):
    with pytest.raises(ValueError, match="could be a secret"):
        jobs.submit(ID, "x", tmp_path, {"WANDB_API_KEY": "1"})


EXIT = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\n..."


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, State("PENDING", None, "")),
        ({"jobDeploymentStatus": "Initializing"}, State("PENDING", None, "")),
        ({"jobStatus": "RUNNING"}, State("RUNNING", None, "")),
        ({"jobStatus": "SUCCEEDED"}, State("SUCCEEDED", 0, "")),
        ({"jobStatus": "STOPPED", "message": "m"}, State("STOPPED", 143, "m")),
        ({"jobStatus": "FAILED", "message": EXIT.format(2)}, State("FAILED", 2, EXIT.format(2))),
        ({"jobStatus": "FAILED", "message": EXIT.format(-9)}, State("FAILED", 137, EXIT.format(-9))),
        ({"jobStatus": "FAILED", "message": "The node died."}, State("FAILED", None, "The node died.")),
        (
            {"jobStatus": "RUNNING", "jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"},
            State("FAILED", None, "its `max_hours` are over, and the operator has ended it."),
        ),
        (
            {"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed", "message": "no image"},
            State("FAILED", None, "no image"),
        ),
    ],
)
def test_a_job_stands_as_the_operator_says(jobs, kubectl, status, state):
    stands(kubectl, **status)
    assert jobs.status(ID) == state


def test_an_unknown_job_is_told(jobs):
    with pytest.raises(NoJob, match="the namespace ml has no such job"):
        jobs.status(ID)


def test_a_jobs_log_is_given_line_by_line_each_once(jobs, kubectl, monkeypatch):
    stands(kubectl, jobStatus="RUNNING", jobDeploymentStatus="Running")
    kubectl.says("kubectl logs --follow", "one\ntwo\n")

    def later():
        kubectl.says("kubectl logs", "one\ntwo\nthree\n")
        stands(kubectl, jobStatus="SUCCEEDED", jobDeploymentStatus="Complete")

    in_pauses(monkeypatch, kube_jobs, later)
    assert list(jobs.follow(ID, lambda: "")) == [f"kuberay      {name_of(ID)}: running", "one", "two", "three"]
    assert jobs.logs(ID) == "one\ntwo\nthree\n"


def test_a_job_is_stopped_by_ray_on_its_head(jobs, kubectl, monkeypatch):
    stands(kubectl, jobStatus="RUNNING", rayClusterName="c")
    kubectl.says("kubectl get pods", "pod/c-head\n")
    in_pauses(monkeypatch, kube_jobs, lambda: stands(kubectl, jobStatus="STOPPED"))
    assert jobs.stop(ID) == State("STOPPED", 143, "")
    (call,) = kubectl.calls("kubectl exec")
    assert call.words[2:5] == ["exec", "pod/c-head", "--container=ray-head"]
    assert call.words[6:9] == ["ray", "job", "stop"] and call.words[-1] == ID
    assert kubectl.calls("kubectl delete") == []


def test_a_job_without_a_head_yet_is_removed(jobs, kubectl):
    stands(kubectl, jobDeploymentStatus="Initializing")
    assert jobs.stop(ID) == State("STOPPED", 143, "")
    (call,) = kubectl.calls("kubectl delete")
    assert call.words[2:5] == ["delete", "rayjob,secret", name_of(ID)]


def test_what_a_sweep_has_is_fetched_from_its_head(jobs, kubectl, tmp_path, monkeypatch):
    stands(kubectl, jobStatus="RUNNING", rayClusterName="c")
    kubectl.says("kubectl get pods", "pod/c-head\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "results.json").write_text("{}")
    run = jobs.kubectl.run

    def packed(*words, given=None, to=None):
        done = run(*words, given=given, to=to)
        if to:
            with tarfile.open(to, "w") as tar:
                tar.add(tmp_path / "there", ".")
        return done

    monkeypatch.setattr(jobs.kubectl, "run", packed)
    jobs.pull(f"{RUNS}/tiny", tmp_path / "here", ("/lock", ".*", "checkpoint.pt"))
    assert (tmp_path / "here" / "results.json").read_text() == "{}"
    (call,) = kubectl.calls("kubectl exec")
    assert call.words[6:8] == ["tar", f"--directory={RUNS}/tiny"]
    assert call.words[8:11] == ["--exclude=./lock", "--exclude=.[!./]*", "--exclude=checkpoint.pt"]


def test_what_is_left_out_is_what_rsync_leaves_out(tmp_path):
    import subprocess

    for name in ("lock", "spool/lock", "spool/sent-1", "spool/a", ".hidden", "trials/1/.new", "trials/1/checkpoint.pt"):
        (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / name).touch()
    left_out = [f"--exclude={tar_pattern(each)}" for each in ("/lock", "/spool/sent-*", ".*", "checkpoint.pt")]
    words = ["tar", f"--directory={tmp_path / 'from'}", *left_out, "-cf", str(tmp_path / "x.tar"), "."]
    subprocess.run(words, check=True)
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert {name for name in tar.getnames() if tar.getmember(name).isfile()} == {"./spool/lock", "./spool/a"}


def test_a_head_that_is_gone_is_told_with_where_the_sweep_was_saved(jobs, kubectl, tmp_path):
    stands(kubectl, jobStatus="SUCCEEDED", rayClusterName="c")
    kubectl.says("kubectl get pods", "")
    with pytest.raises(UserError, match="its pod is gone, and its disk. What was saved is in s3://bucket/x"):
        jobs.pull(f"{RUNS}/tiny", tmp_path / "here")


def test_jobs_are_listed_and_down_removes_them_with_their_secrets(jobs, kubectl, tmp_path):
    stands(kubectl, jobStatus="RUNNING")
    (listed,) = jobs.list()
    assert (listed.id, listed.state.status, listed.started) == (ID, "RUNNING", 1767323045.0)
    assert jobs.record.standing(tmp_path) == "1 job"
    assert jobs.record.down(tmp_path) == []
    (call,) = kubectl.calls("kubectl delete")
    assert call.words[2:4] == ["delete", "rayjobs,secrets"]
    assert f"--selector=app.kubernetes.io/managed-by=vaeorch,vaeorch.io/owner={labels()[OWNER]}" in call.words
    (asked, *_) = kubectl.calls("kubectl get rayjobs")
    assert call.words[4] in asked.words  # of no other user
    assert manifest(jobs.record, ID, "true", {})["metadata"]["labels"] == labels()
    kubectl.says("kubectl delete", errors="error: Unable to connect to the server: EOF\n", code=1)
    (left,) = jobs.record.down(tmp_path)
    assert left.startswith("kubectl: the cluster does not answer")


def test_check_has_the_cluster_look_at_a_job_and_makes_none(jobs, kubectl):
    kubectl.says("kubectl auth can-i", "yes\n")
    kubectl.says("kubectl create --dry-run=server", "rayjob.ray.io/vo-check created (server dry run)\n")
    assert jobs.check() == ["rayjob.ray.io/vo-check created (server dry run)"]
    assert all("--dry-run=server" in call.words for call in kubectl.calls("kubectl create --filename=-"))


REFUSED = [
    (
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?\n",
        "kubectl: the cluster does not answer (The connection to the server localhost:8080 was refused",
    ),
    (
        'error: context "lab" does not exist\n',
        "context: lab: your kubeconfig has no such cluster: `kubectl config get-contexts` lists those that it has.",
    ),
    (
        'error: resource mapping not found for name: "x" namespace: "ml" from "STDIN": no matches for kind "RayJob" in'
        ' version "ray.io/v1"\nensure CRDs are installed first\n',
        "The KubeRay operator is not installed in this cluster (ensure CRDs are installed first). Have it installed.",
    ),
    (
        'Error from server (NotFound): namespaces "ml" not found\n',
        'namespace: ml: cannot be used (Error from server (NotFound): namespaces "ml" not found). Make it, or name',
    ),
    (
        'Error from server (Forbidden): rayjobs.ray.io is forbidden: User "me" cannot create resource "rayjobs"\n',
        "namespace: ml: you may not do this there (Error from server (Forbidden): rayjobs.ray.io is forbidden",
    ),
    (
        "error: You must be logged in to the server (Unauthorized)\n",
        "kubectl: the cluster does not let you in (You must be logged in to the server (Unauthorized)). Log in again.",
    ),
    (
        'Error from server (BadRequest): strict decoding error: unknown field "spec.rayClusterSpec.authOptions"\n',
        "The KubeRay operator there is too old or too new for this (Error from server (BadRequest): strict decoding",
    ),
    ("Error from server: admission webhook denied\n", "kubectl: Kubernetes refuses this: Error from server: admission"),
    ("", "kubectl: Kubernetes refuses this: it says nothing."),
]


@pytest.mark.parametrize(("errors", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_what_kubernetes_refuses_is_told_in_a_line_with_its_cure(jobs, kubectl, errors, line):
    other = KubeJobs(jobs.record.model_copy(update={"context": "lab"}))
    kubectl.says("kubectl get rayjobs", errors=errors, code=1)
    with pytest.raises(UserError) as error:
        other.list()
    (told,) = error.value.lines
    assert told.startswith(line) and told.isprintable()
    assert isinstance(error.value, NoAnswer) == ("does not answer" in line)


def test_who_may_not_make_jobs_is_told_before_anything_is_made(jobs, kubectl):
    kubectl.says("kubectl auth can-i", "no\n", code=1)
    with pytest.raises(UserError, match="namespace: ml: you may not do this there .*create rayjobs.ray.io"):
        jobs.check_here()


def test_a_machine_without_kubectl_is_told(jobs, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="kubectl is not installed on this machine"):
        jobs.check_here()


def test_a_sweep_is_sent_listed_and_its_log_is_shown(vaeorch, kubectl, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("k.yaml").write_text(FILE)
    kubectl.says("kubectl auth can-i", "yes\n")
    code, said, errors = vaeorch("sweep", "tiny.yaml", "--cluster", "k.yaml", "--detach")
    assert (code, errors) == (0, "")
    rayjob, secret = given(kubectl, "RayJob"), given(kubectl, "Secret")
    job_id = rayjob["metadata"]["annotations"][JOB]
    assert job_id in said
    place = f"runs/.jobs/{job_id}"
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(secret["data"]["job.tar.xz"]))) as tar:
        config = json.load(tar.extractfile(f"./{place}/config.json"))
        assert tar.extractfile(f"./{place}/spec.yaml").read().decode() == TINY
    assert rayjob["spec"]["entrypoint"] == f"exec python -m orchestrator driver /vaeorch/{place}/config.json"
    assert (config["out"], config["shares_files"]) == (RUNS, False)
    assert config["at_most"] == [{"cpus": 8, "gpus": 0}] * 2
    stands(kubectl, jobStatus="RUNNING")
    assert f"{'tiny':<20} {'running':<24} {job_id} on k" in vaeorch("cluster", "ls")[1].splitlines()
    kubectl.says("kubectl logs", "what its driver says\n")
    assert "what its driver says" in vaeorch("cluster", "logs", "tiny")[1]


def test_show_prints_the_whole_manifest(vaeorch, tmp_path):
    (tmp_path / "k.yaml").write_text(FILE)
    code, said, _ = vaeorch("cluster", "show", tmp_path / "k.yaml")
    first, empty, *manifest = said.splitlines()
    pods = "a head with 4 CPUs, up to 2 gpu with 8 CPUs"
    assert (code, first) == (0, f"KubeRay makes pods in ml: {pods}; 24 hours at most")
    assert (empty, manifest[:2]) == ("", ["apiVersion: ray.io/v1", "kind: RayJob"])
