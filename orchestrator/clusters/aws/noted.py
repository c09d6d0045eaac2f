"""What this machine has noted of a cluster at AWS: a file in the cluster's folder, which only its user may read.

It is there before anything is asked of AWS, and until all machines are known to be gone.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from orchestrator.clusters.aws.cloud import Cloud
from orchestrator.clusters.state import owner, token
from orchestrator.errors import UserError
from orchestrator.storage.json_files import holds, read_object, write_whole

FILE = "aws.json"


@dataclass(frozen=True)
class Noted:
    """A cluster that may have machines."""

    cluster: str
    """Its name at AWS."""
    region: str
    address: str = ""
    """By which the head is reached; "" until it is known."""
    placement_group: bool = False
    asked: dict[str, Any] = field(default_factory=dict)
    """What its file said of its machines when it was started; empty in notes of earlier versions."""

    def write(self, state: Path) -> None:
        """Write it to the cluster's folder. Raises OSError."""
        write_whole(state / FILE, json.dumps(asdict(self)) + "\n")
        (state / FILE).chmod(0o600)

    @classmethod
    def read(cls, state: Path) -> "Noted | None":
        """What is noted; None where no machines may be left. Raises UserError for a damaged file."""
        file = state / FILE
        if not file.exists():
            return None
        cure = "Look at AWS's console for machines with the tag vaeorch, then remove it."
        known = read_object(file, cure)
        if not holds(known, {"cluster": str, "region": str}) or not known.keys() <= {one.name for one in fields(cls)}:
            raise UserError(f"{file}: is damaged. {cure}")
        return cls(**known)

    def refuse_edited(self, record) -> None:
        """Raises UserError if the cluster, which is up, is not what its file says now."""
        now = asked_of(record)
        if changed := [key for key in now if self.asked and now[key] != self.asked.get(key)]:
            was = f"{self.cluster} is up as its file was before {', '.join(changed)} changed"
            raise UserError(f"{was}. Put that back, or end the cluster first: vaeorch cluster down FILE")


def asked_of(record) -> dict[str, Any]:
    """What a record asks for that a running cluster keeps, in plain values; not prices, which are looked up."""

    def without_prices(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(without_prices, value))
        if isinstance(value, dict):
            return {key: without_prices(inner) for key, inner in value.items() if key != "usd_per_hour"}
        return value

    return without_prices(record.model_dump(mode="json", exclude={"checkpoint_minutes", "store"}))


def forgotten(cloud: Cloud, state: Path) -> set[str]:
    """The clusters of this name with machines that this user has started from here, by their names at AWS.

    Another than this one was started before the cluster's folder was lost. Raises UserError.
    """
    name = re.compile(f"vaeorch-{re.escape(state.name)}-[0-9a-f]{{8}}")
    return {one.cluster for one in cloud.alive() if one.owner == owner() and name.fullmatch(one.cluster)}


def forget(state: Path) -> None:
    """The cluster has no machines any more."""
    (state / FILE).unlink(missing_ok=True)


def name_of_cluster(state: Path) -> str:
    """What a cluster is called at AWS: unlike any of the same name of another machine or user."""
    return f"vaeorch-{state.name}-{hashlib.sha256(token(state).encode()).hexdigest()[:8]}"
