"""Reads a cluster file: `clusters/*.yaml`, which `table.py` has the kinds of. A mistake anywhere costs a second."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.clusters.base import Cluster
from orchestrator.clusters.table import CLUSTERS
from orchestrator.spec.diagnostics import Problem, SpecError, findings, read_path
from orchestrator.spec.yaml_file import Document, read_yaml
from trainables.common.records import choice, name_of

ANY_CLUSTER = choice(CLUSTERS)
START = " or ".join(f"'kind: {name_of(record)}'" for record in CLUSTERS)
OF_A_SPEC = ("run", "search")  # keys that a spec has and no cluster file


def read_cluster(file: str | Path) -> Cluster:
    """The cluster that a YAML file describes. Raises SpecError with all mistakes."""
    document = read_yaml(file, START)
    _refuse_spec(document)
    try:
        cluster = TypeAdapter(ANY_CLUSTER).validate_json(json.dumps(document.values))
        found = [(read_path(path), text) for path, text in cluster.mistakes()]
    except ValidationError as error:
        found = [(finding.path, finding.text) for finding in findings(error, ANY_CLUSTER, document.values)]
    if found:
        raise SpecError(Problem(document.place(path), path, text) for path, text in found)
    return cluster


def cluster_schema() -> dict[str, Any]:
    """The JSON Schema of a cluster file, for editors."""
    made = TypeAdapter(ANY_CLUSTER).json_schema()
    for record in CLUSTERS:
        definition = made["$defs"][record.__name__]
        definition["required"] = [record.chosen_by, *definition.get("required", ())]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _refuse_spec(document: Document) -> None:
    """Raises SpecError for the spec of a sweep."""
    key = next((key for key in OF_A_SPEC if key in document.values), None)
    if key and Cluster.chosen_by not in document.values:
        what = "this is the spec of a sweep, not a cluster file. Name a file such as clusters/ssh.yaml."
        raise SpecError([Problem(document.place((key,)), (key,), what)])
