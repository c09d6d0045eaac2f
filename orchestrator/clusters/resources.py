"""Counts how many trials can train at a time, from what a trial takes and what the nodes have."""

import os

from orchestrator.errors import UserError

HEAD_NODE = "node:__internal_head__"  # a resource that Ray gives the head node, 1.0 of it


def count_slots(resources, have: list[dict[str, float]]) -> int:
    """How many trials can train at a time with a spec's `resources` on nodes that `have` so many cpus and gpus.

    Raises UserError when there is not enough for one.
    """
    workers = resources.workers
    need = {"cpus": resources.cpus_per_worker, "gpus": resources.gpus_per_worker}
    each = "a trial needs" if workers == 1 else f"{workers} workers need"
    missing = [
        f"resources.{name}_per_worker: {each} {workers * need[name]:g} {name}, {place(have)} has {total:g}."
        for name in need
        if workers * need[name] > (total := sum(node[name] for node in have))
    ]
    if missing:
        raise UserError(*missing)
    room = [min(shares(node[name], amount) for name, amount in need.items() if amount) for node in have]
    slots = PLACEMENTS[resources.placement](room, workers)
    if not slots:
        lack = f"{resources.placement} finds no room for {workers} workers"
        raise UserError(f"resources.placement: {lack}: {place(have)} has {', '.join(map(str, room))}.")
    return slots


def spread(room: list[int], workers: int) -> int:
    """How many groups fit that have each worker on another node, at worst: if Ray fills the smallest nodes first."""
    groups = 0
    while len(room := sorted(filter(None, room))) >= workers:
        room = [places - 1 for places in room[:workers]] + room[workers:]
        groups += 1
    return groups


PLACEMENTS = {  # -> how many groups of workers fit on nodes, each with room for so many workers
    "PACK": lambda room, workers: sum(room) // workers,
    "SPREAD": lambda room, workers: sum(room) // workers,
    "STRICT_PACK": lambda room, workers: sum(places // workers for places in room),
    "STRICT_SPREAD": spread,
}


def place(nodes: list[dict[str, float]]) -> str:
    return "this machine" if len(nodes) == 1 else f"the cluster of {len(nodes)} machines"


def slot_share(resources) -> dict[str, float]:
    """What Tune reserves for a slot: what its worker takes, or next to nothing where Ray Train places the workers.

    Then the slot itself runs on the head node, so that it survives the loss of any other node.
    """
    if resources.workers > 1:
        return {HEAD_NODE: 0.001}
    return {"cpu": resources.cpus_per_worker, "gpu": resources.gpus_per_worker}


def shares(devices: float, each: float) -> int:
    """How many takers of `each` devices fit; a fraction of a device is not split over two devices."""
    return int(devices) * int(1 / each) if each < 1 else int(devices / each)


def cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """The GPUs that this process may use."""
    import torch

    return torch.cuda.device_count()
