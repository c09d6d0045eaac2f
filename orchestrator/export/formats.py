"""The table of formats in which a model is exported, and the one function that exports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.export import folder as exported
from orchestrator.export import graphs, registry
from orchestrator.sweep.reuse import software
from trainables.inference.model import Model

Write = Callable[[Model, Path, dict[str, Any]], list[Path]]


def as_graphs(write: Callable[[Model, Path], list[Path]]) -> Write:
    """Graphs, with the facts and the card of the model beside them."""

    def written(model: Model, to: Path, facts: dict[str, Any]) -> list[Path]:
        return [*write(model, to), *exported.write_facts(model, to, facts)]

    return written


FORMATS: dict[str, Write] = {
    "safetensors": exported.write,
    "torch": as_graphs(graphs.write_torch),
    "onnx": as_graphs(graphs.write_onnx),
    "mlflow": registry.write_mlflow,
}
"""Name -> function that writes a model into an empty folder, and returns the files."""


def export(model: Model, to: Path, form: str, facts: dict[str, Any]) -> list[Path]:
    """Write a model into a new folder, whole or not at all. Raises UserError for a folder that is there."""
    told, to = to, to.absolute()
    if os.path.lexists(to) and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"{told}: is there already. Choose another --to, or remove it.")
    beside = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        files = FORMATS[form](model, beside, facts)
        if to.exists():  # and empty; it may be the working directory
            for file in beside.iterdir():
                file.rename(to / file.name)
        else:
            beside.rename(to)
    except OSError as error:
        raise UserError(f"{to}: cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [told / file.relative_to(beside) for file in files]


def made_with() -> dict[str, Any]:
    """The versions of code and packages that exported a model, for its card."""
    known = software()
    return {"vaeorch": known["code"][:12], "python": known["python"]} | known["packages"]
