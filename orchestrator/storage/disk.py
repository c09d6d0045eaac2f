"""Errors of the disk, such as a full one: the command ends with a UserError, and can be resumed once that is mended.

Such an error may reach this process as the cause of another exception, or only in the text of one.
"""

import errno
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from orchestrator.errors import UserError

# FAULTS are the disk's own. ERRORS also has those of a folder that cannot be written.
FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.ESTALE, errno.ENOLCK)
ERRORS = (*FAULTS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
FREE_ROOM, WRITABLE, IN_THE_WAY = "Free room", "Make it writable", "Remove what is in its way"
TRY_AGAIN = f"{FREE_ROOM}, then try again."
CURES = {
    errno.ENOSPC: FREE_ROOM,
    errno.EDQUOT: FREE_ROOM,
    errno.EROFS: WRITABLE,
    errno.EACCES: WRITABLE,
    errno.EPERM: WRITABLE,
    errno.EFBIG: "Allow larger files",
    errno.ENOTDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
    errno.ENAMETOOLONG: "Shorten its path",
}
"""What mends an error."""
ERRNO_TEXT = re.compile(r"\[errno (\d+)\] [^:\n]*(?:: '([^'\n]+)')?", re.IGNORECASE)


@contextmanager
def disk_errors_reported(
    folder: Path, cure: str = f"{FREE_ROOM} or choose another --out.", host: str = ""
) -> Iterator[None]:
    """Raises UserError in place of a disk error, which only the user can mend. Other exceptions pass unchanged.

    `cure` is that of a full disk; other errors have another one in place of FREE_ROOM. `host` is this machine's name,
    where the user is at another.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        fault = error if isinstance(error, OSError) and error.errno in ERRORS else fault_in(error)
        if fault is None:
            raise
        where = place(fault, folder)
        if host and where.startswith("/"):
            where = f"{host}:{where}"
        raise UserError(
            f"{where}: cannot be written: {fault.strerror}. {cure.replace(FREE_ROOM, cure_of(fault), 1)}"
        ) from None


def cure_of(fault: OSError) -> str:
    """What mends an error of the disk, as the beginning of a sentence."""
    return CURES.get(fault.errno, "Check the disk")


@contextmanager
def faults_raised() -> Iterator[None]:
    """Raises the disk fault behind another exception, if there is one: Tune wraps exceptions in its own."""
    try:
        yield
    except Exception as error:
        if fault := fault_in(error):
            raise fault from None
        raise


def host_named(folder: str) -> Callable[[Callable], Callable]:
    """Decorates a method, whose disk faults then name this machine before the file, for readers on another one.

    A fault that names no file is told of the path in the object's field `folder`. One that another machine has named
    passes unchanged.
    """

    def decorated(method: Callable) -> Callable:
        @wraps(method)
        def named(self, *values, **more):
            try:
                return method(self, *values, **more)
            except Exception as error:
                fault = fault_in(error)
                if fault is None or not str(fault.filename or "/").startswith("/"):
                    raise
                where = f"{socket.gethostname()}:{fault.filename or getattr(self, folder)}"
                raise OSError(fault.errno, fault.strerror, where) from None  # the text of both would tell of it twice

        return named

    return decorated


def fault_in(error: BaseException) -> OSError | None:
    """The disk fault that caused an exception or that its text mentions: another process may send only the text."""
    link: BaseException | None = error
    while link:
        if isinstance(link, OSError) and link.errno in FAULTS:
            return link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return fault_in_text(str(error))


def fault_in_text(text: str) -> OSError | None:
    """The disk fault that the text of an exception mentions."""
    told = ((int(found[1]), found[2]) for found in ERRNO_TEXT.finditer(text))
    return next((OSError(number, os.strerror(number), file) for number, file in told if number in FAULTS), None)


def place(fault: OSError, folder: Path) -> str:
    """What cannot be written: `folder`, or a file outside it."""
    elsewhere = isinstance(fault.filename, str) and folder not in Path(fault.filename).parents
    return fault.filename if elsewhere else str(folder)
