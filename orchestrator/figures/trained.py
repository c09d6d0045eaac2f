"""The trained models that a figure is drawn from: those of a sweep, grouped by configuration, or of a single run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.evaluation.models import ALL, TrainedModel, trained_models
from orchestrator.evaluation.orders import current
from orchestrator.evaluation.selection import written_in
from orchestrator.shell import command_for
from orchestrator.spec.evaluations import Checkpoint
from orchestrator.storage.blobs import here
from orchestrator.storage.evaluations_file import EvaluatedModel, StoredResult
from orchestrator.storage.metric_lines import history
from orchestrator.sweep.ranking import chosen_by, ranked
from orchestrator.sweep.results import read_results
from orchestrator.text import listed, setting
from trainables.common.errors import CheckpointError, DataError
from trainables.common.lazy import LazyModule
from trainables.common.roots import Root
from trainables.run import Run

if TYPE_CHECKING:
    from trainables.data import Facts
    from trainables.evaluations.context import EvaluationContext

context = LazyModule("trainables.evaluations.context")
loading = LazyModule("trainables.data.loading")
train = LazyModule("trainables.train")

Values = dict[str, Any]
"""Path in a Run -> value."""
Table = list[dict[str, str]]
"""The lines of a CSV file by the names of its columns."""


@dataclass(frozen=True)
class Choice:
    """Which models of a sweep or run a figure shows."""

    trials: str | None = None
    """As `evaluate` takes it, but for None: all."""
    checkpoint: Checkpoint | None = None
    """Those of the best or of the last epoch; None: what the sweep's spec evaluates."""


@dataclass(frozen=True)
class Model:
    """A trained model, opened when a figure needs it."""

    trained: TrainedModel
    data_root: Root

    @cached_property
    def run(self) -> Run:
        """The Run that trained it. Raises UserError."""
        return Run.model_validate(self.trained.run)

    @cached_property
    def facts(self) -> Facts:
        """Those of its data. Raises UserError."""
        try:
            return loading.read_facts(self.run.data, self.data_root)
        except DataError as error:
            raise UserError(str(error)) from None

    def open(self) -> EvaluationContext:
        """The model in evaluation mode, and its data. Raises UserError, and Undefined where the model has diverged."""
        try:
            report = train.reopen(self.run, self.data_root, here(self.trained.checkpoint))
        except (CheckpointError, DataError) as error:
            raise UserError(str(error)) from None
        seen = context.EvaluationContext(report.training, data_root=self.data_root)
        seen.check_weights()
        return seen

    def history(self) -> list[dict[str, float]]:
        """The metrics of each epoch, with its number as `epoch`. Raises UserError."""
        return history(self.trained.folder)

    def table(self, metric: str, name: str) -> Table | None:
        """The rows of a table that an evaluation has kept; None where there is none. Raises UserError."""
        kept = [path for found in self.findings if found["metric"] == metric for path in found.get("tables", ())]
        file = next((self.trained.folder / path for path in reversed(kept) if Path(path).name == name), None)
        if file is None:
            return None
        try:
            return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: cannot be read ({error}). Evaluate {metric} again, with --again.") from None

    def undefined(self, metric: str) -> str:
        """Why an evaluation has no value for it; empty where it has, or was not asked."""
        return next((found["undefined"] for found in self.findings if found["metric"] == metric), "")

    @cached_property
    def findings(self) -> list[StoredResult]:
        """What `evaluate` has found of it. Raises UserError."""
        return current(self.trained)

    def evaluated(self, label: str) -> EvaluatedModel:
        """The same, to be compared under a label. Raises UserError."""
        return EvaluatedModel(label, self.trained.id, self.findings, self.trained.folder)


@dataclass(frozen=True)
class Configuration:
    """Trained models that differ in their seed alone, the best first."""

    models: Sequence[Model]
    values: Values
    """Those of its values that differ between configurations, in the sweep's order."""

    @property
    def best(self) -> Model:
        return self.models[0]

    @property
    def key(self) -> str:
        """Distinguishes it from others: the id of its best model."""
        return self.best.trained.id

    @property
    def title(self) -> str:
        """Its values in a line; the name of a run that was trained alone."""
        return title_of(self.values) or self.best.trained.id

    def title_without(self, *paths: str) -> str:
        """Its title without the values at or below some paths; its method where nothing else is left."""
        return title_of(without(self.values, *paths)) or self.best.run.method.name


@dataclass(frozen=True)
class Trained:
    """The sweep or run in `folder`."""

    folder: Path
    configurations: Sequence[Configuration]
    checkpoint: Checkpoint | None = None
    """The epoch that was asked for; None: that of the sweep's spec."""

    @property
    def name(self) -> str:
        return self.folder.name

    def to_measure(self, metrics: Iterable[str]) -> str:
        """The command that measures what a figure lacks."""
        which = f" --checkpoint {self.checkpoint}" if self.checkpoint else ""
        return f"{command_for('evaluate', self.folder)} --trials {ALL} --metrics {','.join(metrics)}{which}"

    def unmeasured(self, what: str, metrics: Iterable[str]) -> UserError:
        """The error for something that a figure shows and nobody has measured yet."""
        return UserError(f"{self.name}: {what} was not measured yet: {self.to_measure(metrics)}")


def title_of(values: Values, form: Callable[[Any], str] = setting) -> str:
    """Values in a line: words that choose a record stand without their path, as in `ard_vae latent_dim=16`."""
    names = [str(value) for path, value in values.items() if path.endswith("name")]
    others = {path: value for path, value in values.items() if not path.endswith("name")}
    return " ".join([*names, listed(others, form)]).strip()


def without(values: Values, *paths: str) -> Values:
    """Values without those whose path is or lies below one of `paths`."""
    return {key: value for key, value in values.items() if not any(f"{key}.".startswith(f"{p}.") for p in paths)}


def models_of(out: Path, target: str, choice: Choice) -> tuple[Path, list[tuple[TrainedModel, dict[str, Any]]]]:
    """The folder of the sweep or run `target`, and its trained models, each with its trial of the results, best first.

    Where all are meant, a configuration that was confirmed has those that confirm it alone. Raises UserError.
    """
    trials = choice.trials or (None if "/" in target else ALL)
    of = choice.checkpoint or written_in((out / target.partition("/")[0]).resolve()).checkpoint
    folder, models = trained_models(out, target, trials, of)
    chosen = {model.id: model for model in models}
    results = read_results(folder.parent, folder.name)
    biased = set() if choice.trials or "/" in target else chosen_by(results)
    shown = [trial for trial in ranked(results) if trial["id"] in chosen.keys() - biased]
    return folder, [(chosen[trial["id"]], trial) for trial in shown]


def trained(
    folder: Path,
    models: list[tuple[TrainedModel, dict[str, Any]]],
    data_root: Root,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """The models, best first, by configuration, which are in the sweep's order. `checkpoint` is what was asked for."""
    groups: dict[int, list[tuple[TrainedModel, Values]]] = {}
    for number, (model, trial) in enumerate(models):
        groups.setdefault(trial.get("configuration", number), []).append((model, trial["config"]))
    ordered = [groups[number] for number in sorted(groups)]
    shown = differing([own[0][1] for own in ordered])
    configurations = [
        Configuration([Model(model, data_root) for model, _ in own], values)
        for own, values in zip(ordered, shown, strict=True)
    ]
    return Trained(folder, configurations, checkpoint)


def differing(every: Sequence[Values]) -> list[Values]:
    """Each of some values without those paths whose value all of them share; a single one in full."""
    if len(every) == 1:
        return list(every)
    shared = {path for path in every[0] if all(path in one and one[path] == every[0][path] for one in every)}
    return [{path: value for path, value in one.items() if path not in shared} for one in every]
