"""The events of a sweep that are logged to MLflow: their kinds, the fields of each, and how runs end."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

# The status of a run that ended -> MLflow's. An early stop is not KILLED, which MLflow shows like a failure.
STATUS = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "aborted": "KILLED",
}

# What an event of each kind holds, besides its time in milliseconds.
FIELDS = {
    "started": {"name": str, "params": dict, "tags": dict},
    "config": {"text": str},
    "dataset": {"name": str, "digest": str, "source": str, "profile": str},
    "view": {"view": dict},
    "epoch": {"epoch": int, "metrics": dict},
    "picture": {"key": str, "epoch": int, "path": str},
    "evaluated": {"key": str, "epoch": int, "metrics": dict, "tags": dict},
    "ended": {"status": str, "metrics": dict, "tags": dict},
}


def well_formed(event: Mapping[str, Any]) -> bool:
    """Whether an event is of a known kind and has all its fields."""
    needed = FIELDS.get(str(event.get("kind")), {"kind": NoneType}) | {"time": int}
    known = all(isinstance(event.get(name), kind) for name, kind in needed.items())
    return known and (event["kind"] != "ended" or event["status"] in STATUS)
