"""The program that has Ray use a spot machine no more, once AWS has given notice."""

import json
import threading
from http.server import ThreadingHTTPServer

import pytest

from orchestrator.clusters.aws import spot_notice
from tests.support.fake_ec2_server import metadata_of

NOTICE = {"action": "terminate", "time": "2030-01-02T03:04:05Z"}


@pytest.fixture
def metadata(monkeypatch, tmp_path):
    """Yields the folder that has the notices."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), metadata_of(tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(spot_notice, "METADATA", f"http://127.0.0.1:{server.server_address[1]}")
    yield tmp_path
    server.shutdown()
    server.server_close()


def test_there_is_no_notice_until_aws_gives_one(metadata):
    assert spot_notice.noticed() is None
    (metadata / "notice-127.0.0.1").write_text(json.dumps(NOTICE))
    assert spot_notice.noticed() == NOTICE


def test_where_the_metadata_cannot_be_read_there_is_none(monkeypatch):
    monkeypatch.setattr(spot_notice, "METADATA", "http://127.0.0.1:9")
    assert spot_notice.noticed() is None


def test_the_node_is_drained_until_the_time_of_the_notice(metadata, monkeypatch):
    (metadata / "notice-127.0.0.1").write_text(json.dumps(NOTICE))
    drained = []
    monkeypatch.setattr(spot_notice, "drain", lambda *known: drained.append(known))
    spot_notice.watch({"ray_port": 6379}, "127.0.0.1")
    assert drained == [("127.0.0.1:6379", "127.0.0.1", 1893553445.0)]


@pytest.mark.parametrize("notice", [{}, {"time": 3}, {"time": "soon"}, []])
def test_where_aws_does_not_say_when_it_is_in_two_minutes(notice):
    assert spot_notice.deadline(notice, 1000.0) == 1120.0
