"""A private Ray comes up where that takes long, as on a machine with much other work."""

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import ray

from orchestrator.clusters import local as local_ray

psutil = import_module("psutil")  # Ray brings it


@pytest.fixture
def looks(monkeypatch):
    """Ray looks for its node, which is there at the fourth look; what it finds."""
    from ray._private import services

    failures = [RuntimeError("no such node")] * 3

    def get_node(address: str, node: str) -> dict:
        if failures:
            raise failures.pop()
        return {"node": node, "gcs": address}

    found = []
    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(ray, "init", lambda **how: found.append(services.get_node("here", "7")))
    yield found
    assert services.get_node is get_node  # for others Ray is as it was


def test_a_node_that_comes_up_late_is_waited_for(looks, tmp_path):
    local_ray.start(tmp_path, gpus=0, dashboard_port=None)
    assert looks == [{"node": "7", "gcs": "here"}]


def test_a_node_that_does_not_come_up_is_not_waited_for_without_end(looks, tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray, "START_S", -1)
    with pytest.raises(RuntimeError, match="no such node"):
        local_ray.start(tmp_path, gpus=0, dashboard_port=None)


@pytest.mark.parametrize("executable", ["GCS_SERVER_EXECUTABLE", "RAYLET_EXECUTABLE"])
def test_a_process_that_ends_while_ray_starts_is_started_again_and_nothing_is_left(executable, tmp_path, monkeypatch):
    """The first process of that kind ends at once, the next ones are Ray's own."""
    from ray._private import services

    true = Path(getattr(services, executable))
    once = tmp_path / true.name
    once.write_text(f'#!/bin/sh\nmkdir {tmp_path}/ended 2> /dev/null && exit 1\nexec {true} "$@"\n')
    once.chmod(0o755)
    monkeypatch.setattr(services, executable, str(once))
    for name in ("gcs_server_port", "raylet_start"):
        monkeypatch.setenv(f"RAY_{name}_wait_time_s", "5")  # in which nothing comes; half a minute by default
    before = set(psutil.Process().children(recursive=True))
    with local_ray.private_ray(gpus_used=False, dashboard=False):
        assert ray.get(ray.remote(lambda: "works").remote()) == "works"
    assert (tmp_path / "ended").is_dir()
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_process_that_has_asked_another_ray_with_its_token_or_none_starts_its_own(monkeypatch, mode):
    from ray._raylet import AuthenticationTokenLoader, Config

    loader = AuthenticationTokenLoader.instance()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    Config.initialize("")
    loader.reset_cache()
    assert loader.get_raw_token(True) == "a" * 64
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(local_ray, "START_S", 30)
    with local_ray.private_ray(gpus_used=False, dashboard=False):
        assert ray.get(ray.put(7)) == 7
    assert loader.get_raw_token(True) == os.environ["RAY_AUTH_TOKEN"] != "a" * 64


def test_what_does_not_end_by_itself_is_killed(monkeypatch):
    monkeypatch.setattr(local_ray, "ENDING_S", 0.1)
    with subprocess.Popen(["sleep", "300"]) as stubborn:
        local_ray.end({psutil.Process(stubborn.pid)})
        assert not psutil.pid_exists(stubborn.pid)


def test_ctrl_c_while_ray_starts_ends_what_was_started(monkeypatch, tmp_path):
    started = []

    def start(*values):
        started.append(psutil.Popen(["sleep", "300"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(local_ray, "start", start)
    monkeypatch.setattr(local_ray, "ENDING_S", 0.1)
    with pytest.raises(KeyboardInterrupt):
        local_ray.start_or_raise(tmp_path, gpus=0, dashboard_port=None, cure="")
    assert started[0].wait(60) in (None, -signal.SIGKILL)  # None: `end` has waited for it


@pytest.mark.parametrize("dashboard", [True, False])
def test_a_private_ray_has_no_process_that_it_can_do_without(dashboard):
    before = set(psutil.Process().children(recursive=True))
    with local_ray.private_ray(gpus_used=False, dashboard=dashboard):
        started = set(psutil.Process().children(recursive=True)) - before
        commands = " ".join(" ".join(process.cmdline()) for process in started)
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
    assert "/raylet" in commands and "/gcs_server" in commands
    assert not any(helper in commands for helper in ("log_monitor.py", "monitor.py"))
    assert ("dashboard.py" in commands) is dashboard


TERMINATED = """
import os, signal, sys
import psutil
from ray._private import services, worker
from orchestrator.clusters import local
from orchestrator.signals import Terminated, listen

def end(*_):
    os.kill(os.getpid(), signal.SIGTERM)

find = services.get_node
if sys.argv[1] == "while its node is looked for":
    services.get_node = lambda *values: end() or find(*values)
else:
    worker._post_init_hooks.append(end)
listen()
try:
    with local.private_ray(gpus_used=False, dashboard=False):
        print("started")
except Terminated:
    print("terminated,", len(psutil.Process().children(recursive=True)), "left")
"""


@pytest.mark.parametrize("when", ["while its node is looked for", "once it is there"])
def test_sigterm_while_ray_starts_ends_it_in_order(when):
    """Ray has two handlers of its own for SIGTERM, of which one exits and one aborts."""
    done = subprocess.run([sys.executable, "-c", TERMINATED, when], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "terminated, 0 left\n")
