"""What has been found of a trained model: evaluations.json in its folder, so that nothing is measured twice."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.files import finite_or_null, write_whole

FILE, PICTURES = "evaluations.json", "evaluations"

Finding = dict[str, Any]
"""In plain values what `trainables.metrics.evaluations.Finding` says, but for its pictures, which are files."""


def key_of(checkpoint_sha256: str, metric: str, settings: Mapping[str, Any]) -> str:
    """What a finding is kept under: it is the same whenever these three are."""
    text = json.dumps([checkpoint_sha256, metric, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Findings:
    """The findings about the model in `folder`, by their keys, the latest last. Raises UserError for a damaged file."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known = read(folder)

    def keep(self, key: str, finding: Finding, pictures: Mapping[str, bytes]) -> None:
        """Add a finding, its pictures first. Raises OSError."""
        for name, content in pictures.items():
            path = self.folder / PICTURES / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        others = {other: known for other, known in self.known.items() if other != key}
        self.known = others | {key: finding | {"values": finite_or_null(finding["values"])}}
        write_whole(self.folder / FILE, json.dumps(self.known, indent=2, allow_nan=False) + "\n")

    def pictures(self, key: str) -> list[Path]:
        """The PNG files of a finding."""
        return sorted((self.folder / PICTURES / key).glob("*.png"))


def read(folder: Path) -> dict[str, Finding]:
    """All findings about the model in `folder`. Raises UserError."""
    file = folder / FILE
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: is damaged ({error}). Delete it: what it held is measured again.") from None


def with_findings(trial: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A trial of results.json with the newest finding by each metric about its model, where there are any.

    Those about a model of another epoch, before the trial went on, are left out.
    """
    epoch = trial["best"].get("epoch", trial["epochs"])
    newest = {finding["metric"]: finding for finding in read(folder).values() if finding["epoch"] == epoch}
    return trial | ({"evaluations": list(newest.values())} if newest else {})
