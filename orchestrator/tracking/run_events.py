"""The events of a sweep that MLflow is told of: their kinds, what each is made of, and how runs end."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

# How a run ends, in our words and in MLflow's. An early stop is no failure: MLflow paints KILLED like one.
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
    """Whether an event has all that it becomes something of."""
    needed = FIELDS.get(str(event.get("kind")), {"kind": NoneType}) | {"time": int}
    known = all(isinstance(event.get(name), kind) for name, kind in needed.items())
    return known and (event["kind"] != "ended" or event["status"] in STATUS)
