"""The verb `list`: all sweeps and runs of OUT, as a table or as JSON. `sweep/inventory.py` reads them."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator.reporting import tables
from orchestrator.shell import command
from orchestrator.sweep.inventory import HALF_REMOVED, RUN, Entry, inventory
from orchestrator.terminal import console, say
from orchestrator.text import duration, on_disk, show

HEADER = ("name", "kind", "state", "done", "best", "objective", "begun", "size")


def print_list(out: Path, as_json: bool) -> None:
    """Print the sweeps and runs in `out`, the newest first. Raises UserError."""
    found = inventory(out)
    if as_json:
        click.echo(json.dumps(list(map(asdict, found)), indent=2))
        return
    to, now = console(), time.time()
    if not found:
        say(to, f"{out}: no sweeps or runs yet.")
        return
    for line in tables.blocks(HEADER, [_row(entry, now) for entry in found], to.width):
        say(to, line)
    for entry in found:
        if entry.state == HALF_REMOVED:
            say(to, f"{entry.name}: was not removed to its end. Go on: {command('remove', entry.name, out)}")
        elif entry.note:
            say(to, f"{entry.name}: {entry.note}")


def _row(entry: Entry, now: float) -> tuple[str, ...]:
    of = "?" if entry.of is None else str(entry.of)
    unit = "epochs" if entry.kind == RUN else "trials"
    age = "" if entry.begun is None else f"{duration(now - entry.begun)} ago"
    done = f"{entry.done}/{of} {unit}"
    return entry.name, entry.kind, entry.state, done, show(entry.best), entry.metric or "", age, on_disk(entry.bytes)
