"""Finds a trained model by the name or the path of its sweep, trial, run or exported folder, and loads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.evaluation.models import TrainedModel, trained_models
from orchestrator.evaluation.orders import current
from orchestrator.export import folder as exported
from orchestrator.spec.evaluations import Checkpoint
from orchestrator.storage import layout
from orchestrator.storage.blobs import here
from orchestrator.storage.journal import OF_AN_EPOCH, JournalError, events_of
from orchestrator.storage.metric_lines import history
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.sweep.changes import Origin, check_data, origin, origin_of_run
from trainables.common.errors import CheckpointError, DataError, UsageError
from trainables.common.roots import Root, recorded, root_of
from trainables.data.access import DataAccess
from trainables.data.loading import load_splits, read_facts
from trainables.inference import building, fitted
from trainables.inference import model as models
from trainables.inference.fitted import Fitted
from trainables.inference.model import Model
from trainables.run import Run

USUAL_OUT = Path("runs")
LONGEST = 1024  # characters of a path


def load(place: str | Path, data_root: Root = None, out: Path = USUAL_OUT) -> Model:
    """The model at a place: `NAME` (a sweep's best), `NAME/ID` (a trial), a run, or a folder that `export` wrote.

    A place is a path, or is looked for in `out`; `@last` after it means the model of the last epoch. `data_root` is
    only needed where training did not end, so that nothing was kept of its training rows. Raises UserError.
    """
    text, of = parted(place)
    if len(text) > LONGEST or "\0" in text:
        raise UserError(f"{text[:100]!r}: is no name of a sweep, run or folder.")
    if exported.is_one(Path(text)):
        if of:
            raise UserError(f"{place}: was exported: it holds the model of one epoch. Leave out @{of}.")
        return exported.read(Path(text))
    name, trained = found(text, of or "best", out)
    try:
        return opened(trained, f"{name}{'@last' if of == 'last' else ''}", data_root)
    except (CheckpointError, DataError, UsageError) as error:
        raise UserError(str(error)) from None


def parted(place: str | Path) -> tuple[str, str]:
    """The path or name of a place, and the epoch asked for after @, empty where there is none. Raises UserError."""
    text = str(Path(place).expanduser())
    before, sign, of = text.rpartition("@")
    if not sign or "/" in of or os.path.lexists(text):
        return text, ""
    if of not in layout.EVALUATED:
        raise UserError(f"{place}: after @ comes 'best' or 'last', the epoch whose model is meant.")
    return before, of


def found(text: str, of: Checkpoint, out: Path) -> tuple[str, TrainedModel]:
    """The name, and the files, of the model of a sweep, trial or run. Raises UserError."""
    where, target = located(Path(text), out)
    trials = None if "/" in target or (where / target / layout.BEST).is_file() else "best:1"
    _, [model] = trained_models(where, target, trials, of)
    return target, model


def folder_of(place: str | Path, out: Path = USUAL_OUT) -> Path:
    """The folder of the trial or run whose model is at a place. Raises UserError."""
    text, _ = parted(place)
    if exported.is_one(Path(text)):
        raise UserError(f"{place}: was exported, and has no run in MLflow. Register the trial that it comes from.")
    return found(text, "best", out)[1].folder


def located(path: Path, out: Path) -> tuple[Path, str]:
    """The folder of all sweeps, and the target in it, that a path means; else those in `out`."""
    there = Path(os.path.normpath(path.absolute()))
    sweep = there.parent.parent if there.parent.name == layout.TRIALS else there.parent
    if (sweep / layout.RESULTS).exists():
        return sweep.parent, f"{sweep.name}/{there.name}"
    known = any((there / name).exists() for name in (layout.RESULTS, layout.BEST, layout.CONFIG))
    names_out = len(path.parts) > 1 and there.parent.is_dir() and not (out / path.parts[0]).exists()
    return (there.parent, there.name) if known or names_out else (out, str(path))


def opened(trained: TrainedModel, name: str, data_root: Root = None) -> Model:
    """A trained model in use. Raises UserError, CheckpointError and DataError."""
    run, root = Run.model_validate(trained.run), root_of(data_root) or recorded_root(trained.folder)
    file = here(trained.checkpoint)

    def form() -> building.Form:
        facts = read_facts(run.data, root)
        return facts.shape, facts.range

    learner, epoch = building.load(file, run, form)
    known = {"data_root": recorded(root)}
    source = models.Origin(name, epoch, history(trained.folder), current(trained), more=known)
    return Model(learner, run, fit_of(trained, learner, epoch, run, root), source)


def fit_of(trained: TrainedModel, learner, epoch: int, run: Run, root: Root) -> Callable[[], Fitted]:
    """A function that returns what was kept of the training rows, or measures it anew where they are there."""

    def fit() -> Fitted:
        kept = fitted.read(trained.folder / layout.FITTED, trained.of, epoch)
        if kept is not None:
            return kept
        told = f"{trained.folder}: was not trained to its end, so nothing was kept of its training rows"
        try:
            check_data(began(trained.folder), [run.data], DataAccess(root))
            rows = load_splits(run.data, root).train
        except DataError as error:
            raise UsageError(f"{told}, which are not here either: {error}") from None
        except UserError as error:
            raise UsageError(f"{told}; and {error}") from None
        if (rows.shape, rows.range) != (learner.vae.shape, learner.vae.data_range):
            raise UsageError(f"{told}; and the data that are here have another shape or range.")
        return fitted.fit(learner, rows, epoch)

    return fit


def began(folder: Path) -> Origin:
    """With which data the training in the folder of a trial or run began."""
    if folder.parent.name != layout.TRIALS:
        return origin_of_run(folder)
    sweep = folder.parents[1]
    try:
        lines = (sweep / layout.JOURNAL).read_bytes().splitlines()
        return origin(event for line in lines if not line.startswith(OF_AN_EPOCH) for event in events_of(sweep, line))
    except (OSError, JournalError):  # it is being written, or is lost: then nothing is known
        return origin([])


def root_of_model(model: Model) -> Root:
    """The root of the data that a model was trained on."""
    return root_of(model.origin.more.get("data_root"))
