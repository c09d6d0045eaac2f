"""What the driver tells of machines that cannot be had, and when it gives up."""

from types import SimpleNamespace

import pytest

from orchestrator.clusters import growth
from orchestrator.clusters.growth import NO_MACHINES_S, Growth, reasons_of
from orchestrator.errors import ClusterFailed

SHORT = "An error occurred (InsufficientInstanceCapacity) when calling the RunInstances operation: no g5.2xlarge."


def launch(kind: str, failed_ts_s: float, details: str = SHORT) -> SimpleNamespace:
    return SimpleNamespace(ray_node_type_name=kind, failed_ts_s=failed_ts_s, details=details)


def test_a_refusal_is_told_once_and_again_when_its_reason_changes():
    found = Growth()
    assert found.judge(False, {"spot": "none free."}, 0) == ["no spot: none free. It is tried again."]
    assert found.judge(False, {"spot": "none free."}, 5) == []
    assert found.judge(False, {"spot": "quota."}, 10) == ["no spot: quota. It is tried again."]


def test_without_any_machine_for_long_the_sweep_ends_with_the_reasons():
    found = Growth()
    found.judge(False, {"spot": "none free."}, 0)
    found.judge(False, {"spot": "none free."}, NO_MACHINES_S)
    with pytest.raises(ClusterFailed) as error:
        found.judge(False, {"spot": "none free."}, NO_MACHINES_S + 1)
    assert error.value.lines == ("The cluster has had no machine for 10 minutes.", "no spot: none free.")


def test_while_there_is_a_machine_or_none_was_refused_it_goes_on():
    found = Growth()
    assert found.judge(False, {}, 0) == found.judge(False, {}, 10 * NO_MACHINES_S) == []
    found.judge(True, {"spot": "none free."}, 11 * NO_MACHINES_S)
    assert found.judge(False, {"spot": "none free."}, 12 * NO_MACHINES_S) == []


def test_of_each_kind_of_machine_the_last_reason_counts_and_old_ones_do_not():
    launches = [launch("spot", 1000, "b\nc"), launch("spot", 990), launch("old", 1000 - NO_MACHINES_S)]
    assert reasons_of(launches, 1000) == {"spot": "b c."}
    [reason] = reasons_of([launch("spot", 1000)], 1000).values()
    assert reason.startswith("AWS has no such machines free in these zones now (InsufficientInstanceCapacity: no g5")


def test_it_does_not_look_all_the_time(monkeypatch, capsys):
    looks = []
    monkeypatch.setattr(growth, "has_node", lambda: True)
    monkeypatch.setattr(growth, "refused", lambda: looks.append(1) or {"spot": "none free."})
    found = Growth()
    found.look()
    found.look()
    assert len(looks) == 1 and capsys.readouterr().out == "no spot: none free. It is tried again.\n"
