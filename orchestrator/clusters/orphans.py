"""Finds machines that are billed, which this user has started, and which no known cluster accounts for."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.aws.noted import Noted
from orchestrator.clusters.aws.record import Aws
from orchestrator.clusters.read import read_cluster
from orchestrator.clusters.state import known_clusters, owner
from orchestrator.errors import UserError

REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")  # environment variables


@dataclass(frozen=True)
class Orphans:
    """The machines of one such cluster."""

    cluster: str
    """Its name at AWS."""
    region: str
    machines: tuple[str, ...]
    """Their ids."""

    def end(self) -> list[str]:
        """End them. Returns a line for those that may still run. Raises UserError."""
        left = Cloud(self.region).end(self.cluster)
        return [f"{self.cluster}: AWS still shows {one.id} ({one.state}) in {self.region}." for one in left]


def find_orphans() -> list[Orphans]:
    """Those in all regions where this user has had clusters, and in the one of the environment. Raises UserError.

    Nobody is asked where there is no such region.
    """
    regions, known = {os.environ[name] for name in REGIONS if os.environ.get(name)}, set()
    for cluster, region, has_file in _clusters():
        regions.add(region)
        known |= {cluster} if has_file else set()
    found: dict[tuple[str, str], list[str]] = {}
    for region in sorted(regions):
        for one in Cloud(region).alive():
            if one.owner == owner() and one.cluster not in known:
                found.setdefault((one.cluster, region), []).append(one.id)
    return [Orphans(cluster, region, tuple(machines)) for (cluster, region), machines in found.items()]


def _clusters() -> Iterator[tuple[str, str, bool]]:
    """Name and region of each cluster at AWS that this machine knows, and whether its file is still there."""
    for state, file in known_clusters():
        record = None
        with suppress(UserError):
            record = read_cluster(file)
        if noted := Noted.read(state):
            yield noted.cluster, noted.region, isinstance(record, Aws)
        elif isinstance(record, Aws):
            yield "", record.region, True
