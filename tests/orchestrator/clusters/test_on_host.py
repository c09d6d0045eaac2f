"""What is done on a host of a cluster: processes are found by the cluster's mark, and only those are ended."""

import inspect
import json
import os
import socket
import subprocess
import sys

import pytest

from orchestrator.clusters import on_host
from tests.support.waiting import until

MARK = f"vo-test{os.getpid()}"
WAITING = [sys.executable, "-c", "import time; time.sleep(600)"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Ray's clusters need Linux")


@pytest.fixture
def started():
    """Starts processes, which are ended with the test."""
    processes = []

    def start(words, **how) -> subprocess.Popen:
        processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, **how))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def marked(mark: str = MARK) -> dict[str, str]:
    return os.environ | {on_host.MARK: mark}


def test_a_clusters_processes_are_known_by_environment_argument_path_and_parent(started):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'], env={})"
    ours = [
        started(WAITING, env=marked()),
        started([*WAITING, MARK]),
        started([*WAITING, f"--temp-dir=/tmp/{MARK}/r"]),
        started([sys.executable, "-c", child, MARK]),
    ]
    others = [started(WAITING, env=marked(f"{MARK}0")), started([*WAITING, f"x{MARK}"]), started(WAITING)]
    until(lambda: len(on_host.found(MARK)) == 5)  # with the child
    found = set(on_host.found(MARK))
    assert {process.pid for process in ours} < found
    assert not {process.pid for process in others} & found


def test_only_the_clusters_processes_are_ended_also_stubborn_ones(started, monkeypatch):
    monkeypatch.setattr(on_host, "ENDING_S", 0.5)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    stubborn = subprocess.Popen([sys.executable, "-c", deaf], env=marked(), stdout=subprocess.PIPE)
    with stubborn:
        assert stubborn.stdout.readline() == b"ready\n"
        other = started(WAITING, env=marked("vo-other"))
        assert on_host.end(MARK) == []
        assert on_host.end(MARK) == []  # and again, with nothing to do
    assert stubborn.returncode == -9
    assert other.poll() is None


def test_a_process_that_does_not_end_is_told(started, monkeypatch):
    monkeypatch.setattr(on_host, "ENDING_S", 0.1)
    monkeypatch.setattr(on_host, "KILLED_S", 0.1)
    monkeypatch.setattr(on_host.os, "kill", lambda process, signal: None)
    process = started(WAITING, env=marked())
    until(lambda: on_host.found(MARK))
    assert on_host.end(MARK) == [process.pid]


def test_a_folder_that_somebody_else_made_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "ours"
    assert on_host.private_folder(str(folder)) == str(folder)
    folder.chmod(0o777)
    on_host.private_folder(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(on_host.Failed, match="link belongs to somebody else"):
        on_host.private_folder(str(tmp_path / "link"))
    monkeypatch.setattr(on_host.os, "getuid", lambda: 4321)
    with pytest.raises(on_host.Failed, match="ours belongs to somebody else"):
        on_host.private_folder(str(folder))


def test_a_port_that_is_taken_is_told_with_a_cure():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(on_host.Failed, match=f"another program uses port {port} there.*`ray_port`"):
            on_host.refuse_taken(port)
    on_host.refuse_taken(port)
    with pytest.raises(on_host.Failed, match=f"cannot reach the head's Ray at 127.0.0.1:{port}"):
        on_host.refuse_unreachable("127.0.0.1", port)


def test_a_loopback_address_is_not_one_that_others_reach(monkeypatch):
    assert not on_host.is_own("127.0.0.1")
    assert not on_host.is_own("192.0.2.1")
    monkeypatch.setattr(on_host, "is_own", lambda address: address == "10.1.2.3")
    monkeypatch.setenv("SSH_CONNECTION", "10.1.2.9 50000 10.1.2.3 22")
    assert on_host.own_address("localhost") == "10.1.2.3"
    monkeypatch.setenv("SSH_CONNECTION", "")
    with pytest.raises(on_host.Failed, match="no IPv4 address that others can reach"):
        on_host.own_address("localhost")


def test_the_interface_of_an_address_is_found():
    assert on_host.interface_of("127.0.0.1") == "lo"
    assert on_host.interface_of("192.0.2.1") is None


def test_an_order_that_fails_is_answered_with_its_reason(capsys, monkeypatch):
    monkeypatch.setattr(on_host.sys, "platform", "darwin")
    on_host.obey({"action": "check"})
    told = json.loads(capsys.readouterr().out.removeprefix(on_host.ANSWER))
    assert "Ray's clusters need Linux" in told["failed"]


def test_settings_of_the_hosts_user_that_would_beat_the_clusters_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "old")
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    monkeypatch.setenv("SSH_CLIENT", "10.0.0.1 50000 22")  # with it bash reads ~/.bashrc, where PATH may change
    order = {"mark": MARK, "address": "127.0.0.1", "environment": {"RAY_AUTH_MODE": "token"}}
    known = on_host.environment(order, tmp_path, tmp_path / "scratch")
    assert not {"RAY_AUTH_TOKEN", "RAY_ADDRESS", "SSH_CLIENT"} & set(known)
    assert (known["RAY_AUTH_MODE"], known["RAY_AUTH_TOKEN_PATH"]) == ("token", str(tmp_path / "token"))
    assert (known["TMPDIR"], known["GLOO_SOCKET_IFNAME"]) == (str(tmp_path / "scratch"), "lo")


def test_credentials_that_were_copied_there_are_those_of_trials(tmp_path):
    order = {"mark": MARK, "address": "127.0.0.1", "environment": {}}
    assert "AWS_SHARED_CREDENTIALS_FILE" not in on_host.environment(order, tmp_path, tmp_path)
    (tmp_path / on_host.CREDENTIALS).touch()
    known = on_host.environment(order, tmp_path, tmp_path)
    assert known["AWS_SHARED_CREDENTIALS_FILE"] == str(tmp_path / on_host.CREDENTIALS)


def test_a_cluster_ends_once_it_has_been_idle_and_not_before(monkeypatch):
    clock, ended = iter(range(0, 1000, 10)), []
    jobs = [False, True, True, False, False, False, False]
    monkeypatch.setattr(on_host.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(on_host.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(on_host, "found", lambda mark: {1: "raylet"})
    monkeypatch.setattr(on_host, "has_job", lambda order: jobs.pop(0))
    monkeypatch.setattr(on_host, "stop", ended.append)
    on_host.wait_until_idle({"mark": MARK, "idle_s": 30})
    assert len(ended) == 1 and len(jobs) == 1  # 30 s after the last look that found a job


def test_who_waits_for_an_idle_cluster_ends_it_and_outlives_who_asked(tmp_path):
    order = {"mark": MARK, "folder": str(tmp_path / "folder"), "dashboard_port": 1, "idle_s": 0}
    (tmp_path / "folder").mkdir()
    with subprocess.Popen(["sleep", "1000"], env={**os.environ, on_host.MARK: MARK}) as process:
        on_host.stop_when_idle({**order, "source": inspect.getsource(on_host)})
        until(lambda: process.poll() is not None)
    until(lambda: not (tmp_path / "folder").exists())


def test_a_start_in_which_the_raylet_gave_up_is_repeated_and_any_other_is_told_with_its_log(monkeypatch, tmp_path):
    order = {"mark": MARK, "own_ports": [], "head_address": None, "folder": str(tmp_path), "log_lines": 2}
    raylet_log, codes = tmp_path / "raylet.out", [1, 1, 0]
    monkeypatch.setattr(on_host, "raylet_log", lambda order: raylet_log)
    monkeypatch.setattr(on_host, "ray_start", lambda order, deadline: codes.pop(0))
    on_host.start_log(order).write_text("one\ntwo\nthree\n")
    with pytest.raises(on_host.Failed) as failed:
        on_host.start(order)
    log = on_host.start_log(order).name
    assert str(failed.value) == f"`ray start` has failed.\n  {log}: two\n  {log}: three"
    raylet_log.write_text("no agent\n")
    assert on_host.start(order) == {}
    assert codes == []
