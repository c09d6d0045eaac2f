"""The lines of metrics.jsonl: one JSON object per epoch, in which null stands for a number that is not finite."""

import json
import math
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage import layout
from orchestrator.storage.json_files import finite_or_null

COUNTS = ("epoch", "images", "seconds")  # what a line holds besides metrics


def to_json(line: dict) -> str:
    return json.dumps(finite_or_null(line))


def from_json(text: str) -> dict:
    return {key: math.nan if value is None else value for key, value in json.loads(text).items()}


def history(folder: Path) -> list[dict]:
    """The lines of a trained model's folder. Raises UserError where they cannot be read."""
    file = folder / layout.METRICS
    try:
        return [from_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}). Train the model again.") from None


def metrics_of(line: dict) -> dict[str, float]:
    """The metrics of a line."""
    return {key: value for key, value in line.items() if key not in COUNTS}
