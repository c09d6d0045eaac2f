"""Asks before a cluster is started that costs money. `clusters/cost.py` has what it can cost."""

import sys

import click

from orchestrator.clusters.base import RemoteCluster, Say
from orchestrator.errors import UserError


def agree(record: RemoteCluster, yes: bool, say: Say) -> None:
    """Show what is started and what it costs at most, and ask. Asks nothing if nothing is billed, or with `--yes`.

    Raises UserError where the answer is no, and where nobody can be asked.
    """
    if record.cost() is None:
        return
    for line in record.summary():
        say(f"cluster      {line}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError("Machines that cost money are started for this, and nobody can be asked here: add --yes.")
    if not click.confirm("Start them?", err=True):
        raise UserError("Nothing was started.")
