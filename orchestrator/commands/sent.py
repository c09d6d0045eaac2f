"""Where a sweep or run was sent: the file OUT/.clusters/NAME.json, which each verb with `--cluster` writes anew."""

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.shell import command
from orchestrator.storage import layout
from orchestrator.storage.json_files import read_object, write_whole


@dataclass(frozen=True)
class Sent:
    """The cluster and the job of a sweep or run."""

    file: str
    """The cluster file."""
    job: str
    """The id of its last job."""
    verb: str
    """What that job does."""

    @classmethod
    def read(cls, out: Path, name: str) -> "Sent":
        """Raises UserError if it was sent to no cluster."""
        file = layout.sent_file(out, name)
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in file.parent.glob("*.json"))) or "none yet"
            raise UserError(f"{out / name}: was sent to no cluster. Those in {out} that were: {known}.")
        return cls(**read_object(file, "Remove it, and look for the sweep on the cluster's head."))

    def write(self, out: Path, name: str) -> None:
        """Raises OSError."""
        file = layout.sent_file(out, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(asdict(self)) + "\n")


def resume_there(name: str, out: Path, cluster_file: str | Path) -> str:
    """The command that goes on with a sweep on its cluster."""
    return f"{command('resume', name, out)} --cluster {shlex.quote(str(cluster_file))}"
