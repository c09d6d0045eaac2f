"""Holds what is asked of each model, what has been found of it, and how measuring ended.

`commands/evaluate.py` uses it; `storage/evaluations_file.py` keeps the findings.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.errors import UserError
from orchestrator.evaluation.jobs import Job
from orchestrator.evaluation.models import TrainedModel
from orchestrator.storage.blobs import exists
from orchestrator.storage.evaluations_file import (
    EvaluationsFile,
    StoredResult,
    epoch_meant,
    key_of,
    newest,
    provenance_of,
    read,
)
from orchestrator.terminal import say
from orchestrator.tracking.spool import PARENT
from orchestrator.tracking.tracker import Tracker
from trainables.evaluations import Evaluation


class Fault(Exception):
    """A bug met while measuring, with the tracebacks from the workers that met it."""


class Order:
    """What is asked of one model, and what has been found so far. Raises UserError for files that cannot be read."""

    def __init__(self, model: TrainedModel, asked: list[Evaluation], identities: list[dict[str, Any]], again: bool):
        self.model, self.files, self.run = model, EvaluationsFile(model.folder), model.run
        self.asked = {  # by the keys of their findings: one evaluation may be asked for with several settings
            key_of(model.digest, evaluation.name, identity): evaluation.model_dump(mode="json")
            for evaluation, identity in zip(asked, identities, strict=True)
        }
        known = {} if again else self.files.known
        self.found: dict[str, StoredResult] = {key: known[key] for key in self.asked if key in known}

    @property
    def lacking(self) -> list[dict[str, Any]]:
        """The evaluations that are still to be made."""
        return [own for key, own in self.asked.items() if key not in self.found]

    def job(self, folder: Path, data_root: str | None, shared: Path) -> Job | None:
        """What is still to be measured; None if nothing is. `folder` is that of the sweep or run."""
        file = self.model.checkpoint
        where = {"checkpoint": str(file), "path": str(file.relative_to(folder))}
        where |= {"data_root": data_root, "kept": str(shared)}
        return {"id": self.model.id, "run": self.run, "evaluations": self.lacking} | where if self.lacking else None

    def take(self, finding: StoredResult, files: dict[str, bytes]) -> None:
        """Add a finding with its pictures and tables.

        It is kept on disk if `lasting`; one without its data, say, is not. Raises OSError.
        """
        key = next(key for key, own in self.asked.items() if own == finding["settings"])
        finding = finding | {"checkpoint": self.model.digest, "of": self.model.of}
        self.found[key] = self.files.keep(key, finding, files) if finding["lasting"] else finding

    def found_any(self) -> bool:
        """Whether anything that was asked for has a value or a picture."""
        findings = self.found.values()
        return any(finding["pictures"] or set(finding["values"].values()) - {None} for finding in findings)

    def close(self, tracker: Tracker | None, folder: Path) -> None:
        """Make what was found, by earlier commands too, the newest in its file and in MLflow. Raises OSError.

        In MLflow the names of numbers about the last epoch's model begin with `last/`: `eval/last/mse`.
        """
        uid = PARENT if self.model.folder == folder else self.model.id  # a run that was trained alone has no trials
        self.files.renew(self.asked)
        before = "" if self.model.of == "best" else f"{self.model.of}/"
        for key, finding in self.found.items() if tracker else ():
            known = {f"{before}{name}": value for name, value in finding["values"].items() if value is not None}
            rests_on = provenance_of(finding).line() if known else ""
            tracker.evaluated(uid, key, finding["epoch"], known, rests_on)
            paths = [self.model.folder / path for path in finding["pictures"]]
            tracker.pictures(uid, finding["epoch"], paths)


@dataclass(frozen=True)
class Ending:
    """How measuring ended: what stopped it, lines for the user (`refused`), and tracebacks of bugs (`failed`)."""

    stop: KeyboardInterrupt | None
    refused: list[str]
    failed: list[str]

    def judge(self, console: Console) -> KeyboardInterrupt | None:
        """What stopped measuring, after printing the lines. If nothing did, raises Fault or UserError with them."""
        if self.stop:
            for line in dict.fromkeys([*self.refused, *self.failed]):
                say(console, line)
        elif self.failed:
            raise Fault("\n".join(dict.fromkeys([*self.refused, *self.failed])))
        elif self.refused:
            raise UserError(*dict.fromkeys(self.refused))
        return self.stop


def current(model: TrainedModel) -> list[StoredResult]:
    """The newest findings about the checkpoint that a model has now. Raises UserError.

    A last epoch's checkpoint may have stayed on a cluster: then they are those about the latest epoch.
    """
    known = [finding for finding in read(model.folder).values() if epoch_meant(finding) == model.of]
    if model.of == "last" and not exists(model.checkpoint):
        latest = max((finding["epoch"] for finding in known), default=0)
        return newest(finding for finding in known if finding["epoch"] == latest)
    return newest(finding for finding in known if finding["checkpoint"] == model.digest) if known else []


def orders_of(models: list[TrainedModel], asked: list[Evaluation], again: bool) -> tuple[list[Order], list[str]]:
    """An order for each model, and a line for each model that cannot be read."""
    identities = [evaluation.identity() for evaluation in asked]
    orders, refused = [], []
    for model in models:
        try:
            orders.append(Order(model, asked, identities, again))
        except UserError as error:
            refused.extend(error.lines)
    return orders, refused
