"""The kind `address`: a Ray that runs already, which vaeorch connects to and never starts or ends."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from orchestrator.clusters.base import AtMost, RemoteCluster

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
