"""Reads the spec of a sweep from its YAML file and checks the whole of it: a mistake anywhere costs a second.

`spec/records.py` has the fields of a spec, `check.py` and `consistency.py` have the checks.
"""

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.checks.check import Checker
from orchestrator.checks.consistency import inconsistencies, paper_mistakes
from orchestrator.space.assembly import build
from orchestrator.space.candidates import candidates
from orchestrator.space.plan import Plan
from orchestrator.space.trials import trials_of
from orchestrator.spec.diagnostics import Problem, SpecError, findings
from orchestrator.spec.domains import Search
from orchestrator.spec.earlier import as_now
from orchestrator.spec.records import Objective, SweepSpec
from orchestrator.spec.yaml_file import Document, override, read_yaml
from trainables.data.access import HERE, DataAccess
from trainables.run import Run

DECISIVE = r"(run|search|trials|searcher|search_seed|scheduler|budget)\b"  # first keys of what decides what is trained


def read_spec(file: str | Path, *values: Any, **more: Any) -> SweepSpec:
    """The spec of the plan that `read_plan` reads, from the same arguments. Raises SpecError."""
    return read_plan(file, *values, **more).spec


def read_plan(
    file: str | Path,
    settings: Iterable[str] = (),
    data: DataAccess = HERE,
    taken: Collection[str] = (),
    recorded: bool = False,
) -> Plan:
    """The plan of the spec in a YAML file, with the settings of `--set` applied and every value it could take checked.

    Raises SpecError with all mistakes.

    Args:
        data: the data sets.
        taken: names that the sweep may not have.
        recorded: whether the spec is of a sweep that has begun; then it may be one of an earlier version, its objective
            may have an odd mode, and no setting changes a training that was made.
    """
    written = read_yaml(file)
    _refuse_cluster(written)
    document = _noted(_without_notes(override(written, settings)), () if recorded else settings)
    if recorded:
        document.values.update(as_now(document.values))
    spec, problems = _validated(document)
    if spec and spec.name.casefold() in taken:
        what = f"'{spec.name}' is a name of vaeorch's own in --out. Choose another."
        problems.append(Problem(document.place(("name",)), ("name",), what))
    checker = Checker(document, _metric(document), data)
    if isinstance(document.values.get("run"), dict):
        checker.check_search(_complete(document.values["run"]), _readable(document.values.get("search")))
    if recorded or any(problem.path == ("objective", "metric") for problem in checker.problems):
        problems = [problem for problem in problems if problem.path != ("objective", "mode")]
    if spec and not problems and not checker.problems:
        configurations = candidates(spec)
        checker.check_trials(configurations)
    if spec and not problems and not checker.problems:
        plan = Plan(_resolved(spec), trials_of(spec, configurations))
        problems = [Problem(document.place(path), path, text) for path, text in paper_mistakes(plan)]
    if problems or checker.problems:
        raise SpecError(problems + checker.problems)
    return plan


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec, for editors."""
    made = SweepSpec.model_json_schema()
    made["patternProperties"] = {"^x-": {"description": "The user's own, such as anchors; not read."}}
    option = made["$defs"]["Option"]
    option["anyOf"] = option.pop("oneOf")  # a domain is a mapping too: both alternatives match it
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _refuse_cluster(document: Document) -> None:
    """Raises SpecError for a cluster file."""
    if "kind" in document.values and "run" not in document.values:
        what = "this is a cluster file, not the spec of a sweep. Name it after --cluster."
        raise SpecError([Problem(document.place(("kind",)), ("kind",), what)])


def _without_notes(document: Document) -> Document:
    """The document without the keys `x-...`, which hold the user's own content, such as anchors."""
    values = {key: value for key, value in document.values.items() if not key.startswith("x-")}
    return Document(values, document.places)


def _noted(document: Document, settings: Iterable[str]) -> Document:
    """The document with those settings in `overrides` that change what is trained."""
    before = document.values.get("overrides", ())
    new = [setting for setting in settings if re.match(DECISIVE, setting)]
    return Document(document.values | {"overrides": [*before, *new]}, document.places) if new else document


def _validated(document: Document) -> tuple[SweepSpec | None, list[Problem]]:
    try:
        spec = SweepSpec.model_validate_json(json.dumps(document.values))
    except ValidationError as error:
        found = [(finding.path, finding.text) for finding in findings(error, SweepSpec, document.values)]
        return None, [Problem(document.place(path), path, text) for path, text in found]
    return spec, [Problem(document.place(path), path, text) for path, text in inconsistencies(spec)]


def _metric(document: Document) -> str | None:
    objective = document.values.get("objective", {})
    metric = objective.get("metric", Objective().metric) if isinstance(objective, dict) else None
    return metric if isinstance(metric, str) else None


def _complete(run: dict[str, Any]) -> dict[str, Any]:
    """A run with its defaults; an invalid one with those of absent fields, so that its search can be checked too."""
    try:
        return build(run).model_dump(mode="json")
    except ValidationError:
        return Run.model_construct().model_dump(mode="json") | run


def _readable(search: Any) -> Search:
    """The valid entries of a search."""
    entry = TypeAdapter(SweepSpec.model_fields["search"].annotation)
    sound = {}
    for path, domain in search.items() if isinstance(search, dict) else ():
        try:
            sound |= entry.validate_json(json.dumps({path: domain}))
        except ValidationError:
            continue  # the spec's own validation reports it
    return sound


def _resolved(spec: SweepSpec) -> SweepSpec:
    """The spec with numbers in place of defaults that depend on other values."""
    return spec.model_copy(update={"scheduler": spec.scheduler.resolved(spec.run.epochs)})
