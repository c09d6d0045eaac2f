"""Ray on hosts that share nothing and are reached by SSH: it starts on all, is closed to others, and ends on all."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request

import pytest

from orchestrator.clusters import openssh, ray_on_hosts
from orchestrator.clusters.ray_on_hosts import Hosts, down, running, up
from orchestrator.clusters.state import noted_hosts, state_folder, token
from orchestrator.errors import UserError
from tests.support.lab import Lab, unavailable
from tests.support.ssh_records import ssh_cluster
from tests.support.waiting import until

pytestmark = [pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())), pytest.mark.slow_lab]

RECORD = ssh_cluster()
FOREIGN = "VAEORCH_CLUSTER=vo-00000000 exec -a /tmp/ray/session/raylet sleep 9999"  # looks like a Ray, but not ours
TOLD_BY_JOB = """
import json, os, ray
ray.init(log_to_driver=False)
names = ["RAY_JOB_STOP_WAIT_TIME_S", "RAY_CHDIR_TO_TRIAL_DIR", "GLOO_SOCKET_IFNAME", "TMPDIR"]
told = {name: os.environ.get(name) for name in names}
told["cpus"] = {node["NodeManagerAddress"]: node["Resources"].get("CPU", 0) for node in ray.nodes()}
print("told", json.dumps(told))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab, lab.on_laptop():
        for name in ("gpu1", "gpu2", "gpu3"):
            lab.host(name)
        lab.hosts["gpu2"].run(f"({FOREIGN}) > /dev/null 2>&1 &")
        yield lab


@pytest.fixture(scope="module")
def state(lab):
    return state_folder("gpus")


@pytest.fixture(scope="module")
def cluster(lab, state):
    """A cluster that runs, with what was said meanwhile; it is ended by the last test."""
    said = []
    up(RECORD, state, said.append)
    return said


def of_ray(lab) -> dict[str, list[str]]:
    """The names of the processes of any Ray, on each host where there are some."""
    listed = {name: host.run("grep -l vo- /proc/[0-9]*/environ 2>/dev/null; true") for name, host in lab.hosts.items()}
    return {name: lines.split() for name, lines in listed.items() if lines}


def vital(lab) -> list[str]:
    """The process ids of Ray's servers on each host."""
    return [host.run("pgrep -x 'raylet|gcs_server'") for host in lab.hosts.values()]


def asked(port: int, path: str, secret: str = "", body: dict | None = None):
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    content = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_problems_of_all_hosts_are_told_at_once_and_nothing_is_started(lab, state):
    other = ssh_cluster(workers=("gpu9", "gpu2", "10.77.0.2"), python="~/none/bin/python")
    with pytest.raises(UserError) as refused:
        up(other, state, print)
    head, missing, worker, _ = refused.value.lines
    assert head.startswith("gpu1: a program is missing there") and "none/bin/python" in head
    assert missing.startswith("gpu9: has no address")
    assert worker.startswith("gpu2: a program is missing there")
    without = ssh_cluster(workers=(), python="/usr/bin/python3")
    with pytest.raises(UserError, match="gpu1: /usr/bin/python3 cannot import ray .*correct `python`"):
        up(without, state, print)
    assert noted_hosts(state) == ()


def test_a_port_that_is_taken_is_told_and_nothing_is_left(lab, state):
    lab.hosts["gpu1"].run("cd /tmp; nohup python3 -m http.server 6379 > /dev/null 2>&1 & echo $! > /tmp/server")
    until(lambda: lab.hosts["gpu1"].run("ss -Htln sport = 6379"))
    with pytest.raises(UserError, match="gpu1: another program uses port 6379 there"):
        up(RECORD, state, print)
    lab.hosts["gpu1"].run("kill $(cat /tmp/server)")
    assert running(RECORD, state) == {"gpu1": False, "gpu2": False, "gpu3": False}
    assert list(of_ray(lab)) == ["gpu2"]  # the foreign one


def test_ctrl_c_while_ray_starts_ends_what_was_started(lab, state):
    def interrupt() -> None:
        until(lambda: "gpu1" in of_ray(lab))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        up(RECORD, state, print)
    assert list(of_ray(lab)) == ["gpu2"]


def test_all_hosts_are_nodes_and_the_token_opens_the_jobs_api_through_a_tunnel(lab, cluster, state):
    hosts = Hosts(RECORD, state)
    assert cluster == ["Starting Ray on gpu1.", "Starting Ray on gpu2, gpu3."]
    assert running(RECORD, state) == {"gpu1": True, "gpu2": True, "gpu3": True}
    with hosts.remote("gpu1").tunnel(RECORD.dashboard_port) as tunnel:
        assert asked(tunnel.port, "/api/jobs/", token(state)) == []
        for secret in ("", "0" * 64):
            with pytest.raises(urllib.error.HTTPError, match="40[13]"):
                asked(tunnel.port, "/api/jobs/", secret)


def test_the_dashboard_listens_on_loopback_only_and_the_token_is_secret(lab, cluster, state):
    listening = lab.hosts["gpu1"].run(f"ss -Htln sport = {RECORD.dashboard_port}").split()
    assert f"127.0.0.1:{RECORD.dashboard_port}" in listening
    assert lab.hosts["gpu1"].run(f"ss -Htln sport = {RECORD.dashboard_port} | wc -l") == "1\n"
    for host in lab.hosts.values():
        assert host.run("stat -c %a ~/.local/state/vaeorch/*/token /tmp/vo-*").split() == ["600", "700"]
        assert token(state) not in host.run(
            "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
        )


def test_jobs_have_the_clusters_settings_and_hosts_offer_what_the_record_says(lab, cluster, state):
    hosts = Hosts(RECORD, state)
    lab.hosts["gpu1"].run(f"cat > /tmp/job.py <<'EOT'\n{TOLD_BY_JOB}\nEOT")
    with hosts.remote("gpu1").tunnel(RECORD.dashboard_port) as tunnel:
        body = {"entrypoint": "python /tmp/job.py", "submission_id": "told"}
        asked(tunnel.port, "/api/jobs/", token(state), body)
        until(lambda: asked(tunnel.port, "/api/jobs/told", token(state))["status"] not in ("PENDING", "RUNNING"))
        log = asked(tunnel.port, "/api/jobs/told/logs", token(state))["logs"]
    assert "\ntold {" in log, log
    told = json.loads(log.rpartition("told ")[2])
    assert told == {
        "RAY_JOB_STOP_WAIT_TIME_S": "120",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "GLOO_SOCKET_IFNAME": "eth0",
        "TMPDIR": f"/tmp/{hosts.mark}",
        "cpus": {"10.77.0.2": 0, "10.77.0.3": 1, "10.77.0.4": 1},
    }


def test_a_host_that_does_not_come_up_in_time_is_named_with_the_end_of_its_log(lab, cluster, state, monkeypatch):
    monkeypatch.setattr(ray_on_hosts, "START_S", 1)
    with pytest.raises(UserError) as late:
        Hosts(RECORD, state).wait({"gpu1": "10.77.0.2", "gpu2": "10.77.0.99"})
    (text,) = late.value.lines
    assert text.startswith("gpu2: Ray has not come up there within 1 s. Its logs end:\n  start-gpu2.log: ")


def test_another_up_changes_nothing_and_brings_back_a_worker_that_was_lost(lab, cluster, state):
    said, before = [], vital(lab)
    up(RECORD, state, said.append)
    assert said == []
    assert vital(lab) == before
    lab.hosts["gpu3"].kill()
    with pytest.raises(UserError, match="gpu3: cannot be reached"):
        up(RECORD, state, said.append)
    lab.hosts["gpu3"].start()
    up(RECORD, state, said.append)
    assert said == ["Starting Ray on gpu3."]
    assert running(RECORD, state) == {"gpu1": True, "gpu2": True, "gpu3": True}


def test_down_ends_this_ray_everywhere_names_hosts_that_it_cannot_reach_and_can_be_repeated(lab, cluster, state):
    lab.cut(lab.hosts["gpu3"])
    fewer = ssh_cluster(workers=("gpu2",))  # a worker that was taken from the file is not forgotten
    (problem,) = down(fewer, state)
    assert str(problem).startswith("gpu3: cannot be reached")
    assert sorted(of_ray(lab)) == ["gpu2", "gpu3"]
    lab.heal(lab.hosts["gpu3"])
    assert down(fewer, state) == []
    assert down(RECORD, state) == []
    assert list(of_ray(lab)) == ["gpu2"]
    assert lab.hosts["gpu2"].run("cat /proc/[0-9]*/cmdline").count("/tmp/ray/session/raylet") == 1
    for host in lab.hosts.values():
        assert host.run("ls -A ~/.local/state/vaeorch /tmp | grep vo- || true") == ""
    assert noted_hosts(state) == ()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setitem(openssh.OPTIONS, "ConnectTimeout", 3)
