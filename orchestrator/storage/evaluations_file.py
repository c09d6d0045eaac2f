"""The file evaluations.json of a trained model: its evaluation results, stored so that nothing is measured twice.

Here a finding is one such result in plain values.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.storage import layout
from orchestrator.storage.json_files import finite_or_null, holds, read_object, write_whole
from trainables.metrics.provenance import Provenance

PARTS = {"metric": str, "values": dict, "undefined": str, "epoch": int, "pictures": list, "checkpoint": str}

StoredResult = dict[str, Any]
"""The plain values of a `trainables.evaluations.EvaluationResult`. Pictures and tables are paths below the folder.

Besides, `checkpoint` is the SHA-256 of the model, and `of` says whether that is the model of the `best` or of the
`last` epoch; findings of earlier versions lack it, and are of the best.
"""


def epoch_meant(finding: StoredResult) -> str:
    """`best` or `last`: which epoch's model was measured."""
    return finding.get("of", "best")


def key_of(checkpoint_sha256: str, metric: str, identity: Mapping[str, Any]) -> str:
    """The key of a finding: equal whenever the model, the metric and its settings are equal."""
    text = json.dumps([checkpoint_sha256, metric, identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class EvaluationsFile:
    """The findings about the model in `folder`, by key, the newest last. Raises UserError for a damaged file."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known = read(folder)

    def keep(self, key: str, finding: StoredResult, files: Mapping[str, bytes]) -> StoredResult:
        """Write pictures and tables, then add the finding as the newest. Returns it as it is stored. Raises OSError."""
        for name, content in files.items():
            path = self.folder / layout.EVALUATION_PICTURES / key / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        paths = {name: f"{layout.EVALUATION_PICTURES}/{key}/{name}" for name in files}
        tables = [path for name, path in paths.items() if name.endswith(".csv")]
        pictures = [path for path in paths.values() if path not in tables]
        stored = {"values": finite_or_null(finding["values"]), "pictures": pictures, "tables": tables}
        self.known = self._without([key]) | {key: finding | stored}
        self._write()
        return self.known[key]

    def renew(self, keys: Iterable[str]) -> None:
        """Make those of these findings that are stored the newest, in this order. Raises OSError."""
        asked = {key: self.known[key] for key in keys if key in self.known}
        ordered = self._without(asked) | asked
        if list(ordered) != list(self.known):
            self.known = ordered
            self._write()

    def _without(self, keys: Iterable[str]) -> dict[str, StoredResult]:
        return {key: finding for key, finding in self.known.items() if key not in keys}

    def _write(self) -> None:
        write_whole(self.folder / layout.EVALUATIONS, json.dumps(self.known, indent=2, allow_nan=False) + "\n")


def read(folder: Path) -> dict[str, StoredResult]:
    """All findings about the model in `folder`. Raises UserError."""
    file = folder / layout.EVALUATIONS
    if not file.exists():
        return {}
    cure = "Delete it: what it held is measured again."
    known = read_object(file, cure)
    if not all(holds(finding, PARTS) for finding in known.values()):
        raise UserError(f"{file}: is damaged: it holds something else than findings. {cure}")
    return known


def newest(findings: Iterable[StoredResult]) -> list[StoredResult]:
    """The findings that still hold, in their order.

    A finding holds if it has a value that no later finding of its metric has, about the model of the same epoch, best
    or last. One without values holds if its metric has no later finding. None holds of which a later one is by a newer
    version of the evaluation: its values may have meant something else.
    """
    kept, later, versions = [], {}, {}
    for finding in reversed(list(findings)):
        names, metric = set(finding["values"]), (epoch_meant(finding), finding["metric"])
        if finding.get("version", 1) < versions.setdefault(metric, finding.get("version", 1)):
            continue
        if metric not in later or not names <= later[metric]:
            kept.append(finding)
            later[metric] = later.get(metric, set()) | names
    return kept[::-1]


def with_findings(trial: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A trial of results.json with the newest findings about its models of the best and of the last epoch, if any.

    `of` in a finding says which. Findings about another epoch, from before the trial was continued, are left out.
    """
    epochs = {"best": trial["best"].get("epoch", trial["epochs"]), "last": trial["epochs"]}
    found = newest(finding for finding in read(folder).values() if finding["epoch"] == epochs[epoch_meant(finding)])
    return trial | ({"evaluations": found} if found else {})


def provenance_of(finding: StoredResult) -> Provenance:
    """What a finding rests on, from plain values."""
    return Provenance.from_plain(finding["provenance"])


@dataclass(frozen=True)
class EvaluatedModel:
    """One trained model. The models of a configuration's seeds share one `label`."""

    label: str
    id: str
    findings: Sequence[StoredResult]
    folder: Path
    """To which the paths of pictures are relative."""
    status: str = ""
    """How its trial ended."""
