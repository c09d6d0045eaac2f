"""Lines and files are written whole or not at all, whatever the disk does."""

import io
import json
import re
from pathlib import Path

import pytest

import orchestrator
import trainables
from orchestrator.storage.journal import Journal
from orchestrator.tracking.spool import Line, Spool
from tests.support.full_disk import longest_file, small_disk
from trainables.common import files

FIRST, SECOND = b'{"first":1}\n', b'{"second":"' + b"x" * 500 + b'"}\n'


def in_journal(folder: Path):
    journal = Journal(folder)
    return journal.path, lambda text: journal.append({"event": text})


def in_spool(folder: Path):
    spool = Spool(folder, "store")
    return folder / "0001.jsonl", lambda text: spool.append("0001", {"kind": text})


def in_rejected(folder: Path):
    spool = Spool(folder, "store")
    return spool.rejected_file, lambda text: spool.reject("0001", Line(0, text.encode(), None), "reason")


def test_a_line_goes_behind_others(tmp_path):
    for line in (FIRST, SECOND, FIRST):
        files.append(tmp_path / "lines", line)
    assert (tmp_path / "lines").read_bytes() == FIRST + SECOND + FIRST


def test_a_write_that_takes_a_part_is_followed_by_the_rest(tmp_path, monkeypatch):
    class Reluctant(io.FileIO):
        def write(self, data) -> int:
            return super().write(data[:7])

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *mode, **of: Reluctant(path, "a+"))
        files.append(tmp_path / "lines", FIRST)
        files.append(tmp_path / "lines", SECOND)
    assert (tmp_path / "lines").read_bytes() == FIRST + SECOND


@pytest.mark.parametrize("half", [b'{"torn', b"\0\0\0\0", b"x"])
@pytest.mark.parametrize("before", [b"", FIRST])
def test_what_was_left_half_written_is_not_glued_to_the_next_line(tmp_path, before, half):
    (tmp_path / "lines").write_bytes(before + half)
    files.append(tmp_path / "lines", SECOND)
    assert (tmp_path / "lines").read_bytes() == before + SECOND


@pytest.mark.parametrize("place", [in_journal, in_spool, in_rejected])
def test_a_line_that_the_disk_takes_in_part_leaves_nothing_and_the_next_is_whole(tmp_path, place):
    path, add = place(tmp_path)
    add("one")
    before = path.read_bytes()
    with longest_file(len(before) + 100), pytest.raises(OSError, match="File too large"):
        add("x" * 500)
    assert path.read_bytes() == before
    add("three")
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_a_disk_that_is_full_leaves_nothing_of_a_line(tmp_path):
    with small_disk(tmp_path / "small", 16) as disk:
        journal, told = Journal(disk), 0
        with pytest.raises(OSError, match="No space left"):
            while True:
                journal.append({"event": "x" * 1000})
                told += 1
        assert told > 5 and len(Journal(disk).events) == told
        assert (disk / "journal.jsonl").read_bytes().endswith(b'"}\n')


def test_nothing_is_appended_otherwise():
    """A file that is opened to be added to takes a part of a line without a word; output.py keeps the rest."""
    sources = [file for package in (orchestrator, trainables) for file in Path(package.__file__).parent.rglob("*.py")]
    adding = {file.name for file in sources if re.search(r"""open\([^)\n]*["']b?a[b+]*["']""", file.read_text())}
    assert adding == {"files.py", "output.py"}
