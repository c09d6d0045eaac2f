"""A job on the nodes that Slurm gave: when it ends, when it is queued again, and what it notes of its end.

Slurm's commands are programs of the test, `srun` waits as it does while Ray runs, and drivers are lines of a shell.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.clusters import on_host
from orchestrator.clusters.slurm import allocation
from orchestrator.clusters.slurm.allocation import LOST, Allocation, JobFiles, address_towards, ports, until_ended
from tests.support.fake_programs import FakePrograms
from tests.support.waiting import until

SRUN = "#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n"
EPOCH = '{"event": "epoch", "trial": "0001"}'


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    slurm = FakePrograms(tmp_path / "bin", "squeue", "scontrol", "scancel")
    srun = slurm.folder / "srun"
    srun.write_text(SRUN.format(pid=tmp_path / "srun.pid"))
    srun.chmod(0o700)
    monkeypatch.setenv("PATH", slurm.path())
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    monkeypatch.setattr(on_host, "own_address", lambda host: "127.0.0.1")
    monkeypatch.setattr(on_host, "alive_nodes", lambda order: ["10.0.0.1", "10.0.0.2"])
    for name in ("PAUSE_S", "REQUEUED_S"):
        monkeypatch.setattr(allocation, name, 0.01)
    slurm.says("squeue", "RUNNING\n")
    slurm.says("scontrol requeue")
    before = signal.getsignal(signal.SIGTERM)
    yield slurm
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def files(tmp_path) -> JobFiles:
    files = JobFiles(tmp_path / "job")
    files.place.mkdir()
    (files.place / "config.json").write_text(json.dumps({"out": str(tmp_path / "runs"), "target": "whole"}))
    (tmp_path / "runs" / "whole").mkdir(parents=True)
    return files


@pytest.fixture
def run(slurm, files):
    """Runs a driver in an allocation of two nodes: the exit code of the job."""
    return lambda line: Allocation(files.place, 2, 1, 0).run(line)


def warned(driver: str, tmp_path: Path) -> str:
    """A driver that says when it has begun, and a thread that then sends the signal of the time limit."""
    begun = tmp_path / "begun"

    def warn():
        until(begun.exists)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=warn, daemon=True).start()
    return f"trap '{driver}' TERM; touch {begun}; while true; do sleep 0.01; done"


def in_order(tmp_path: Path, done: str = EPOCH) -> str:
    """A driver that has done something, and ends in order."""
    (tmp_path / "done").write_text(f"{done}\n")
    return warned(f"cat {tmp_path}/done >> {tmp_path}/runs/whole/journal.jsonl; exit 143", tmp_path)


def ended(process: Path) -> bool:
    return not Path(f"/proc/{process.read_text().strip()}").exists()


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_exit_code_is_the_drivers_own_and_is_noted(run, files, tmp_path, code):
    assert run(f"exit {code}") == code
    assert files.ended() == (code, "")
    assert ended(tmp_path / "srun.pid")


def test_a_driver_that_a_signal_has_killed_is_told_as_shells_do(run, files):
    assert run("kill -9 $$") == 137
    assert files.ended() == (137, "")


def test_a_driver_finds_ray_and_its_token(run, files):
    run(f"env > {files.place}/env")
    found = dict(line.partition("=")[::2] for line in (files.place / "env").read_text().splitlines())
    assert found["RAY_ADDRESS"] == f"127.0.0.1:{ports(17)[0]}"
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN_PATH"] == str(files.token)
    assert "RAY_AUTH_TOKEN" not in found
    assert files.token.stat().st_mode & 0o777 == 0o600


def test_each_life_of_a_job_has_a_token_of_its_own(run, files):
    run("exit 0")
    first = files.token.read_text()
    run("exit 0")
    assert files.token.read_text() != first


def test_a_job_whose_time_is_over_is_queued_again(run, slurm, files, tmp_path):
    assert run(in_order(tmp_path)) == 143
    assert [call.words for call in slurm.calls("scontrol")] == [["scontrol", "requeue", "17"]]
    assert files.ended() is None


def test_a_job_that_was_stopped_is_not_queued_again(run, slurm, files, tmp_path):
    line = in_order(tmp_path)
    assert run(f"touch {files.stop}; {line}") == 143
    assert slurm.calls("scontrol") == []
    assert files.ended() == (143, "")


def test_a_job_that_was_stopped_while_it_waited_ends_at_once(run, files):
    files.stop.touch()
    assert run(f"touch {files.place}/begun") == 143
    assert files.ended() == (143, "")
    assert not (files.place / "begun").exists()


@pytest.mark.parametrize("state", ["COMPLETING\n", "CANCELLED\n", "\n"])
def test_a_job_that_slurm_ends_itself_is_left_to_it(run, slurm, files, tmp_path, state):
    slurm.says("squeue", state)
    run(in_order(tmp_path))
    assert slurm.calls("scontrol") == []
    assert files.ended() is None


def test_a_job_that_gets_nowhere_in_its_time_is_not_queued_again_for_ever(run, slurm, files, tmp_path):
    assert run(in_order(tmp_path, '{"event": "started"}')) == 143
    assert slurm.calls("scontrol") == []
    assert files.ended() == (143, "Its time was over before anything new was done. Write more `hours`.")


def test_evaluations_count_as_work_too(run, slurm, files, tmp_path):
    run(warned(f"echo x > {tmp_path}/runs/whole/evaluations.json; exit 143", tmp_path))
    assert len(slurm.calls("scontrol")) == 1


def test_a_slurm_that_does_not_queue_again_is_told(run, slurm, files, tmp_path):
    slurm.says("scontrol requeue", errors="Requested operation is presently disabled\n", code=1)
    run(in_order(tmp_path))
    assert files.ended() == (143, "Its time was over, and Slurm has refused to queue it again.")


def test_a_driver_that_ends_by_itself_as_its_time_is_over_has_ended(run, slurm, files, tmp_path):
    assert run(warned("exit 0", tmp_path)) == 0
    assert slurm.calls("scontrol") == []
    assert files.ended() == (0, "")


def test_a_node_that_does_not_come_up_ends_the_job_with_the_reason(run, files, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(allocation, "START_S", 0.1)
    monkeypatch.setattr(on_host, "alive_nodes", lambda order: ["10.0.0.1"])
    assert run("exit 0") == 1
    line = "Ray is up on 1 of 2 nodes of job 17 after 0.1 s: look at n[1-2] with `sinfo`."
    assert files.ended() == (LOST, line)
    assert capfd.readouterr().out == f"{line}\n"
    assert ended(tmp_path / "srun.pid")


def test_a_dashboard_that_does_not_answer_yet_is_asked_again(run, monkeypatch):
    answers = iter([OSError(), ValueError(), ["10.0.0.1"], ["10.0.0.1", "10.0.0.2"]])

    def asked(order):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(on_host, "alive_nodes", asked)
    assert run("exit 3") == 3


def test_the_first_error_of_srun_is_the_reason_where_it_fails(run, slurm, files, monkeypatch):
    lines = ["srun: error: Task launch failed on node n2", "srun: error: n1: task 0: Killed"]
    (slurm.folder / "srun").write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in lines) + "exit 1\n")
    monkeypatch.setattr(on_host, "alive_nodes", lambda order: [])
    assert run("exit 0") == 1
    reason = "srun has not started Ray on the nodes of job 17: Task launch failed on node n2"
    assert files.ended() == (LOST, reason)


def test_srun_asks_for_a_task_on_each_node_with_all_its_cpus(slurm, files, tmp_path, monkeypatch):
    (slurm.folder / "srun").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\nexec sleep 600\n')
    Allocation(files.place, 3, 8, 2).files.new_token()
    monkeypatch.setattr(on_host, "alive_nodes", lambda order: ["a", "b", "c"])
    Allocation(files.place, 3, 8, 2).run(f"until [ -s {tmp_path}/words ]; do sleep 0.01; done")
    words = (tmp_path / "words").read_text().split()
    assert {"--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--cpus-per-task=8"} <= set(words)
    assert words[-6:] == ["--cpus", "8", "--gpus", "2", str(files.place), "127.0.0.1"]
    assert files.token.read_text() not in " ".join(words)


def test_a_start_of_ray_that_fails_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(allocation, "AGAIN_S", 0.01)
    tried = tmp_path / "tried"
    words = ["sh", "-c", f"echo >> {tried}; test $(wc -l < {tried}) -eq 3"]
    with (tmp_path / "log").open("w") as log:
        assert until_ended(words, os.environ | {on_host.MARK: "vo-nobody"}, log) == 0
    assert len(tried.read_text().splitlines()) == 3


def test_a_start_of_ray_that_goes_on_failing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(allocation, "START_S", 0.0)
    with (tmp_path / "log").open("w") as log:
        assert until_ended(["sh", "-c", "exit 7"], os.environ | {on_host.MARK: "vo-nobody"}, log) == 7


def test_the_ports_of_jobs_that_follow_each_other_differ_and_no_worker_of_ray_has_them():
    found = [port for job in range(1000, 1100) for port in ports(job)]
    assert len(set(found)) == len(found)
    assert min(ports(job)[0] for job in range(4000)) >= 20000
    assert max(ports(job)[-1] for job in range(4000)) < 32768


def test_a_node_is_reached_by_the_address_towards_the_head():
    assert address_towards("127.0.0.1") == "127.0.0.1"


def test_the_program_that_the_script_starts_imports_nothing_heavy():
    heavy = "print(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    code = f"import sys, orchestrator.clusters.slurm.allocation; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
