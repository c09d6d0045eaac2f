"""The kind `address`: a Ray that runs already, which vaeorch connects to and never starts or ends."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from orchestrator.clusters.base import AtMost, RemoteCluster, Say
from orchestrator.clusters.connection import Node
from orchestrator.errors import UserError

if TYPE_CHECKING:
    from orchestrator.clusters.head import Head

AUTO = "auto"
HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


def _address(text: str) -> str:
    parts = HOST_AND_PORT.fullmatch(text)
    if text != AUTO and not (parts and 1 <= int(parts[2]) <= 65535):
        raise ValueError(f"'{text}' is no address of a Ray. Write auto, or HOST:PORT of its GCS, as in 10.0.0.5:6379.")
    return text


class Address(RemoteCluster):
    """A Ray that runs already."""

    kind: Literal["address"] = "address"
    """A Ray that runs already."""
    address: Annotated[str, AfterValidator(_address)] = AUTO
    """HOST:PORT of the GCS of that Ray, or auto: the Ray that runs on this machine."""
    at_most: AtMost | None = None
    """What the cluster can grow to: it says how many trials train at a time. Default: the nodes that are there."""

    def room(self) -> tuple[Node, ...]:
        most = self.at_most
        return ({"cpus": most.cpus, "gpus": most.gpus},) * most.nodes if most else ()

    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        from orchestrator.clusters.address_head import opened

        return opened(self, out)

    def up(self, state: Path, say: Say) -> bool:
        """It runs already."""
        return False

    @property
    def is_ours(self) -> bool:
        return False

    def down(self, state: Path) -> list[str]:
        """It is not ours to end."""
        return []

    def down_when_idle(self, state: Path, minutes: float) -> None:
        """It is not ours to end."""

    def check(self, state: Path) -> list[str]:
        from orchestrator.clusters.address_head import jobs_of

        jobs = jobs_of(self)
        version, nodes = jobs.check(), jobs.node_addresses()
        return [f"{jobs.server.address}: Ray {version} with {len(nodes)} nodes: {', '.join(nodes)}"]

    def standing(self, state: Path) -> str:
        try:
            self.check(state)
        except UserError:
            return "does not answer"
        return "up"

    def summary(self) -> list[str]:
        return [f"the Ray that runs at {self.address}: nothing is started"]
