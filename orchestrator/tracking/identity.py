"""A sweep's identity in MLflow, and the store that it is sent to: the file spool/identity.json of its folder."""

import json
import os
import re
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.tracking.mlflow_store import Identity
from orchestrator.tracking.saved_view import UID_TAG
from orchestrator.tracking.spool import PARENT, Spool, TrackingError, parsed
from orchestrator.tracking.store_address import (
    ANOTHER,
    ENVIRONMENT_VARIABLE,
    MASK,
    default_store,
    for_mlflow,
    is_sqlite,
    same_store,
    sqlite_file,
    without_password,
)

PLACE = re.compile(r"^Files: `(.*)`$", re.MULTILINE)  # in a description: where the sweep is


def is_recorded(folder: Path) -> bool:
    """Whether a sweep in `folder` was ever recorded for MLflow."""
    return layout.identity_file(folder).exists()


def recorded_store(folder: Path) -> str | None:
    """The address to which the sweep in `folder` was sent last; None if it was never recorded. Raises TrackingError.

    A sweep that was given no address has the store beside it, wherever it is moved. A password is not recorded: if one
    is needed, the address is taken from the environment.
    """
    if not is_recorded(folder):
        return None
    known, given = kept(folder), os.environ.get(ENVIRONMENT_VARIABLE, "")
    uri = known.get("uri")
    if not uri or _was_default(folder, uri):
        return default_store(folder.resolve().parent)
    if MASK in uri and without_password(given) == uri:
        return given
    if MASK in uri:
        raise TrackingError(f"{uri}: the password is not kept. Give the whole address {ANOTHER}.")
    return for_mlflow(uri)


def unused_environment(folder: Path) -> str | None:
    """A line for the user if the environment names another store than the one to which the sweep in `folder` goes."""
    given = os.environ.get(ENVIRONMENT_VARIABLE)
    uri = recorded_store(folder) if given else None
    if uri is None or same_store(given, uri):
        return None
    shown = without_password(uri)
    return f"{ENVIRONMENT_VARIABLE} is not used: {folder.name} goes to {shown}. To send it elsewhere: --tracking-uri"


def opened(folder: Path, uri: str | None, new: Identity | None) -> tuple[Spool, Identity]:
    """The spool of a sweep, and its identity: as first recorded, else `new`. Raises TrackingError.

    Without `uri` the sweep has the store beside it, whether that is there yet or not.
    """
    known = _own(folder) if is_recorded(folder) else asdict(new)
    default = uri is None or same_store(uri, default_store(folder.resolve().parent))
    spool = Spool(folder / layout.SPOOL, "" if default else uri)
    try:
        write_whole(
            layout.identity_file(folder), json.dumps({**known, "uri": None if default else without_password(uri)})
        )
    except OSError as error:
        spool.close()
        raise TrackingError(f"{folder}: the tracking events cannot be written here: {error.strerror}") from None
    return spool, Identity(known["experiment"], known["sweep"], known["uid"], tuple(known.get("former") or ()))


def _own(folder: Path) -> dict[str, Any]:
    """The content of identity.json; a new one for a copy of a sweep beside it, which else would be taken for it."""
    known = kept(folder)
    if known["sweep"] == folder.name:
        return known
    others = [file.parents[1] for file in folder.resolve().parent.glob(f"*/{layout.SPOOL}/{layout.IDENTITY}")]
    if not any(_uid(other) == known["uid"] for other in others if other != folder.resolve()):
        return known
    return {**known, "experiment": folder.name, "sweep": folder.name, "uid": new_uid(), "former": []}


def _uid(folder: Path) -> str | None:
    with suppress(TrackingError):
        return kept(folder)["uid"]
    return None


def new_uid() -> str:
    return uuid.uuid4().hex[:12]


def rename(folder: Path, name: str) -> None:
    """Record that the sweep in `folder` has another name from now on; its store learns of it when it is next reached.

    Raises TrackingError for a damaged identity, and OSError.
    """
    known = kept(folder)
    former = [old for old in dict.fromkeys([*(known.get("former") or ()), known["experiment"]]) if old != name]
    write_whole(
        layout.identity_file(folder), json.dumps({**known, "experiment": name, "sweep": name, "former": former})
    )


def filter_of(folder: Path, uid: str) -> str:
    """MLflow's filter for one run of the sweep in `folder`: of a trial by its id, or PARENT. Raises TrackingError."""
    return f"tags.`{UID_TAG}` = '{kept(folder)['uid']}-{uid}'"


def kept(folder: Path) -> dict[str, Any]:
    """The content of identity.json: experiment, sweep, uid, and the address of a store that is not the default one.

    Raises TrackingError for a damaged one.
    """
    file = layout.identity_file(folder)
    try:
        found = parsed(file.read_bytes())
    except OSError as error:
        raise TrackingError(f"{file}: cannot be read: {error.strerror}") from None
    if found is None or not all(isinstance(found.get(key), str) for key in ("experiment", "sweep", "uid")):
        cure = "Remove it, then resume the sweep: MLflow gets it as a new one"
        whole = f'or write {{"experiment": NAME, "sweep": NAME, "uid": UID}} with UID from the tag {UID_TAG} of a run'
        raise TrackingError(f"{file}: is damaged. {cure}; {whole}.")
    return found


def _was_default(folder: Path, uri: str) -> bool:
    """Whether an address is that of the store beside the sweep, in the folder that the sweep had when it was recorded.

    Earlier versions recorded the default address; the sweep's folder then is in the description that they logged.
    """
    if not is_sqlite(uri):
        return False
    places = [folder.resolve(), *map(Path, PLACE.findall(_first_source(folder)))]
    stores = [place.parent / layout.STORE for place in places]
    return any(sqlite_file(uri) == store or uri == f"sqlite:///{store}" for store in stores)


def _first_source(folder: Path) -> str:
    """The description of a sweep that was logged when it began."""
    file = folder / layout.SPOOL / f"{PARENT}.jsonl"
    with suppress(OSError, StopIteration, LookupError, TypeError), file.open("rb") as lines:
        return str(parsed(next(lines))["tags"]["mlflow.note.content"])
    return ""
