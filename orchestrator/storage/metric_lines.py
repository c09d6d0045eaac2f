"""The lines of metrics.jsonl: one JSON object per epoch, in which null stands for a number that is not finite."""

import json
import math

from orchestrator.storage.json_files import finite_or_null

COUNTS = ("epoch", "images", "seconds")  # what a line holds besides metrics


def to_json(line: dict) -> str:
    return json.dumps(finite_or_null(line))


def from_json(text: str) -> dict:
    return {key: math.nan if value is None else value for key, value in json.loads(text).items()}


def metrics_of(line: dict) -> dict[str, float]:
    """The metrics of a line."""
    return {key: value for key, value in line.items() if key not in COUNTS}
