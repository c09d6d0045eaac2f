"""Whether all nodes have the same code, packages and data as the driver: what is said of one that differs."""

import copy
import socket
from types import SimpleNamespace

import pytest

from orchestrator.errors import UserError
from orchestrator.execution import handshake
from orchestrator.execution.handshake import NodeDiffers, check_nodes, check_this_node, differing, report_of
from orchestrator.spec.records import Resources
from orchestrator.sweep.reuse import software
from tests.support.small_runs import a_run

SAME = "Install the same on all nodes."
OTHER_CODE = "runs other code of vaeorch than the driver: a copy installed there comes first. Remove it."
ONE = Resources()


def other(**changes) -> dict:
    """What a node has that differs from this one. A value for `packages` replaces some of them; None: it has none."""
    found = copy.deepcopy(software())
    found["packages"] |= changes.pop("packages", {})
    return found | changes


@pytest.fixture
def nodes(monkeypatch) -> dict[str, SimpleNamespace]:
    """Nodes of a cluster, by name: what each would report. Each is this machine, but for `software` and `missing`."""
    known = {}

    def on_each(asked: dict[str, str], function, *values) -> dict:
        reports = {}
        for name in asked:
            report = function(*values)
            made = report["made_with"] | known[name].software
            reports[name] = report | {"made_with": made, "missing": report["missing"] + known[name].missing}
        return reports

    monkeypatch.setattr(handshake, "training_nodes", lambda: dict.fromkeys(known, "id"))
    monkeypatch.setattr(handshake, "on_each", on_each)
    for name in ("gpu1 (10.0.0.1)", "gpu2 (10.0.0.2)"):
        known[name] = SimpleNamespace(software={}, missing=[])
    return known


def test_equal_nodes_do_not_differ():
    assert differing(software(), software()) == []
    assert differing(other(device="NVIDIA L4", data_root="/elsewhere"), software()) == []


def test_packages_of_another_version_are_named():
    mine = other(packages={"torch": "2.1.0", "numpy": "2.0.0"})
    assert differing(other(packages={"torch": "2.0.1", "numpy": None}), mine) == [
        f"has numpy None, the driver 2.0.0. {SAME}",
        f"has torch 2.0.1, the driver 2.1.0. {SAME}",
    ]


def test_another_python_is_named():
    assert differing(other(python="3.12.1"), other(python="3.11.2")) == [
        f"has Python 3.12.1, the driver 3.11.2. {SAME}"
    ]


@pytest.mark.parametrize("package", ["code", "orchestrator"])
def test_other_code_is_told_with_its_cure(package):
    assert differing(other(**{package: "0" * 64}), software()) == [OTHER_CODE]


def test_a_node_that_joins_late_and_is_equal_may_train():
    check_this_node(software() | {"device": "cpu", "threads": 4})


def test_a_node_that_joins_late_and_differs_may_not():
    with pytest.raises(NodeDiffers) as caught:
        check_this_node(other(python="3.9.0"))
    mine = software()["python"]
    assert str(caught.value) == f"node {socket.gethostname()}: has Python {mine}, the driver 3.9.0. {SAME}"


def test_each_node_that_differs_has_lines_of_its_own(nodes):
    nodes["gpu2 (10.0.0.2)"].software = {"python": "3.9.0", "code": "0"}
    with pytest.raises(UserError) as caught:
        check_nodes([], None, ONE, print)
    assert caught.value.lines == (
        f"node gpu2 (10.0.0.2): has Python 3.9.0, the driver {software()['python']}. {SAME}",
        f"node gpu2 (10.0.0.2): {OTHER_CODE}",
    )


def test_a_node_without_its_data_is_named_with_what_is_missing(nodes, tmp_path):
    absent = a_run(data={"name": "array", "path": str(tmp_path / "x.npy")}).data
    missing = report_of([absent], None, ONE)["missing"]
    assert len(missing) == 1 and str(tmp_path / "x.npy") in missing[0]
    with pytest.raises(UserError) as caught:
        check_nodes([absent, absent], None, ONE, print)
    assert caught.value.lines == tuple(f"node {name}: {missing[0]}" for name in nodes)


def test_equal_nodes_say_what_their_trials_are_made_with_and_all_their_devices(nodes):
    nodes["gpu1 (10.0.0.1)"].software = {"device": "NVIDIA L4"}
    nodes["gpu2 (10.0.0.2)"].software = {"device": "NVIDIA A10G"}
    made = check_nodes([a_run().data], None, ONE, print)
    assert made["device"] == "NVIDIA A10G, NVIDIA L4"
    assert software().items() <= made.items()


def test_what_all_nodes_say_of_the_data_is_told_once(nodes, monkeypatch):
    noted = SimpleNamespace(notes=["3 files were left out."])
    monkeypatch.setattr(handshake, "load_splits", lambda dataset, root: noted)
    said = []
    check_nodes([a_run().data], None, ONE, said.append)
    checking = "checking     gpu1 (10.0.0.1), gpu2 (10.0.0.2): code, packages and data"
    assert said == [checking, "note         digits: 3 files were left out."]


def test_an_empty_cluster_is_asked_on_the_node_that_joins_first(nodes, monkeypatch):
    nodes.clear()
    monkeypatch.setattr(
        handshake, "on_any", lambda function, *values, growth: function(*values) | {"missing": ["no data."]}
    )
    with pytest.raises(UserError, match=r"^node that joined: no data\.$"):
        check_nodes([], None, ONE, print)


def test_each_node_that_cannot_use_the_bucket_is_named(bucket, nodes, monkeypatch):
    def on_each(asked: dict[str, str], function, *values) -> dict:
        found = {}
        for name in asked:
            with monkeypatch.context() as there:
                if name.startswith("gpu2"):
                    there.delenv("AWS_ACCESS_KEY_ID"), there.delenv("AWS_SECRET_ACCESS_KEY")
                found[name] = function(*values)
        return found

    monkeypatch.setattr(handshake, "on_each", on_each)
    with pytest.raises(UserError) as error:
        handshake.check_bucket(f"{bucket.root}/a")
    [line] = error.value.lines
    assert line.startswith(f"node gpu2 (10.0.0.2): {bucket.root}/a") and "no credentials" in line
