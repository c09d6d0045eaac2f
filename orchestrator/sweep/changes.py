"""What has changed since a sweep or a run began: a change that contradicts it is refused, any other is reported.

A journal's events "sweep" and "changed" hold the facts: the `spec` as resolved, a fingerprint of the `data` files, and
what it is `made_with` whenever that changes. A run that is trained alone has such events in origin.json.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.errors import UserError
from orchestrator.spec.earlier import as_begun
from orchestrator.spec.yaml_file import read_yaml
from orchestrator.storage import layout
from orchestrator.storage.journal import Journal
from orchestrator.storage.json_files import write_whole
from trainables.common.errors import DataError
from trainables.data import Dataset
from trainables.data.access import DataAccess
from trainables.data.fingerprints import Fingerprint
from trainables.run import Run

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

FACTS = ("sweep", "changed", "extended")  # events that hold them
FREE = ("name", "description", "paper", "overrides", "evaluate", "pictures", "pictures_every", "budget", "resources")
"""Of a spec, what no result depends on."""
SHOWN, LONGEST, DIGITS = 3, 60, 8  # changes of a spec; characters of a value; digits of a digest
NAMES = {"code": "code of trainables", "orchestrator": "code of orchestrator", "data_root": "data root"}

Event = dict[str, Any]
Leaves = dict[tuple[str, ...], Any]


@dataclass(frozen=True)
class Origin:
    """How a sweep or run began, and what it was made with at first and at last; empty where that was not recorded.

    Spec and data are those of its last extension, if it was extended.
    """

    spec: dict[str, Any] | None = None
    data: Fingerprint | None = None
    first: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)


def origin(events: Iterable[Event]) -> Origin:
    """The Origin that the events of a journal record."""
    facts = [event for event in events if event["event"] in FACTS]
    made = [_known(event.get("made_with") or {}) for event in facts]
    first = {name: value for known in reversed(made) for name, value in known.items()}
    last = {name: value for known in made for name, value in known.items()}
    said = {name: event[name] for event in facts for name in ("spec", "data") if name in event}
    return Origin(said.get("spec"), said.get("data"), first, last)


def _known(made_with: dict[str, Any]) -> dict[str, Any]:
    """What it was made with, by name. An older digest of the code, which covered packages too, is left out."""
    packages = made_with.get("packages", {})
    kept = {name: value for name, value in made_with.items() if packages or name != "code"}
    return {name: value for name, value in kept.items() if name != "packages"} | packages


def told(of: Origin, made_with: dict[str, Any]) -> list[str]:
    """A line for each thing that differs from when it began or last ran, and one line for all that is not known."""
    lines, now = [], _known(made_with)
    for name, value in now.items():
        if name in of.first and not of.first[name] == of.last[name] == value:
            last = f"{_short(of.last[name])} when it last ran, " if of.last[name] != of.first[name] else ""
            lines.append(f"{_named(name)}: {_short(of.first[name])} when it began, {last}{_short(value)} now")
    unknown = [_named(name) for name in now if name not in of.first]
    unknown += ["data files"] * (of.data is None)
    if unknown:
        lines.append(f"whether these have changed since it began is not known, nobody noted them: {', '.join(unknown)}")
    return lines


def _named(name: str) -> str:
    return NAMES.get(name, name)


def _short(value: Any) -> str:
    text = str(value)
    return text[:DIGITS] if len(text) == 64 else text


def check_spec(of: Origin, spec: "SweepSpec", file: Path) -> list[str]:
    """A line for each change of the spec on which no result depends. Raises UserError for all others, in one line."""
    if of.spec is None:
        return [f"whether {file.name} has changed since the sweep began is not known: nobody noted it"]
    try:
        before = type(spec).model_validate_json(json.dumps(as_begun(of.spec)))
    except ValidationError:
        return [f"{file.name} cannot be compared with what another version of vaeorch has noted of it"]
    changes = different(before.model_dump(mode="json"), spec.model_dump(mode="json"))
    if refused := {path: words for path, words in changes.items() if path[0] not in FREE}:
        place = read_yaml(file).place(next(iter(refused))).text
        raise UserError(f"{place}: was changed since the sweep began: {_some(refused)}. {_cure('the values')}")
    return [f"{file.name}: {words}" for words in changes.values()]


def check_run(folder: Path, run: Run) -> None:
    """Raises UserError, one line that says what differs, if another run than this was trained alone in `folder`."""
    try:
        known = json.loads((folder / layout.CONFIG).read_text(encoding="utf-8"))["run"]
        before = Run.model_validate(known)
    except (OSError, ValueError, LookupError, TypeError):  # the checkpoint records its run, too
        return
    if changes := different({"run": before.model_dump(mode="json")}, {"run": run.model_dump(mode="json")}):
        cure = f"Choose another --name or --out, or remove {folder}"
        raise UserError(f"{folder}: holds another run: {_some(changes)}. {cure}.")


def _some(changes: dict[tuple[str, ...], str]) -> str:
    more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return "; ".join(list(changes.values())[:SHOWN]) + more


def different(before: dict[str, Any], now: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """What differs between two specs: path -> a description."""
    old, new = leaves(before), leaves(now)
    paths = [path for path in old | new if old.get(path) != new.get(path)]
    return {path: f"{'.'.join(path)} was {_value(old, path)}, is {_value(new, path)}" for path in paths}


def leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> Leaves:
    """The values in a nested dict that are no dicts with entries, by their paths."""
    found: Leaves = {}
    for name, value in values.items():
        path = (*above, name)
        found |= leaves(value, path) if isinstance(value, dict) and value else {path: value}
    return found


def _value(of: Leaves, path: tuple[str, ...]) -> str:
    text = "absent" if of.get(path) is None else json.dumps(of[path])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _cure(what: str) -> str:
    return f"Put {what} back, or start anew with another --name."


def datasets(runs: Iterable[dict[str, Any]]) -> list[Dataset]:
    """The data sets of Runs (given as plain values), each once."""
    by_data = {json.dumps(run["data"], sort_keys=True): run for run in runs}
    return list(dict.fromkeys(Run.model_validate(run).data for run in by_data.values()))


def fingerprints(of: Iterable[Dataset], data: DataAccess) -> Fingerprint:
    """The fingerprint of all files of some data sets. Raises UserError."""
    with _told():
        return {name: known for dataset in of for name, known in data.fingerprint(dataset).items()}


def check_data(of: Origin, sets: Iterable[Dataset], data: DataAccess) -> None:
    """Raises UserError, a line for each file of the data sets that has changed since it was read at the beginning."""
    if of.data is None:
        return
    with _told():
        files = dict.fromkeys(file for dataset in sets for file in data.changed(of.data, dataset))
    if files:
        raise UserError(*(f"{file}: has changed since training began on it. {_cure('the old one')}" for file in files))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from None


def origin_of_run(folder: Path) -> Origin:
    """How the run that was trained alone in `folder` began."""
    return origin(_events(folder))


def note_run(
    folder: Path, sets: Iterable[Dataset], data: DataAccess, made_with: dict[str, Any], taken_up: bool
) -> None:
    """Record how a run that is trained alone begins or, if `taken_up`, resumes. Raises OSError and UserError."""
    events = _events(folder) if taken_up else []
    if not events:
        events = [{"event": "sweep", "made_with": made_with, "data": fingerprints(sets, data)}]
    elif events[-1]["made_with"] != made_with:
        events.append({"event": "changed", "made_with": made_with})
    write_whole(folder / layout.ORIGIN, json.dumps(events, indent=2) + "\n")


def _events(folder: Path) -> list[Event]:
    """The events of origin.json; none if the run's version did not record them, or if they are damaged."""
    try:
        events = json.loads((folder / layout.ORIGIN).read_text(encoding="utf-8"))
        return events if all(event["event"] in FACTS and "made_with" in event for event in events) else []
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return []


def recorded_origin(folder: Path) -> Origin:
    """How the sweep or run in `folder` began.

    Only the process that has the folder's lock may call this, as it opens the journal. Raises JournalError.
    """
    return origin_of_run(folder) if (folder / layout.CONFIG).exists() else origin(Journal(folder).events)
