"""The sweep or run that a verb is to manage: found by its name, and refused while something works on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.storage import layout, locks
from orchestrator.sweep.inventory import (
    DIVERGED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    ON_A_CLUSTER,
    RUN,
    SWEEP,
    entry_of,
    kind_of,
    names_in,
)
from orchestrator.text import counted


def place_of(out: Path, name: str) -> Path:
    """Where the sweep or run `name` is, if there is one; a link is not followed. Raises UserError for no name."""
    if not name or Path(name).name != name or name.casefold() in layout.TAKEN:
        raise UserError(f"{name!r} is no name of a sweep or run. {known_in(out)}")
    return out.resolve() / name


def folder_of(out: Path, name: str) -> Path:
    """The folder OUT/NAME of a sweep or run, damaged or not; a link is not followed. Raises UserError."""
    folder = place_of(out, name)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no sweep or run. {known_in(out)}")
    if kind_of(folder) is None:
        raise UserError(f"{folder}: is no folder of a sweep or run: it has none of their files. {known_in(out)}")
    return folder


def refuse_busy(folder: Path) -> None:
    """Raises UserError if a process works on the sweep or run in `folder`, or if it was sent to a cluster."""
    if holder := locks.holder(folder):
        cure = f"Stop it first: {command_for('stop', folder)}" if holder.work in ("", locks.TRAINS) else "Let it end"
        raise UserError(f"{folder}: {said_of(holder)}. {cure}.")
    if (sent := layout.sent_file(folder.parent, folder.name)).is_file():
        raise UserError(f"{folder}: was sent to a cluster, which knows it by its name. Once it is over, remove {sent}.")


@contextmanager
def errors_reported(folder: Path) -> Iterator[None]:
    """Raises UserError in place of any error of the disk: the same command goes on once that is mended."""
    try:
        yield
    except OSError as error:
        place, reason = error.filename or folder, error.strerror or str(error)
        raise UserError(
            f"{place}: cannot be changed: {reason}. Once that is mended, the same command goes on."
        ) from None


def said_of(holder: locks.Holder) -> str:
    """What the process does that holds a folder's lock, in words: `is running (process 12 on gpu1)`."""
    verbs = {locks.EVALUATES: "is being evaluated", locks.WORKS: "is in use"}
    who = f"process {holder.pid} on {holder.host}" if holder.pid else "by an earlier version of vaeorch"
    return f"{verbs.get(holder.work, 'is running')} ({who})"


def at_rest(folder: Path) -> str:
    """How a sweep or run stands that nothing works on, and the command that goes on from there, in a line."""
    entry = entry_of(folder)
    if entry.state == ON_A_CLUSTER:
        shown, stopped = command_for("cluster attach", folder), command_for("cluster stop", folder)
        return f"It was sent to a cluster. Show it: {shown}. Stop it: {stopped}"
    if entry.state == INTERRUPTED:
        again = "the same `vaeorch train`" if entry.kind == RUN else command_for("resume", folder)
        return f"It is interrupted after {counted(entry.done, UNIT[entry.kind])}. Go on: {again}"
    if entry.state in VERBS:
        return f"It has {VERBS[entry.state]}. Its results: {command_for('results', folder)}"
    return entry.note or f"It is {entry.state}."


def unfinished(folder: Path) -> str:
    """Whether a sweep or run goes on or may do so, and the command for that, in a line; empty if it has finished."""
    if holder := locks.holder(folder):
        return f"It {said_of(holder)}. Watch it: {command_for('watch', folder)}"
    return at_rest(folder) if entry_of(folder).state in (INTERRUPTED, ON_A_CLUSTER) else ""


VERBS = {FINISHED: "finished", FAILED: "finished without a result", DIVERGED: "diverged"}
UNIT = {SWEEP: "trial", RUN: "epoch"}


def known_in(out: Path) -> str:
    """The names that there are, for an error."""
    return f"Sweeps and runs in {out}: {', '.join(names_in(out)) or 'none yet'}."
