"""The verb `stop`: ends a running sweep or run in order, by a SIGTERM to the very process that holds its lock."""

import os
import signal
import time
from pathlib import Path

from orchestrator.commands.target import at_rest, folder_of, said_of
from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.storage import locks
from orchestrator.storage.locks import Holder
from orchestrator.terminal import console, say

LOOK_S = 0.1  # between looks whether it has ended


def stop(name: str, out: Path) -> None:
    """End the sweep or run OUT/NAME, and wait until it has ended. Raises UserError for one that does not run here."""
    folder, to = folder_of(out, name), console()
    holder = trainer_of(folder)
    _end(folder, holder)
    say(to, f"stopping     {folder} (process {holder.pid})")
    try:
        while (now := locks.holder(folder)) and now.pid in (0, holder.pid):  # 0: it is just releasing the lock
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        say(to, "It is still coming to its end.")
        raise
    say(to, "stopped      what it has is kept")
    say(to, at_rest(folder))


def trainer_of(folder: Path) -> Holder:
    """The process that trains in `folder`. Raises UserError if none does."""
    holder = locks.holder(folder)
    if holder is None:
        raise UserError(f"{folder}: does not run. {at_rest(folder)}")
    if holder.work not in ("", locks.TRAINS):
        raise UserError(f"{folder}: does not train: it {said_of(holder)}. That ends by itself, or by Ctrl-C.")
    return holder


def _end(folder: Path, holder: Holder) -> None:
    """Send SIGTERM to the process that holds the lock of `folder`. Raises UserError where that cannot be done here."""
    if not holder.pid:
        raise UserError(f"{folder}: {said_of(holder)}, which did not note its process. End it by Ctrl-C or SIGTERM.")
    if holder.host != Holder.own("").host:
        raise UserError(f"{folder}: {said_of(holder)}. On that host: {command_for('stop', folder)}")
    try:
        _signal(folder, holder)
    except ProcessLookupError:  # it has just ended
        return
    except PermissionError:
        raise UserError(f"{folder}: {said_of(holder)}, and belongs to another user, who can stop it.") from None


def _signal(folder: Path, holder: Holder) -> None:
    """Send the signal by a handle that names the process itself, where there are such: its number may be reused."""
    if not hasattr(os, "pidfd_open"):
        os.kill(holder.pid, signal.SIGTERM)
        return
    handle = os.pidfd_open(holder.pid)
    try:
        if holder.here and locks.holder(folder) == holder:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    finally:
        os.close(handle)
