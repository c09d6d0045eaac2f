"""A model in a folder: weights as safetensors, its facts as JSON, and a model card. `load` reads it again.

model.safetensors   the weights, and what samples need of the training rows
config.json         the run, the form of its data, its metrics and evaluations with their provenance
README.md           the model card
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from torch import nn

from orchestrator.errors import UserError
from orchestrator.export.card import card
from orchestrator.storage import layout
from orchestrator.storage.json_files import read_object, write_whole
from trainables.common.errors import UsageError, one_line
from trainables.inference import building, fitted
from trainables.inference.model import Model, Origin
from trainables.run import Run

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", layout.CONFIG, "README.md"
FITTED = "fitted."  # before the names of tensors that are no weights


def is_one(folder: Path) -> bool:
    """Whether a model was exported into this folder."""
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def write(model: Model, to: Path, facts: dict[str, Any]) -> list[Path]:
    """Write a model into a folder that is there. `facts` go into its config. Returns the files. Raises OSError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    weights = building.plain_copy(model.module, model.run).state_dict()
    rows, _ = model.known_fit()
    tensors = weights | {f"{FITTED}{name}": value for name, value in (fitted.state(rows) if rows else {}).items()}
    try:
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, to / WEIGHTS)
    except SafetensorError as error:
        raise OSError(one_line(error)) from None
    return [to / WEIGHTS, *write_facts(model, to, facts)]


def write_facts(model: Model, to: Path, facts: dict[str, Any]) -> list[Path]:
    """Write what is known of a model, and its card. Returns the files. Raises OSError."""
    config = config_of(model) | facts
    write_whole(to / CONFIG, json.dumps(config, indent=2, allow_nan=False) + "\n")
    (to / CARD).write_text(card(model, config), encoding="utf-8")
    return [to / CONFIG, to / CARD]


def config_of(model: Model) -> dict[str, Any]:
    """The facts of a model in plain values; numbers that are not finite are null."""
    rows, why_not = model.known_fit()
    origin = model.origin
    history = [{name: finite(value) for name, value in line.items()} for line in origin.history]
    return {
        "format": FORMAT,
        "name": origin.name,
        "run": model.run.model_dump(mode="json"),
        "data": {"shape": list(model.shape), "range": model.range},
        "epoch": origin.epoch,
        "axes": origin.axes,
        "more": origin.more,
        "fitted": {"collapsed": rows.collapsed, "unfit": rows.unfit} if rows else {"absent": why_not},
        "history": history,
        "evaluations": list(origin.findings),
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def read(folder: Path) -> Model:
    """The model that `write` has written. Raises UserError for a folder that is not whole."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / CONFIG
    config = read_object(file, "Export the model again.")
    if config.get("format") != FORMAT:
        raise UserError(f"{file}: is of another version (format {config.get('format')}, not {FORMAT}).")
    try:
        run = Run.model_validate(config["run"])
        learner = building.plain(building.blank(run, building.form_of(config)))
        learner.vae.extras = nn.Module()
        tensors = load_file(folder / WEIGHTS)
        learner.load_state_dict({name: value for name, value in tensors.items() if not name.startswith(FITTED)})
        known = {name.removeprefix(FITTED): value for name, value in tensors.items() if name.startswith(FITTED)}
        about = {"collapsed": False, "unfit": "", "absent": ""} | config["fitted"]
        axes = None if config["axes"] is None else tuple(config["axes"])
        lines = [
            {name: math.nan if value is None else value for name, value in line.items()} for line in config["history"]
        ]
        findings = [found for found in config["evaluations"] if found["metric"] and found["values"] is not None]
        if any("epoch" not in line for line in lines):
            raise ValueError("an epoch has no number")
        origin = Origin(config["name"], config["epoch"], lines, findings, axes, dict(config["more"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder}: is damaged ({' '.join(str(error).split())[:200]}). Export the model again."
        ) from None

    def fit() -> fitted.Fitted:
        if not known:
            raise UsageError(f"{folder}: {about['absent'] or 'it was exported without what is known of its rows.'}")
        return fitted.from_state(known, config["epoch"], about["collapsed"], about["unfit"])

    return Model(learner, run, fit, origin)
