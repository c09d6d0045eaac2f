"""Makes a new sweep's folder, with the resolved spec in it, and reads that again.

`storage/layout.py` names the other files there.
"""

import io
import json
import re
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.spec.earlier import as_now
from orchestrator.spec.records import SweepSpec, folder_name
from orchestrator.spec.yaml_file import read_yaml
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import disk_errors_reported
from orchestrator.storage.json_files import write_whole

NAME = re.compile(r"^name: .*$", re.MULTILINE)  # of the sweep: deeper names are indented
ROOM_BYTES = 2**20  # written and removed before a sweep starts, to detect a full disk
OTHER_PLACE = "choose another --name or --out"


def claim(out: Path, spec: SweepSpec) -> Path:
    """Make the sweep's folder OUT/NAME, write spec.yaml into it, and return its absolute path.

    Raises UserError if it holds anything already or cannot be written.
    """
    folder = (out / spec.name).resolve()
    with disk_errors_reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if taken := why_taken(folder):
            raise UserError(taken)
        write_whole(folder / "room", " " * ROOM_BYTES)
        (folder / "room").unlink()
        write_whole(folder / layout.SPEC, as_yaml(spec))
    return folder


def why_taken(folder: Path) -> str:
    """Why no sweep can begin in a folder, with the cure; empty if one can. Raises OSError."""
    if not folder.exists() or not any(folder.iterdir()):
        return ""
    if locks.holder(folder):
        watch = f"Watch it: {command_for('watch', folder)}"
        return f"{folder}: another process trains or evaluates there. {watch}; or {OTHER_PLACE}."
    cure = f"{OTHER_PLACE}, or remove the folder."
    if (folder / layout.SPEC).exists():
        return f"{folder}: holds another sweep. Go on with it: {command_for('resume', folder)}; or {cure}"
    return f"{folder}: holds other files; {cure}"


def as_yaml(spec: SweepSpec) -> str:
    """The spec as resolved: every default written out."""
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(spec.model_dump(mode="json"), text)
    return text.getvalue()


def under_own_name(spec: SweepSpec, folder: Path) -> SweepSpec:
    """The spec as files may record it: a copied folder may have a name that no spec can have; then its own stays.

    Raises UserError.
    """
    try:
        folder_name(spec.name)
    except ValueError:
        return spec.model_copy(update={"name": recorded_spec(folder).name})
    return spec


def rename(folder: Path, name: str) -> None:
    """Give the sweep in `folder` another name in its spec.yaml, and change nothing else there.

    Raises UserError for a damaged one, and OSError.
    """
    spec, file = recorded_spec(folder), folder / layout.SPEC
    text, lines = NAME.subn(f"name: {json.dumps(name)}", file.read_text(encoding="utf-8"))
    write_whole(file, text if lines == 1 else as_yaml(spec.model_copy(update={"name": name})))


def recorded_spec(folder: Path) -> SweepSpec:
    """The spec of the sweep in `folder`, as resolved; no data set is looked at. Raises UserError."""
    values = as_now(read_yaml(folder / layout.SPEC).values)
    try:
        return SweepSpec.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UserError(f"{folder / layout.SPEC}: is damaged: {error.error_count()} mistakes. Put it back.") from None
