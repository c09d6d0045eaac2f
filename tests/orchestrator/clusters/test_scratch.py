"""The folder of a private Ray: whose it is, where it lies, when it goes. exposure.py has who sees what of it."""

import os
import re
import socket
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator.clusters import scratch
from orchestrator.clusters.scratch import DRIVER, LONGEST_BYTES, PREFIX, RAYS_OWN, remove_left_over, scratch_folder


def left_over(parent: Path, host: str | None) -> Path:
    """A folder as a killed driver on some machine leaves it; None: it was killed before it said on which."""
    folder = parent / f"{PREFIX}left"
    (folder / RAYS_OWN / "session").mkdir(parents=True)
    if host is not None:
        (folder / DRIVER).write_text(host)
    return folder


@pytest.mark.parametrize(("host", "stays"), [(socket.gethostname(), False), ("another", True)])
def test_of_left_over_folders_those_of_this_machine_are_removed(tmp_path, host, stays):
    folder = left_over(tmp_path, host)
    remove_left_over(tmp_path)
    assert folder.exists() == stays


@pytest.mark.parametrize("host", [None, ""])
def test_a_folder_whose_driver_was_killed_before_it_left_its_name_is_removed_after_a_while(tmp_path, host):
    """Or after it had removed its name, and before it had removed the folder, which Ray's processes fill again."""
    folder = left_over(tmp_path, host)
    remove_left_over(tmp_path)
    assert folder.exists()
    before = time.time() - 2 * scratch.NAMED_WITHIN_S
    os.utime(folder, (before, before))
    remove_left_over(tmp_path)
    assert not folder.exists()


def test_a_folder_whose_driver_lives_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "PLAIN", re.compile(".*"))
    with scratch_folder() as mine:
        with scratch_folder() as other:
            assert mine.is_dir() and other.is_dir() and mine != other
        assert mine.is_dir() and not other.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a" * (LONGEST_BYTES - 4), "\u00e4" * (LONGEST_BYTES - 5), "with space"])
def test_a_folder_that_is_too_long_in_bytes_or_odd_for_rays_sockets_is_not_taken(name, monkeypatch):
    parent = Path("/tmp") / name
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    with scratch_folder() as folder:
        assert folder.parents[1] == Path("/tmp") and len(os.fsencode(folder)) < 30
