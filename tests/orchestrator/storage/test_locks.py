"""Who holds a folder's lock: the exact process is known, and asking disturbs nobody."""

import fcntl
import os
import socket
import subprocess
import sys
import threading

import pytest

from orchestrator.errors import UserError
from orchestrator.storage import layout, locks
from orchestrator.storage.locks import Holder, birth, driver, holder
from tests.support import ROOT

HOLD = """
import sys
from pathlib import Path
from orchestrator.storage.locks import TRAINS, driver
with driver(Path(sys.argv[1]), TRAINS):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock of a folder until its standard input closes."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_process_that_holds_a_lock_is_known_exactly_until_it_ends(tmp_path, other):
    found = holder(tmp_path)
    assert (found.work, found.host, found.pid) == (locks.TRAINS, socket.gethostname(), other.pid)
    assert found.here and found.born == birth(other.pid)
    with pytest.raises(UserError, match="another process trains"), driver(tmp_path):
        pass
    assert holder(tmp_path) == found  # the refused one has wiped nothing out
    other.stdin.close()
    other.wait()
    assert holder(tmp_path) is None


def test_a_killed_process_holds_nothing_whatever_its_lock_still_says(tmp_path, other):
    other.kill()
    other.wait()
    assert str(other.pid) in (tmp_path / layout.DRIVER_LOCK).read_text()
    assert holder(tmp_path) is None and holder(tmp_path / "absent") is None


def test_a_process_that_was_given_the_number_of_another_is_not_taken_for_it():
    assert Holder.own(locks.WORKS).here
    assert not Holder(locks.TRAINS, socket.gethostname(), os.getpid(), "1").here
    assert not Holder(locks.TRAINS, "elsewhere", os.getpid(), birth(os.getpid())).here
    assert not Holder().here


def test_a_lock_that_an_earlier_version_holds_is_held_by_nobody_known(tmp_path):
    with (tmp_path / layout.DRIVER_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holder(tmp_path) == Holder()


def test_a_driver_waits_for_who_only_asks(tmp_path):
    (tmp_path / layout.DRIVER_LOCK).touch()
    asking = (tmp_path / layout.DRIVER_LOCK).open()
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.05, asking.close).start()
    with driver(tmp_path):
        assert holder(tmp_path).pid == os.getpid()
