"""Standard output and error that may fail: a reader that has gone, a full disk, a terminal that was closed.

None of these ends what is at work. What cannot be said there is kept in the folder of the run.
"""

import errno
import io
import os
import re
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage import layout

MOST_KEPT = 2**20  # bytes that wait for a folder, or for room
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # colours and movements of a terminal
CLOSED_PIPE = 128 + 13  # how a shell shows the end of a program whose reader has gone


class Work:
    """What outlives its output, if there is any such work, and its log."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self.begun, self.log, self.kept = False, None, b""

    def say(self, words: bytes) -> None:
        """Write to the log; what has to wait, for its folder or for room, comes first next time."""
        self.kept = (self.kept + ESCAPES.sub(b"", words))[-MOST_KEPT:]
        if self.log:
            with suppress(OSError), self.log.open("ab", buffering=0) as file:
                self.kept = self.kept[file.write(self.kept) :]


work = Work()


def outlive() -> None:
    """From here on neither an output that fails nor the loss of the terminal (SIGHUP) ends this process.

    SIGTERM does, and Ctrl-C.
    """
    work.begun = True
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def log_to(folder: Path) -> None:
    """Keep in `folder` what cannot be said."""
    work.log = folder / layout.LOG


class Lasting(io.FileIO):
    """Standard output or error. Once it has failed, its words go to the log, and whoever writes hears nothing of it."""

    def __init__(self, number: int):
        super().__init__(number, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, words) -> int:
        while self.error is None:
            try:
                written = super().write(words)
            except OSError as error:
                self._lose(error)
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # it does not block, and is full for now
        work.say(bytes(words))
        return len(words)

    def isatty(self) -> bool:
        return self.error is None and super().isatty()

    def _lose(self, error: OSError) -> None:
        self.error, name = error, {1: "Standard output", 2: "Standard error"}[self.fileno()]
        where = f" Its words are in {work.log}." if work.log else ""
        note = f"{name} cannot be written ({error.strerror}): the work goes on.{where}\n".encode()
        if work.begun:
            work.say(note)
            with suppress(OSError):
                os.write(2, note if self.fileno() == 1 else b"")


def protect() -> None:
    """Put a Lasting stream in the place of standard output and of standard error. Others, as of tests, stay."""
    work.forget()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: or the next file that is opened would take its place
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


def _lasting(stream, number: int):
    try:
        if stream is not None and (stream.fileno() != number or isinstance(_raw(stream), Lasting)):
            return stream
    except (ValueError, OSError):  # no file
        return stream
    if stream is None:  # it was closed, and its number may be another file's by now
        return open(os.devnull, "w")
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors  # an unknown letter ends nothing
    return io.TextIOWrapper(io.BufferedWriter(Lasting(number)), stream.encoding, errors, line_buffering=True)


def _raw(stream):
    """What is below a stream's buffers; it may have none."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def settle() -> None:
    """The end of a verb, whose work counts. If it was to be read and no more, it has failed where its output has.

    Quietly, if the reader has gone. Raises UserError.
    """
    sys.stdout.flush()
    error = getattr(_raw(sys.stdout), "error", None)
    if error is None or work.begun:
        return
    if error.errno == errno.EPIPE:
        sys.exit(CLOSED_PIPE)
    raise UserError(f"standard output cannot be written: {error.strerror}. Free room, or choose another place for it.")
