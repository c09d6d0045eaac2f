"""Reads the spec that a verb is given, with the command line's settings applied, and prints the schemas of files."""

import json
from pathlib import Path

import click

from orchestrator.checks.read import read_plan, schema
from orchestrator.clusters.read import cluster_schema
from orchestrator.space.plan import Plan
from orchestrator.storage import layout
from trainables.data.access import DataAccess


def read(file: Path, name: str | None, settings: tuple[str, ...], data: DataAccess) -> Plan:
    """The plan of the spec in `file`, with the settings of --set and the name of --name. Raises SpecError."""
    named = [f"name={json.dumps(name)}"] if name else []
    return read_plan(file, [*settings, *named], data, layout.TAKEN)


def print_schema(of_cluster: bool) -> None:
    """Print the JSON Schema of a spec, or of a cluster file."""
    click.echo(json.dumps(cluster_schema() if of_cluster else schema(), indent=2))
