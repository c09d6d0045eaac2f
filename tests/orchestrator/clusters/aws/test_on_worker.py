"""The program that looks after a worker: what it does with AWS's notice, and when the head is lost."""

import json
import socket
import threading
from http.server import ThreadingHTTPServer

import pytest

from orchestrator.clusters.aws import on_worker
from tests.support.fake_ec2_server import metadata_of

NOTICE = {"action": "terminate", "time": "2030-01-02T03:04:05Z"}


@pytest.fixture
def metadata(monkeypatch, tmp_path):
    """Yields the folder that has the notices."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), metadata_of(tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(on_worker, "METADATA", f"http://127.0.0.1:{server.server_address[1]}")
    yield tmp_path
    server.shutdown()
    server.server_close()


def test_there_is_no_notice_until_aws_gives_one(metadata):
    assert on_worker.noticed() is None
    (metadata / "notice-127.0.0.1").write_text(json.dumps(NOTICE))
    assert on_worker.noticed() == NOTICE


def test_where_the_metadata_cannot_be_read_there_is_none(monkeypatch):
    monkeypatch.setattr(on_worker, "METADATA", "http://127.0.0.1:9")
    assert on_worker.noticed() is None


@pytest.fixture
def watched(monkeypatch):
    """Runs the program with what a head says at each look, until the machine is shut down: what it did, in order."""

    def watch(*reached):
        did, looks, now = [], iter(reached), [0.0]
        monkeypatch.setattr(on_worker, "reaches", lambda head, port: next(looks, False))
        monkeypatch.setattr(on_worker, "drain", lambda *known: did.append(known))
        monkeypatch.setattr(on_worker, "shut_down", lambda: did.append(f"shut down at {now[0]:g}"))
        monkeypatch.setattr(on_worker.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(on_worker.time, "sleep", lambda seconds: now.append(now.pop() + 100))
        on_worker.watch({"ray_port": 6379}, "127.0.0.1")
        return did

    return watch


def test_the_node_is_drained_once_until_the_time_of_the_notice(metadata, watched):
    (metadata / "notice-127.0.0.1").write_text(json.dumps(NOTICE))
    did = watched(True, True)
    assert did[:-1] == [("127.0.0.1:6379", "127.0.0.1", 1893553445.0)]


def test_a_worker_without_its_head_for_long_shuts_itself_down(metadata, watched):
    assert watched(False) == ["shut down at 600"]
    assert watched(True, False, False, True, False) == ["shut down at 900"]


def test_a_head_is_reached_if_its_ray_takes_connections():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert on_worker.reaches("127.0.0.1", server.getsockname()[1])
    assert not on_worker.reaches("127.0.0.1", 9)


def test_it_is_shut_down_as_its_user_may(monkeypatch):
    ran = []
    monkeypatch.setattr(on_worker.subprocess, "run", lambda words, **how: ran.append(words))
    for user in (0, 1000):
        monkeypatch.setattr(on_worker.os, "geteuid", lambda user=user: user)
        on_worker.shut_down()
    assert ran == [["shutdown", "-h", "now"], ["sudo", "-n", "shutdown", "-h", "now"]]


@pytest.mark.parametrize("notice", [{}, {"time": 3}, {"time": "soon"}, []])
def test_where_aws_does_not_say_when_it_is_in_two_minutes(notice):
    assert on_worker.deadline(notice, 1000.0) == 1120.0
