"""The model card: what a model is, what it was trained on, how well it does, and how to use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.storage.evaluations_file import provenance_of
from orchestrator.text import show
from trainables.common.records import summary
from trainables.inference.model import Model


def card(model: Model, config: dict[str, Any]) -> str:
    """The card in Markdown."""
    return "\n".join(lines(model, config)) + "\n"


def lines(model: Model, config: dict[str, Any]) -> Iterator[str]:
    run, data = model.run, model.run.data
    yield from (f"# {model.origin.name}", "", summary(type(run.method)), "")
    yield from ("## Use", "", "```python", "import vaeorch", "")
    yield from ('model = vaeorch.load("this folder")', f"codes = model.encode(x)    # x: (rows, {of(model.shape)})")
    yield from ("images = model.sample(64, seed=0)", "```", "")
    yield from ("## What it is", "", "| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in facts(model).items())
    yield from ("", "## Data", "", f"`{data.name}`: {summary(type(data))}")
    yield from (f"Licence: {data.licence or 'not stated'}.", *([f"Cite: {data.citation}"] if data.citation else []), "")
    if kept := epoch_line(model):
        yield from (f"## Metrics after epoch {model.origin.epoch}", "")
        if model.origin.axes is not None:
            yield from ("These, and the evaluations, are of the model before it was pruned.", "")
        yield from ("| metric | value |", "|---|---:|")
        yield from (f"| {name} | {show(value)} |" for name, value in kept.items())
        yield ""
    yield from evaluations(model)
    if pruned := model.origin.more.get("pruning"):
        yield from (
            "## Pruning",
            "",
            f"Axes {', '.join(map(str, model.origin.axes))} are left; others were cut out.",
            "",
        )
        yield from ("| | before | after |", "|---|---:|---:|")
        yield from (f"| {name} | {show(before)} | {show(after)} |" for name, (before, after) in pruned.items())
        yield ""
    yield from ("## Made with", "", ", ".join(f"{name} {version}" for name, version in config["made_with"].items()))


def of(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def facts(model: Model) -> dict[str, str]:
    """The rows of the table of what a model is."""
    run, span = model.run, model.range
    return {
        "method": f"`{run.method.name}`: {run.method.source}",
        "network": f"`{run.network.name}`",
        "likelihood": f"`{run.likelihood.name}`",
        "rows": f"({of(model.shape)})" + (f", values in [{span[0]:g}, {span[1]:g}]" if span else ""),
        "latent axes": str(model.latent_dim),
        "parameters": f"{sum(value.numel() for value in model.module.vae.parameters()):,}",
        "trained for": f"{model.origin.epoch} of {run.epochs} epochs, seed {run.seed}",
    }


def epoch_line(model: Model) -> dict[str, float]:
    """The metrics of the epoch that the model is of."""
    found = next((line for line in model.origin.history if line["epoch"] == model.origin.epoch), {})
    return {name: value for name, value in found.items() if "/" in name}


def evaluations(model: Model) -> Iterator[str]:
    """What `evaluate` has found, each number with what it rests on."""
    if not model.origin.findings:
        return
    yield from ("## Evaluations", "", "| number | value | rests on |", "|---|---:|---|")
    for found in model.origin.findings:
        basis = provenance_of(found).line() if found["provenance"] else ""
        for name, value in found["values"].items():
            yield f"| {name} | {show(value)} | {basis.replace('|', '/')} |"
    yield ""
