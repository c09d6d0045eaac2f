"""The verb `rename`: a sweep or run gets another name, in its folder and in MLflow.

The order makes it safe to break off: first the files in the folder, then the folder itself in one step, then MLflow.
The same command goes on from wherever it was broken off; until then `resume` goes on under the name of the folder.
"""

import json
from pathlib import Path

from orchestrator.commands.target import errors_reported, folder_of, place_of, refuse_busy
from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.spec.records import folder_name
from orchestrator.storage import layout, locks
from orchestrator.storage.json_files import read_object, write_whole
from orchestrator.sweep import folder as sweep_folder
from orchestrator.sweep import results_file
from orchestrator.terminal import console, say
from orchestrator.tracking import identity
from orchestrator.tracking.identity import is_recorded, kept
from orchestrator.tracking.managing import follow_rename
from orchestrator.tracking.spool import TrackingError


def rename(name: str, new: str, out: Path) -> None:
    """Rename the sweep or run OUT/NAME to `new`. Raises UserError."""
    there = place_of(out, new)
    if not _half_done(place_of(out, name), there):
        folder = folder_of(out, name)
        _refuse(folder, new)
        refuse_busy(folder)
        with errors_reported(folder), locks.driver(folder):
            _rename_files(folder, new)
            folder.rename(there)
    to = console()
    say(to, f"renamed      {there}")
    try:
        follow_rename(there)
    except TrackingError as error:
        for line in error.lines:
            say(to, f"note         {line}")
        say(to, f"note         MLflow has it under its old name until it is sent: {command_for('sync', there)}")


def _half_done(old: Path, new: Path) -> bool:
    """Whether `old` has been renamed to `new` already, and only MLflow may not know of it."""
    return not old.exists() and new.is_dir() and is_recorded(new) and old.name in (kept(new).get("former") or ())


def _refuse(folder: Path, new: str) -> None:
    """Raises UserError for a name that `folder` cannot have."""
    try:
        folder_name(new)
    except ValueError as error:
        raise UserError(str(error)) from None
    there = folder.with_name(new)
    if there.exists() or there.is_symlink() or layout.sent_file(folder.parent, new).exists():
        raise UserError(f"{there}: is there already. Choose another name, or remove it: {command_for('remove', there)}")


def _rename_files(folder: Path, new: str) -> None:
    """Write the new name into the files of a folder. Raises UserError and OSError."""
    if (folder / layout.SPEC).is_file():
        sweep_folder.rename(folder, new)
        results_file.rename(folder, new)
    elif (folder / layout.CONFIG).is_file():
        config = read_object(folder / layout.CONFIG, "Train it again, then rename it.")
        write_whole(folder / layout.CONFIG, json.dumps(config | {"id": new}, indent=2) + "\n")
    if is_recorded(folder):
        identity.rename(folder, new)
