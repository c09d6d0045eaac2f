"""Finds the trained models of a target: trials of a sweep, or a run that was trained alone."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.spec.diagnostics import cure
from orchestrator.spec.evaluations import Checkpoint
from orchestrator.storage import layout, locks
from orchestrator.storage.blobs import sha256_of
from orchestrator.storage.evaluations_file import EvaluatedModel, StoredResult
from orchestrator.storage.json_files import read_object
from orchestrator.sweep.ranking import averaged, ranked
from orchestrator.sweep.results import read_results
from orchestrator.text import label_at, label_of

WITHOUT_LAST = (
    "if a cluster has it, `vaeorch cluster pull NAME --all` brings it; else evaluate --checkpoint best, or train again"
)
ALL, BEST, USUAL = "all", re.compile(r"best:([1-9]\d*)"), "best:5"


@dataclass(frozen=True)
class TrainedModel:
    """A trained model. `id` is that of its trial or, for a run that was trained alone, the name of its folder.

    `of` says of which epoch: `best` or `last`.
    """

    id: str
    folder: Path
    checkpoint: Path
    label: str  # its name in tables; with several seeds that of its configuration
    of: Checkpoint = "best"
    status: str = ""  # how its trial ended

    def at(self, of: Checkpoint) -> "TrainedModel":
        """The same trial's model of its best epoch, which this one is, or of its last."""
        return self if of == "best" else replace(self, of=of, checkpoint=self.folder / layout.EVALUATED[of])

    def in_tables(self, findings: list[StoredResult]) -> EvaluatedModel:
        """The model with what was found of it, under a name that tells which epoch it is of."""
        return EvaluatedModel(label_at(self.label, self.of), self.id, findings, self.folder, self.status)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, in hex. Raises UserError."""
        try:
            return sha256_of(self.checkpoint)
        except OSError as error:
            cure = "train the model again" if self.of == "best" else WITHOUT_LAST
            raise UserError(f"{self.checkpoint}: cannot be read ({error.strerror}): {cure}.") from None

    @cached_property
    def run(self) -> dict[str, Any]:
        """The Run that trained it, in plain values. Raises UserError."""
        file = self.folder / layout.CONFIG
        cure = "Train the model again: a sweep or run that goes on writes it anew."
        run = read_object(file, cure).get("run")
        if not isinstance(run, dict):
            raise UserError(f"{file}: is damaged: it holds no run. {cure}")
        return run


def trained_models(
    out: Path, target: str, trials: str | None = None, of: Checkpoint = "best"
) -> tuple[Path, list[TrainedModel]]:
    """The folder of the sweep or run `target` in `out`, and those of its trained models that `trials` selects.

    `target` may be a trial, as SWEEP/ID. `trials` is `all`, `best:N` or ids with commas between; None is `best:5`.
    `of` says which model of each: that of its best, or of its last epoch. Raises UserError.
    """
    name, _, trial = target.partition("/")
    folder = (out / name).resolve()
    if trials is not None and not trials.strip():
        raise UserError("--trials is empty: name trials with commas between, or write best:N or all.")
    if trial and trials:
        raise UserError(f"{target} is one trial: leave out --trials {trials}.")
    if (folder / layout.RESULTS).is_file() or (folder / layout.JOURNAL).is_file():
        models = _of_sweep(folder, trial or trials or USUAL, target if trial else "")
        return folder, [model.at(of) for model in models]
    if (folder / layout.BEST).is_file() and not trial:
        if trials and trials != ALL and not BEST.fullmatch(trials):
            raise UserError(f"{target} is one run: leave out --trials {trials}.")
        return folder, [TrainedModel(name, folder, folder / layout.BEST, name).at(of)]
    known = layout.names_with(out, layout.JOURNAL, layout.RESULTS, layout.BEST)
    raise UserError(f"{out / target}: no trained models here. Sweeps and runs in {out}: {known}.")


def _of_sweep(folder: Path, trials: str, target: str) -> list[TrainedModel]:
    """The models that `trials` selects. `target` is what the user wrote, SWEEP/ID, if that names the trial."""
    results = read_results(folder.parent, folder.name)
    if not results["trials"]:
        why = "It is running: wait" if locks.holder(folder) else f"Go on with it: {command_for('resume', folder)}"
        raise UserError(f"{folder}: no trial has ended yet. {why}.")
    together = averaged(results)
    trained = [_subject(folder, trial, trial["id"] in together) for trial in ranked(results) if trial["checkpoint"]]
    if not trained:
        raise UserError(f"{folder}: no trial has a checkpoint. Go on with the sweep, or start another.")
    if trials == ALL:
        return trained
    if best := BEST.fullmatch(trials):
        return trained[: int(best[1])]
    if trials.startswith("best"):
        raise UserError(f"--trials {trials}: write best:N with a whole number N from 1.")
    known = {subject.id: subject for subject in trained}
    asked = list(dict.fromkeys(word.strip() for word in trials.split(",")))
    if wrong := [word for word in asked if word not in known]:
        told = f"no trained trial of {folder.name}."
        raise UserError(*(f"{target or f'--trials {word}'}: {told} {cure(word, known)}" for word in wrong))
    return [known[word] for word in asked]


def _subject(folder: Path, trial: dict[str, Any], averaged: bool) -> TrainedModel:
    """The model of a trial. Its paths are made from the sweep's folder, which may have been moved since training."""
    home = folder / layout.TRIALS / trial["id"]
    checkpoint = home / Path(trial["checkpoint"]).name
    return TrainedModel(trial["id"], home, checkpoint, label_of(trial, averaged), status=trial["status"])
