"""A private Ray comes up where that takes long, as on a machine with much other work."""

import pytest

from orchestrator import local_ray


@pytest.fixture
def looks(monkeypatch):
    """Ray looks for its node, which is there at the fourth look; what it finds."""
    import ray
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
