"""The verbs of one trained model: `export`, `encode` and `sample`."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator import terminal
from orchestrator.errors import UserError
from orchestrator.export import encoding, formats, loading, pruning
from orchestrator.export.registry import check_name, register
from orchestrator.storage.workspace import Workspace
from orchestrator.terminal import say
from orchestrator.text import show
from trainables.common.errors import UsageError
from trainables.inference.model import Model


@dataclass(frozen=True)
class Export:
    """How a model is exported."""

    to: Path | None
    """A new folder; None: it is only registered."""
    form: str
    pruned: bool
    register: str | None
    """Its name in MLflow's registry; None: it is not registered."""


def export(target: str, workspace: Workspace, asked: Export) -> None:
    """Write the model `target` in a format, pruned or whole, and say what was written. Raises UserError."""
    if asked.to is None and asked.register is None:
        raise UserError("say where to: --to DIR for files, --register NAME for MLflow's registry, or both.")
    place = None if asked.register is None else loading.folder_of(target, workspace.out)
    if place is not None:
        check_name(asked.register)
    console = terminal.console()
    model = loading.load(target, workspace.data_root, workspace.out)
    facts = {"made_with": formats.made_with()}
    try:
        if asked.pruned:
            model = pruning.pruned(model, workspace.data_root or loading.root_of_model(model))
            for name, (before, after) in model.origin.more["pruning"].items():
                say(console, f"{name:<28} {show(before)} -> {show(after)}")
        if asked.to:
            for file in formats.export(model, asked.to, asked.form, facts):
                say(console, str(file))
        if place is not None:
            say(console, f"registered   {register(model, asked.register, facts, place, workspace.tracking_uri)}")
    except UsageError as error:
        raise UserError(str(error)) from None


def encode(target: str, file: Path, workspace: Workspace, to: Path) -> None:
    """Encode the rows of a file, and write their means, variances, representations and labels. Raises UserError."""
    if to.resolve() == file.resolve():
        raise UserError(f"{file}: would be written over by its codes. Name another file by -o.")
    model = loading.load(target, workspace.data_root, workspace.out)
    x, labels = encoding.read_rows(file, model)
    try:
        code = model.encode(x)
        known = {"mean": code.mean, "variance": code.variance, "representation": model.represent(x), "y": labels}
    except UsageError as error:
        raise UserError(f"{file}: {error}") from None
    encoding.write_arrays(to, known)
    told = ", ".join(f"{name} {value.shape}" for name, value in known.items() if value is not None)
    say(terminal.console(), f"{to}: {told}")


def sample(target: str, n: int, seed: int, workspace: Workspace, to: Path) -> None:
    """Generate rows, and write them as a picture or as arrays. Raises UserError."""
    model = loading.load(target, workspace.data_root, workspace.out)
    encoding.write_samples(to, model, generated(model, n, seed))
    say(terminal.console(), str(to))


def generated(model: Model, n: int, seed: int):
    try:
        return model.sample(n, seed)
    except UsageError as error:
        raise UserError(str(error)) from None
