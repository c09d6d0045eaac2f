"""What this machine has noted of a cluster at AWS: a file in the cluster's folder, which only its user may read.

It is there before anything is asked of AWS, and until all machines are known to be gone.
"""

import getpass
import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.clusters.state import token
from orchestrator.storage.json_files import read_object, write_whole

FILE = "aws.json"
LONGEST_TAG = 255


@dataclass(frozen=True)
class Noted:
    """A cluster that may have machines."""

    cluster: str
    """Its name at AWS."""
    region: str
    address: str = ""
    """By which the head is reached; "" until it is known."""
    placement_group: bool = False

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
        return cls(**read_object(file, "Look at AWS's console for machines with the tag vaeorch, then remove it."))


def forget(state: Path) -> None:
    """The cluster has no machines any more."""
    (state / FILE).unlink(missing_ok=True)


def name_of_cluster(state: Path) -> str:
    """What a cluster is called at AWS: unlike any of the same name of another machine or user."""
    return f"vaeorch-{state.name}-{hashlib.sha256(token(state).encode()).hexdigest()[:8]}"


def owner() -> str:
    """Who this is, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:LONGEST_TAG]
