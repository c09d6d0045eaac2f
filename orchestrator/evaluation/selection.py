"""Reads which evaluations the command line asks for, and with which settings."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UserError
from orchestrator.spec.diagnostics import KeyPath, Location, Problem, SpecError, cure, findings
from orchestrator.spec.evaluations import Checkpoint, Evaluate
from orchestrator.spec.yaml_file import Document, override, read_yaml
from orchestrator.storage import layout
from trainables.common.records import name_of
from trainables.evaluations import EVALUATIONS, Evaluation

ALL = "all"
KNOWN = {name_of(record): record for record in EVALUATIONS}
NOTHING_WRITTEN = Evaluate()


@dataclass(frozen=True)
class Selection:
    """What the command line asks for."""

    metrics: str | None = None
    """Names of evaluations with commas between, or `all`. None: what the sweep's spec asks for."""
    settings: tuple[str, ...] = ()
    """METRIC.FIELD=VALUE, or FIELD=VALUE for each of them that has this field."""
    trials: str | None = None
    """`all`, `best:N` or ids with commas between; None is `best:5`, or the trial that the target names."""
    checkpoint: Checkpoint | None = None
    """The model of which epoch, `best` or `last`. None: what the sweep's spec asks for."""
    again: bool = False
    """Whether to measure again what is known."""


def written_in(folder: Path) -> Evaluate:
    """What the spec of the sweep in a folder asks for; the defaults where it asks for nothing. Raises UserError."""
    file = folder / layout.SPEC
    document = read_yaml(file) if file.is_file() else Document({}, {})
    values = document.values.get("evaluate") or {}
    try:
        return Evaluate.model_validate_json(json.dumps(values))
    except ValidationError as error:
        found = [(("evaluate", *finding.path), finding.text) for finding in findings(error, Evaluate, values)]
        raise SpecError(Problem(document.place(path), path, text) for path, text in found) from None


def select_evaluations(
    metrics: str | None, settings: Iterable[str], written: Evaluate = NOTHING_WRITTEN
) -> list[Evaluation]:
    """The evaluations `metrics`: names with commas between, or `all`; None: those that the spec has `written`, or all.

    A setting is METRIC.FIELD=VALUE, or FIELD=VALUE for each of them that has this field. Raises UserError.
    """
    asked = [own.model_dump(mode="json") for own in written.metrics or ()] if metrics is None else []
    asked = asked or [{"name": name} for name in _names(ALL if metrics is None else metrics)]
    names = list(dict.fromkeys(own["name"] for own in asked))
    document = override(Document({}, {(): Location(0, "")}), settings)
    problems = list(_strangers(document.values, names))
    made = []
    for own in asked:
        name, values = own["name"], own | _settings(document.values, own["name"])
        try:
            made.append(of_plain(values))
            problems += [(_written(document, name, path), text) for path, text in _absent(made[-1])]
        except ValidationError as error:
            found = findings(error, KNOWN[name], values)
            problems += [(_written(document, name, finding.path), finding.text) for finding in found]
    if problems:
        raise SpecError(Problem(document.place(path), path, text) for path, text in problems)
    return made


def of_plain(values: dict[str, Any]) -> Evaluation:
    """An evaluation from its fields in plain values."""
    return KNOWN[values["name"]].model_validate_json(json.dumps(values))


def _names(metrics: str) -> list[str]:
    if not metrics.strip():
        raise UserError(f"--metrics is empty: name metrics with commas between, or write {ALL}.")
    names = list(dict.fromkeys(word.strip() for word in metrics.split(",")))
    if ALL in names:
        return list(KNOWN)
    unknown = [f"--metrics {name}: unknown. {cure(name, [*KNOWN, ALL])}" for name in names if name not in KNOWN]
    if unknown:
        raise UserError(*unknown)
    return names


def _strangers(values: dict[str, Any], names: list[str]) -> Iterator[tuple[KeyPath, str]]:
    """Settings that no evaluation asked for can take: (path, what is wrong and its cure)."""
    fields = {field for name in names for field in _fields(name)}
    for key, value in values.items():
        if key in KNOWN and not isinstance(value, dict):
            yield (key,), f"has several settings: write {key}.FIELD=VALUE. {cure('', _fields(key))}"
        elif key in KNOWN and "name" in value:
            yield (key, "name"), "says which evaluation it is: leave it out."
        elif key in KNOWN and key not in names:
            yield (key,), f"is not asked for: add it to --metrics {','.join(names)}."
        elif key not in KNOWN and key not in fields:
            yield (key,), f"is no setting of {', '.join(names)}. {cure(key, [*names, *sorted(fields)])}"


def _absent(evaluation: Evaluation) -> Iterator[tuple[KeyPath, str]]:
    """Files that a setting names and that do not exist."""
    weights = getattr(evaluation, "weights", None)
    if weights and not Path(weights).is_file():
        yield ("weights",), f"{weights}: no such file: mend the path."


def _fields(name: str) -> list[str]:
    return [field for field in KNOWN[name].model_fields if field != "name"]


def _settings(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings of an evaluation: those for all that it has too, overridden by its own."""
    own = values.get(name)
    shared = {field: values[field] for field in _fields(name) if field in values}
    return shared | (own if isinstance(own, dict) else {}) | {"name": name}


def _written(document: Document, name: str, path: KeyPath) -> KeyPath:
    """The path of a setting as it was written: of one evaluation, or of all."""
    own = document.values.get(name)
    return (name, *path) if isinstance(own, dict) and path[:1] and path[0] in own else path
