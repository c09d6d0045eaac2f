"""Standard output and error that may fail: the reader has gone, the disk is full, the terminal was closed.

None of these ends work that has begun. Output that cannot be written goes to a log in the folder of the run.
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

MOST_KEPT = 2**20  # bytes that wait until the log has a folder, or the disk has room
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # a terminal's codes for colours and cursor movements
CLOSED_PIPE = 128 + 13  # the exit code that shells report when the reader of a pipe has gone (SIGPIPE)


class Work:
    """Whether work has begun that outlives its output, and the log for output that cannot be written."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self.begun, self.log, self.kept = False, None, b""

    def say(self, words: bytes) -> None:
        """Append to the log. Bytes that cannot be written yet are kept, and come first next time."""
        self.kept = (self.kept + ESCAPES.sub(b"", words))[-MOST_KEPT:]
        if self.log:
            with suppress(OSError), self.log.open("ab", buffering=0) as file:
                self.kept = self.kept[file.write(self.kept) :]


work = Work()


def outlive() -> None:
    """From here on neither failing output nor the loss of the terminal (SIGHUP) ends this process.

    SIGTERM and Ctrl-C still do.
    """
    work.begun = True
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def log_to(folder: Path) -> None:
    """Log in `folder` what standard output and error cannot take."""
    work.log = folder / layout.LOG


class Lasting(io.FileIO):
    """Standard output or error. Once it has failed, its bytes go to the log, and writers see no error."""

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
                select.select([], [self], [])  # the stream is non-blocking and full: wait for room
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
    """Replace standard output and error by Lasting streams. Streams on other files, such as a test's, stay."""
    work.forget()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file to be opened would get its number
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


def _lasting(stream, number: int):
    try:
        if stream is not None and (stream.fileno() != number or isinstance(_raw(stream), Lasting)):
            return stream
    except (ValueError, OSError):  # the stream is on no file
        return stream
    if stream is None:  # it was closed, and another file may have its number by now
        return open(os.devnull, "w")
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors  # no error for an unencodable character
    return io.TextIOWrapper(io.BufferedWriter(Lasting(number)), stream.encoding, errors, line_buffering=True)


def _raw(stream):
    """The stream below a stream's buffers; None if there is none."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def settle() -> None:
    """Flush at the end of a verb. A verb that only prints has failed if its output could not be written.

    Then this exits without a message if the reader has gone, else raises UserError. Work that has begun (`outlive`)
    has not failed.
    """
    sys.stdout.flush()
    error = getattr(_raw(sys.stdout), "error", None)
    if error is None or work.begun:
        return
    if error.errno == errno.EPIPE:
        sys.exit(CLOSED_PIPE)
    from orchestrator.storage.disk import cure_of

    cure = f"{cure_of(error)}, or choose another place for it."
    raise UserError(f"standard output cannot be written: {error.strerror}. {cure}")
