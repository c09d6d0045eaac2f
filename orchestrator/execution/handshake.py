"""Before the first trial on a cluster: whether every node has the same code and packages, and the data."""

import socket
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.clusters.growth import Growth, awaited
from orchestrator.clusters.lease import answer
from orchestrator.errors import UserError
from orchestrator.spec.records import Resources
from orchestrator.storage.bucket import Bucket
from orchestrator.sweep.reuse import made_with, software
from trainables.common.errors import DataError
from trainables.common.roots import Root
from trainables.data import Dataset
from trainables.data.loading import load_splits

SAME_CURE = "Install the same on all nodes."
OTHER_CODE = "runs other code of vaeorch than the driver: a copy installed there comes first. Remove it."


def check_bucket(place: str) -> None:
    """Whether every node can use a place in a bucket. Raises UserError, with a line for each that cannot."""
    found = on_each(training_nodes(), trouble_with, place)
    if wrong := [f"node {node}: {line}" for node, line in found.items() if line]:
        raise UserError(*wrong)


def trouble_with(place: str) -> str:
    """Why this node cannot use a place in a bucket; "": it can."""
    try:
        Bucket(place).check()
    except UserError as error:
        return str(error)
    return ""


class NodeDiffers(Exception):
    """A node has other code or packages than the driver's. One line, with the node's name."""


def check_nodes(
    sets: Iterable[Dataset],
    root: Root,
    resources: Resources,
    say: Callable[[str], None],
    growth: Growth | None = None,
) -> dict[str, Any]:
    """What the nodes on which trials may run are made with: code, packages, and the kinds of their devices.

    Each of them opens the data sets, and so fetches them once; `say` gets what it says of them. Raises UserError, with
    a line for each node that differs from the driver's, or that has no data.
    """
    mine, asked = made_with(root, resources), (list(dict.fromkeys(sets)), root, resources)
    nodes = training_nodes()
    say(f"checking     {', '.join(nodes) or 'the first node that joins'}: code, packages and data")
    reports = on_each(nodes, report_of, *asked) if nodes else {"that joined": on_any(report_of, *asked, growth=growth)}
    wrong = [f"node {node}: {line}" for node, report in reports.items() for line in faults(report, mine)]
    if wrong:
        raise UserError(*wrong)
    for note in dict.fromkeys(note for report in reports.values() for note in report["notes"]):
        say(f"note         {note}")
    devices = sorted({report["made_with"]["device"] for report in reports.values()})
    return mine | {"device": ", ".join(devices)}


def report_of(sets: list[Dataset], root: Root, resources: Resources) -> dict[str, Any]:
    """What this node is made with, what it says of the data sets, and what is wrong with them here."""
    notes, missing = [], []
    for dataset in sets:
        try:
            notes += [f"{dataset.name}: {note}" for note in load_splits(dataset, root).notes]
        except DataError as error:
            missing.append(str(error))
    return {"made_with": made_with(root, resources), "notes": notes, "missing": missing}


def faults(report: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """What is wrong with a node, a line each, compared with the driver's."""
    return differing(report["made_with"], mine) + report["missing"]


def differing(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """In what the software of a node differs from the driver's, a line each."""
    packages = [
        f"has {name} {theirs['packages'].get(name)}, the driver {own}. {SAME_CURE}"
        for name, own in mine["packages"].items()
        if theirs["packages"].get(name) != own
    ]
    python = f"has Python {theirs['python']}, the driver {mine['python']}. {SAME_CURE}"
    code = any(theirs[name] != mine[name] for name in ("code", "orchestrator"))
    return packages + [python] * (theirs["python"] != mine["python"]) + [OTHER_CODE] * code


def check_this_node(expected: dict[str, Any]) -> None:
    """Raises NodeDiffers if this node, which may have joined late, has other code or packages than the driver's."""
    if lines := differing(software(), expected):
        raise NodeDiffers(f"node {socket.gethostname()}: {lines[0]}")


def training_nodes() -> dict[str, str]:
    """The nodes on which trials may run: name -> node id. The head is none if it has no CPUs to offer."""
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    return {f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})": node["NodeID"] for node in alive}


def on_each(nodes: dict[str, str], function: Callable, *values: Any) -> dict[str, Any]:
    """What a function returns on each of some nodes, by the node's name. Raises its exception."""
    task, how = ray.remote(function), {"num_cpus": 0, "max_retries": 0}
    pinned = {name: NodeAffinitySchedulingStrategy(node, soft=False) for name, node in nodes.items()}
    calls = {name: task.options(scheduling_strategy=where, **how).remote(*values) for name, where in pinned.items()}
    return {name: told_by(name, call) for name, call in calls.items()}


def told_by(name: str, call: Any) -> Any:
    """What a call returns. Raises its exception, and UserError for a node that is lost meanwhile."""
    try:
        return answer(call)
    except RayError:
        raise UserError(
            f"node {name}: was lost while it was asked. Look at it, then give the same command again."
        ) from None


def on_any(function: Callable, *values: Any, growth: Growth | None = None) -> Any:
    """What a function returns on a node where trials may run. Raises its exception, and ClusterFailed by `growth`.

    It takes nothing from the trials that run there. An empty cluster grows for it.
    """
    if nodes := training_nodes():
        name = next(iter(nodes))
        try:
            return on_each({name: nodes[name]}, function, *values)[name]
        except DataError as error:
            raise DataError(f"node {name}: {error}", error.field) from None
    return answer(awaited(ray.remote(function).options(num_cpus=1).remote(*values), growth))
