"""Disk faults of one machine, told on another."""

import errno
import os
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported, fault_in_text, host_named

HERE = socket.gethostname()
FULL = os.strerror(errno.ENOSPC)


@dataclass
class Writer:
    """Its method fails with `error`."""

    path: Path
    error: Exception

    @host_named("path")
    def write(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "file"),
    [
        (OSError(errno.ENOSPC, FULL), f"{HERE}:/home/trial"),
        (OSError(errno.ENOSPC, FULL, "/tmp/best.pt"), f"{HERE}:/tmp/best.pt"),
        (OSError(errno.ENOSPC, FULL, "gpu1:/runs/best.pt"), "gpu1:/runs/best.pt"),  # of another host's disk
    ],
)
def test_a_fault_names_the_host_whose_disk_has_it(error, file):
    with pytest.raises(OSError, match=FULL) as caught:
        Writer(Path("/home/trial"), error).write()
    assert caught.value.filename == file
    text = "".join(traceback.format_exception(caught.value))  # as Ray passes it on
    assert fault_in_text(text).filename == file
    with pytest.raises(UserError, match=f"^{file}: cannot be written"), disk_errors_reported(Path("/runs")):
        raise caught.value


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "no", "/x"), OSError("not whole")])
def test_other_errors_are_raised_as_they_are(error):
    with pytest.raises(type(error)) as caught:
        Writer(Path("/home/trial"), error).write()
    assert caught.value is error


def test_a_drivers_own_disk_is_told_with_its_host():
    full = OSError(errno.ENOSPC, FULL)
    told = pytest.raises(UserError, match="^gpu1:/runs/tiny: cannot be written")
    with told, disk_errors_reported(Path("/runs/tiny"), host="gpu1"):
        raise full


CURES = [
    (errno.ENOSPC, "Free room"),
    (errno.EDQUOT, "Free room"),
    (errno.EROFS, "Make it writable"),
    (errno.EACCES, "Make it writable"),
    (errno.EIO, "Check the disk"),
    (errno.ENAMETOOLONG, "Shorten its path"),
]


@pytest.mark.parametrize(("number", "cure"), CURES)
def test_each_error_of_the_disk_has_its_own_cure(number, cure):
    fault, folder = OSError(number, os.strerror(number)), Path("/runs/tiny")
    for asked, told in (
        ((), f"{cure} or choose another --out."),
        ((TRY_AGAIN,), f"{cure}, then try again."),
        (("Free room, then go on: vaeorch resume tiny",), f"{cure}, then go on: vaeorch resume tiny"),
    ):
        with pytest.raises(UserError) as caught, disk_errors_reported(folder, *asked):
            raise fault
        assert caught.value.lines == (f"/runs/tiny: cannot be written: {fault.strerror}. {told}",)
