"""What the driver tells of machines that cannot be had, and when it gives up."""

from queue import Queue
from unittest.mock import MagicMock

import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.v2.instance_manager import node_provider
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

from orchestrator.clusters import growth
from orchestrator.clusters.growth import LONGEST_S, Growth, reasons_in
from orchestrator.errors import ClusterFailed

PATIENCE_S = 600.0


def test_a_refusal_is_told_once_and_again_when_its_reason_changes():
    found = Growth(PATIENCE_S)
    assert found.judge(False, {"spot": "none free."}, 0) == ["waiting      no spot: none free."]
    assert found.judge(False, {"spot": "none free."}, 5) == []
    assert found.judge(False, {"spot": "quota."}, 10) == ["waiting      no spot: quota."]


def test_without_any_machine_for_long_the_sweep_ends_with_the_reasons():
    found = Growth(PATIENCE_S)
    found.judge(False, {"spot": "none free."}, 0)
    found.judge(False, {"spot": "none free."}, PATIENCE_S)
    with pytest.raises(ClusterFailed) as error:
        found.judge(False, {"spot": "none free."}, PATIENCE_S + 1)
    assert error.value.lines == ("The cluster has had no machine for 10 minutes.", "no spot: none free.")


def test_while_there_is_a_machine_or_none_was_refused_it_goes_on():
    found = Growth(PATIENCE_S)
    assert found.judge(False, {}, 0) == found.judge(False, {}, 2 * PATIENCE_S) == []
    found.judge(True, {"spot": "none free."}, 11 * PATIENCE_S)
    assert found.judge(False, {"spot": "none free."}, 12 * PATIENCE_S) == []


def test_where_no_machine_joins_at_all_the_sweep_ends_too():
    found = Growth(PATIENCE_S)
    found.judge(False, {}, 0)
    assert found.judge(False, {}, LONGEST_S) == []
    with pytest.raises(ClusterFailed, match="No machine has joined the cluster within 60 minutes"):
        found.judge(False, {}, LONGEST_S + 1)


LOG = """\
12:00:00 INFO -- Failed to launch 1 nodes of type spot: Node Launch Exception (VcpuLimitExceeded): You have requested
12:00:05 INFO -- Launching 1 nodes of type spot.
12:00:10 INFO -- Failed to launch 2 nodes of type spot: Node Launch Exception (InsufficientInstanceCapacity): none left
12:00:15 INFO -- Failed to launch 2 nodes of type other: a bug
"""


def test_of_each_kind_of_machine_the_last_reason_in_the_log_of_rays_autoscaler_counts():
    found = reasons_in(LOG, ["spot", "other", "silent"])
    assert found.pop("spot").startswith(
        "AWS has no such machines free in these zones now (InsufficientInstanceCapacity"
    )
    assert found == {"other": "a bug.", "silent": "it was refused."}


def test_ray_logs_the_reason_as_it_is_looked_for(monkeypatch):
    lines, adapter = [], NodeProviderAdapter.__new__(NodeProviderAdapter)
    monkeypatch.setattr(node_provider.logger, "info", lines.append)
    monkeypatch.setattr(node_provider, "hash_launch_conf", lambda *config: "")
    adapter._v1_provider, adapter._config_reader, adapter._errors_queue = MagicMock(), MagicMock(), Queue()
    config = adapter._config_reader.get_cached_autoscaling_config.return_value
    config.get_cloud_node_config.return_value = config.get_config.return_value = {}
    refusal = NodeLaunchException("VcpuLimitExceeded", "You have requested more", None)
    adapter._v1_provider.create_node_with_resources_and_labels.side_effect = refusal
    adapter._launch_nodes_by_type("spot", 1, "request")
    [reason] = reasons_in("\n".join(lines), ["spot"]).values()
    assert reason.startswith("the quota of this account")


def test_it_does_not_look_all_the_time(monkeypatch, capsys):
    looks = []
    monkeypatch.setattr(growth, "has_node", lambda: True)
    monkeypatch.setattr(growth, "refused", lambda: looks.append(1) or {"spot": "none free."})
    found = Growth(PATIENCE_S)
    found.look()
    found.look()
    assert len(looks) == 1 and capsys.readouterr().out == "waiting      no spot: none free.\n"
