"""Jobs of Slurm, whose commands are programs of the test: what they are given, what is told of them, and each error."""

import json
import sys
from pathlib import Path

import pytest

from orchestrator.clusters.job_server import NoAnswer, NoJob
from orchestrator.clusters.job_system import State
from orchestrator.clusters.slurm import jobs as slurm_jobs
from orchestrator.clusters.slurm.allocation import LOST, JobFiles
from orchestrator.clusters.slurm.jobs import SlurmJobs, opened
from orchestrator.clusters.slurm.record import Slurm
from orchestrator.errors import UserError
from tests.support.fake_programs import FakePrograms, in_pauses
from tests.support.specs import TINY

JOB = "tiny-sweep-1"
ENTRYPOINT = "exec /python -m orchestrator driver /config.json"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    slurm = FakePrograms(tmp_path / "bin", "sbatch", "squeue", "scancel", "sinfo")
    monkeypatch.setenv("PATH", slurm.path())
    for name in ("PAUSE_S", "LATE_S"):
        monkeypatch.setattr(slurm_jobs, name, 0.01)
    slurm.says("sbatch --parsable", "17\n")
    slurm.says("squeue --me", "")
    slurm.says("scancel", "")
    return slurm


@pytest.fixture
def jobs(slurm, tmp_path):
    return SlurmJobs(record(tmp_path))


@pytest.fixture(scope="module")
def code(tmp_path_factory) -> Path:
    code = tmp_path_factory.mktemp("code")
    (code / "orchestrator").mkdir()
    (code / "orchestrator" / "__main__.py").touch()
    return code


def record(tmp_path, **changes) -> Slurm:
    values = {"hours": 1.0, "shared": str(tmp_path / "shared"), "partition": "gpu", "account": "lab"} | changes
    return Slurm.model_validate_json(json.dumps(values))


def place(tmp_path, job: str = JOB) -> Path:
    found = tmp_path / "shared" / ".jobs" / job
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture
def submitted(jobs, tmp_path, code):
    place(tmp_path)
    jobs.submit(JOB, ENTRYPOINT, code, {"VAEORCH_A": "b c"})
    return jobs


def squeue(slurm, state: str, reason: str = "None") -> None:
    slurm.says("squeue --jobs=17", f"{state}|{reason}\n")


def test_a_job_is_a_script_in_its_folder_with_the_code_beside_it(submitted, slurm, tmp_path):
    (call,) = slurm.calls("sbatch")
    folder = place(tmp_path)
    assert call.words == ["sbatch", "--parsable", str(folder / "job.sbatch")]
    assert (folder / "code" / "orchestrator" / "__main__.py").is_file()
    script = (folder / "job.sbatch").read_text().splitlines()
    assert script[0] == "#!/bin/bash"
    assert "export VAEORCH_A='b c'" in script
    assert script[-1].startswith(f"exec {sys.executable} -m orchestrator.clusters.slurm.allocation run --nodes 1")
    assert script[-1].endswith(f"'{ENTRYPOINT}'")


def test_a_job_that_is_submitted_twice_is_started_once(submitted, slurm, code):
    submitted.submit(JOB, ENTRYPOINT, code, {})
    assert len(slurm.calls("sbatch")) == 1


def test_a_job_whose_number_could_not_be_noted_is_found_by_its_name(submitted, slurm, tmp_path, code):
    JobFiles(place(tmp_path)).number.unlink()
    slurm.says(f"squeue --noheader --me --name={JOB}", "17\n")
    submitted.submit(JOB, ENTRYPOINT, code, {})
    assert len(slurm.calls("sbatch")) == 1


def test_slurm_is_given_no_secret_and_nothing_that_overrules_the_script(jobs, slurm, tmp_path, code, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "SBATCH_TIMELIMIT"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    place(tmp_path)
    jobs.submit(JOB, ENTRYPOINT, code, {})
    (call,) = slurm.calls("sbatch")
    assert "canary" not in str(call.environment)
    assert call.environment["SLURM_CONF"] == "/etc/slurm.conf"


def test_a_setting_that_may_be_a_secret_is_refused(jobs, code):
    with pytest.raises(ValueError, match="could be a secret"):
        jobs.submit(JOB, ENTRYPOINT, code, {"WANDB_API_KEY": "1"})


@pytest.mark.parametrize(
    ("exit_code", "reason", "state"),
    [
        (0, "", State("SUCCEEDED", 0, "")),
        (2, "", State("FAILED", 2, "")),
        (143, "", State("STOPPED", 143, "")),
        (LOST, "No node came up.", State("FAILED", None, "No node came up.")),
    ],
)
def test_a_job_that_has_ended_has_noted_how(submitted, slurm, tmp_path, exit_code, reason, state):
    JobFiles(place(tmp_path)).note_end(exit_code, reason)
    assert submitted.status(JOB) == state
    assert slurm.calls("squeue --jobs=17") == []


@pytest.mark.parametrize(
    ("name", "status"),
    [("PENDING", "PENDING"), ("REQUEUED", "PENDING"), ("RUNNING", "RUNNING"), ("COMPLETING", "RUNNING")],
)
def test_a_job_that_has_not_ended_stands_as_slurm_says(submitted, slurm, name, status):
    squeue(slurm, name, "Priority")
    assert submitted.status(JOB).status == status
    assert not submitted.status(JOB).ended


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("TIMEOUT", "its time was over before its driver had ended"),
        ("CANCELLED", "it was cancelled"),
        ("NODE_FAIL", "a node has failed"),
        ("OUT_OF_MEMORY", "its memory was not enough: ask for more by `options: [--mem=...]`"),
    ],
)
def test_a_job_that_slurm_has_ended_was_lost_for_the_reason_that_it_gives(submitted, slurm, name, cause):
    squeue(slurm, name)
    assert submitted.status(JOB) == State("FAILED", None, f"Slurm's job 17: {cause}.")


def test_a_job_that_slurm_has_forgotten_was_lost(submitted, slurm):
    slurm.says("squeue --jobs=17", errors="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert submitted.status(JOB) == State("FAILED", None, "Slurm's job 17: Slurm no longer knows it.")


def test_accounts_tell_how_a_job_has_ended_that_slurm_has_forgotten(submitted, slurm, tmp_path):
    accounts = FakePrograms(tmp_path / "more", "sacct")
    (slurm.folder / "sacct").symlink_to(accounts.folder / "sacct")
    accounts.says("sacct", "   TIMEOUT \n")
    slurm.says("squeue --jobs=17", errors="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert submitted.status(JOB).message == "Slurm's job 17: its time was over before its driver had ended."


def test_an_unknown_job_is_told(jobs):
    with pytest.raises(NoJob, match="no such job was submitted"):
        jobs.status("other")


def test_a_running_job_is_stopped_by_a_signal_to_its_script_alone(submitted, slurm, tmp_path, monkeypatch):
    squeue(slurm, "RUNNING")
    files = JobFiles(place(tmp_path))
    in_pauses(monkeypatch, slurm_jobs, lambda: files.note_end(143))
    assert submitted.stop(JOB) == State("STOPPED", 143, "")
    assert files.stop.exists()
    assert [call.words for call in slurm.calls("scancel")] == [["scancel", "--signal=TERM", "--batch", "17"]]


def test_a_waiting_job_is_cancelled(submitted, slurm, tmp_path, monkeypatch):
    squeue(slurm, "PENDING", "BeginTime")
    in_pauses(monkeypatch, slurm_jobs, lambda: squeue(slurm, "CANCELLED"))
    assert submitted.stop(JOB) == State("STOPPED", 143, "")
    assert [call.words for call in slurm.calls("scancel")] == [["scancel", "17"]]


def test_a_job_that_does_not_end_is_told(submitted, slurm, monkeypatch):
    squeue(slurm, "RUNNING")
    monkeypatch.setattr(slurm_jobs, "STOP_S", 0.0)
    with pytest.raises(UserError, match="still RUNNING 0 s after it was stopped. Stop it again."):
        submitted.stop(JOB)


def test_the_log_is_given_line_by_line_with_what_slurm_does_meanwhile(submitted, slurm, tmp_path, monkeypatch):
    log, files = place(tmp_path) / "job.log", JobFiles(place(tmp_path))
    monkeypatch.setattr(slurm_jobs, "ASK_S", 0.0)
    squeue(slurm, "PENDING", "Resources")
    lines = submitted.follow(JOB, lambda: "")
    assert next(lines) == "slurm        job 17 waits (Resources)"
    squeue(slurm, "RUNNING")
    log.write_bytes(b"one\ntw")
    assert [next(lines), next(lines)] == ["one", "slurm        job 17 has its nodes"]
    with log.open("ab") as file:
        file.write(b"o\n\xff three")
    assert next(lines) == "two"
    files.note_end(0)
    assert list(lines) == ["\ufffd three"]
    assert submitted.logs(JOB) == "one\ntwo\n\ufffd three"


def test_jobs_are_listed_the_oldest_first(submitted, slurm, tmp_path, code):
    place(tmp_path, "a-sweep-2")
    submitted.submit("a-sweep-2", ENTRYPOINT, code, {})
    JobFiles(place(tmp_path)).note_end(0)
    squeue(slurm, "RUNNING")
    listed = submitted.list()
    assert [(job.id, job.state.status) for job in listed] == [(JOB, "SUCCEEDED"), ("a-sweep-2", "RUNNING")]
    assert submitted.record.standing(tmp_path) == "1 job"


REFUSED = [
    (
        "sbatch: error: invalid partition specified: gpu\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
        "partition: gpu: Slurm refuses it (Batch job submission failed: Invalid partition name specified). `sinfo` li",
    ),
    (
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n",
        "account: lab: Slurm refuses it (Batch job submission failed: Invalid account or account/partition combination",
    ),
    (
        "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
        "nodes: 1: Slurm refuses it (Batch job submission failed: Requested node configuration is not available).",
    ),
    (
        "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)\n",
        "hours: 1.0: Slurm refuses it (",
    ),
    (
        "sbatch: error: Invalid generic resource (gres) specification\n",
        "gpus: 0: Slurm refuses it (Invalid generic resource (gres) specification).",
    ),
    ("sbatch: unrecognized option '--mem-per-dog=3'\n", "options: --mem-per-dog=3: Slurm refuses it (sbatch: unrecog"),
    ("sbatch: error: Batch job submission failed: Job violates policy\n", "sbatch: Slurm refuses this: Batch job sub"),
    ("", "sbatch: Slurm refuses this: it says nothing."),
]


@pytest.mark.parametrize(("errors", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_what_slurm_refuses_is_told_in_a_line_with_the_key(slurm, tmp_path, code, errors, line):
    place(tmp_path)
    slurm.says("sbatch --parsable", errors=errors, code=1)
    jobs = SlurmJobs(record(tmp_path, options=["--mem-per-dog=3"]))
    with pytest.raises(UserError) as error:
        jobs.submit(JOB, ENTRYPOINT, code, {})
    (told,) = error.value.lines
    assert told.startswith(line) and told.isprintable()


def test_a_controller_that_does_not_answer_is_told_as_what_may_pass(submitted, slurm):
    slurm.says("squeue --jobs=17", errors="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    with pytest.raises(NoAnswer, match="Slurm's controller does not answer"):
        submitted.status(JOB)


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(UserError) as error, opened(record(tmp_path)):
        pass
    assert error.value.lines == (
        "sbatch, squeue, scancel, sinfo: Slurm is not installed on this machine. Type the command on a login"
        " node of the cluster.",
    )


def test_a_shared_folder_that_cannot_be_written_is_told(slurm, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        SlurmJobs(record(tmp_path, shared=str(tmp_path / "file" / "x"))).check_here()
    cure = "Name a folder that you may write to, and that all nodes see."
    assert error.value.lines == (f"shared: {tmp_path}/file/x: cannot be written: Not a directory. {cure}",)


def test_check_has_slurm_look_at_the_script(slurm, tmp_path, jobs):
    slurm.says("sinfo --version", "slurm 23.11.4\n")
    slurm.says("sbatch --test-only", errors="sbatch: Job 18 to start at 2026-01-01T00:00:00 using 4 processors\n")
    assert jobs.check() == [
        "slurm 23.11.4: Job 18 to start at 2026-01-01T00:00:00 using 4 processors",
        f"{tmp_path}/shared can be written",
    ]
    (call,) = slurm.calls("sbatch")
    assert call.given == jobs.record.rendered()


def test_the_script_asks_for_what_the_file_says(tmp_path):
    cluster = record(tmp_path, nodes=2, gpus=4, hours=12, setup=["module load cuda"], options=["--mem=64G"])
    shared = tmp_path / "shared"
    lines = cluster.rendered().splitlines()
    assert lines[1:-2] == [
        "#SBATCH --job-name=NAME-sweep",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=16",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --time=720",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --chdir={shared}/.jobs/NAME-sweep",
        f"#SBATCH --output={shared}/.jobs/NAME-sweep/job.log",
        "#SBATCH --mem=64G",
        "module load cuda",
    ]
    assert cluster.room() == ({"cpus": 16, "gpus": 4},) * 2


def test_a_folder_with_signs_that_slurm_would_replace_is_written_so_that_it_does_not(tmp_path):
    cluster = record(tmp_path, shared="/scratch/my 5%j")
    assert '#SBATCH --output="/scratch/my 5%%j/.jobs/NAME-sweep/job.log"' in cluster.rendered().splitlines()


@pytest.fixture
def here(vaeorch, slurm, tmp_path, monkeypatch):
    """Runs a verb in a folder with tiny.yaml and lab.yaml."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "lab.yaml").write_text(f"kind: slurm\nhours: 1\nshared: {tmp_path}/shared\n")
    return vaeorch


def test_a_sweep_is_sent_listed_stopped_and_its_log_is_shown(here, slurm, tmp_path):
    code, said, errors = here("sweep", "tiny.yaml", "--cluster", "lab.yaml", "--detach")
    assert (code, errors) == (0, "")
    [job] = [line.split()[1] for line in said.splitlines() if line.startswith("job")]
    files = JobFiles(tmp_path / "shared" / ".jobs" / job)
    config = json.loads((files.place / "config.json").read_text())
    assert (config["out"], config["shares_files"]) == (str(tmp_path / "shared"), True)
    assert config["at_most"] == [{"cpus": 4, "gpus": 0}]
    squeue(slurm, "PENDING", "Priority")
    assert here("cluster", "ls")[1].splitlines() == [
        f"{'lab':<20} {'1 job':<24} {tmp_path}/lab.yaml",
        f"{'tiny':<20} {'pending':<24} {job} on lab",
    ]
    (files.place / "job.log").write_text("what its driver says\n")
    assert "what its driver says" in here("cluster", "logs", "tiny")[1]
    files.note_end(143)
    assert here("cluster", "stop", "tiny")[0] == 143
    assert files.stop.exists()


def test_what_slurm_refuses_ends_a_verb_with_a_line_and_exit_code_2(here, slurm):
    slurm.says("sbatch --parsable", errors=REFUSED[0][0], code=1)
    code, _, errors = here("sweep", "tiny.yaml", "--cluster", "lab.yaml")
    assert code == 2
    assert errors.splitlines() == [
        "partition: the default: Slurm refuses it (Batch job submission failed: Invalid partition name specified)."
        " `sinfo` lists those that there are."
    ]


def test_down_stops_all_jobs(here, slurm, tmp_path, monkeypatch):
    here("sweep", "tiny.yaml", "--cluster", "lab.yaml", "--detach")
    squeue(slurm, "PENDING", "Priority")
    in_pauses(monkeypatch, slurm_jobs, lambda: squeue(slurm, "CANCELLED"))
    stopping, down = here("cluster", "down", "lab.yaml")[1].splitlines()
    assert stopping.startswith("stopping     tiny-sweep-")
    assert down == "lab is down."
    assert [call.words for call in slurm.calls("scancel")] == [["scancel", "17"]]


def test_show_prints_the_whole_script(here):
    code, said, _ = here("cluster", "show", "lab.yaml")
    first, empty, *script = said.splitlines()
    assert (code, first) == (0, "Slurm gives 1 node with 4 CPUs, for 1 hour at a time")
    assert (empty, script[0], script[2]) == ("", "#!/bin/bash", "#SBATCH --nodes=1")
    assert script[-1].startswith("exec ")
