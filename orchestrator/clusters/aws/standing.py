"""How a cluster at AWS stands, by what AWS says of its machines."""

from pathlib import Path

from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.aws.noted import Noted
from orchestrator.errors import ReportedError


def standing(state: Path) -> str:
    """Whether it is up, in a few words. Raises UserError."""
    noted = Noted.read(state)
    if noted is None:
        return "down"
    alive = Cloud(noted.region).alive(noted.cluster)
    workers = sum(not one.head for one in alive)
    return f"{'up' if is_head_running(alive) else 'the head is lost'}, {workers} workers" if alive else "down"


def lost(state: Path) -> bool:
    """Whether AWS says that the head is gone. Where it says nothing, nobody knows."""
    try:
        noted = Noted.read(state)
        return noted is None or not is_up(noted)
    except ReportedError:
        return False


def is_up(noted: Noted) -> bool:
    """Whether a cluster's head runs. Raises UserError."""
    return bool(noted.address) and is_head_running(Cloud(noted.region).alive(noted.cluster))


def is_head_running(alive) -> bool:
    return any(one.head and one.state == "running" for one in alive)
