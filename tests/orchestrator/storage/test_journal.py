"""The file of a journal: a torn end is dropped, and damage or events of another sweep are one error with its place."""

import errno
import json
import math

import pytest

from orchestrator.storage.journal import Journal, JournalError
from tests.support.journals import EPOCHS, World, opened, sample


def test_numbers_come_back_as_they_were(tmp_path):
    progress, _ = opened(World(tmp_path, [[0.0]]))
    progress.begin("0000")
    metrics = {"m": math.nan, "a": math.inf, "b": -math.inf, "c": 0.1 + 0.2, "d": 5e-324}
    progress.report("0000", 1, metrics)
    again, _ = opened(World(tmp_path, [[0.0]]))
    assert repr(again.take_news()[1]) == repr(("epoch", "0000", 1, metrics))


@pytest.mark.parametrize("torn", ['{"event":"ended","tri', '{"event":"ended"}garbage\n', "\0\0\0\n", "half"])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path, torn):
    first = sample(tmp_path)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(torn)
    again, _ = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
    assert again.standing == first.standing
    again.report("0001", 2, {"m": 3.0})
    events = [json.loads(line)["event"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert events == ["sweep", "began", "epoch", "began", "epoch", "began", "retried", "ended", "epoch"]


def test_a_damaged_line_in_the_middle_is_one_error_with_its_place(tmp_path):
    sample(tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text("".join([*lines[:2], lines[2][:20] + "\n", *lines[3:]]))
    with pytest.raises(JournalError, match=r"journal.jsonl:3: is damaged") as caught:
        Journal(tmp_path)
    assert len(caught.value.lines) == 1


def with_metrics(folder) -> list[str]:
    """The lines of a sample's journal; the trials' own folders have their epochs, too."""
    sample(folder)
    for trial, value in (("0000", 1.0), ("0001", 2.0)):
        (folder / "trials" / trial).mkdir(parents=True)
        line = {"epoch": 1, "images": 9, "seconds": 1.0, "m": value}
        (folder / "trials" / trial / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return (folder / "journal.jsonl").read_text().splitlines(keepends=True)


@pytest.mark.parametrize("cut", [45, 55, -3])
@pytest.mark.parametrize(("torn", "lines"), [(2, 8), (4, 8), (4, 6)])
def test_a_line_that_was_glued_to_half_an_epoch_costs_neither(tmp_path, torn, lines, cut):
    """As earlier versions wrote on a full disk: what is half written had been acted upon."""
    whole = with_metrics(tmp_path)[:lines]
    expected, _ = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
    (tmp_path / "journal.jsonl").write_text("".join([*whole[:torn], whole[torn][:cut], *whole[torn + 1 :]]))
    for _ in range(2):
        progress, results_file = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
        if lines == 8:
            assert results_file.entries == expected.results_file.entries and progress.standing == expected.standing
        assert results_file.entries["0000"]["best"] == {"epoch": 1, "m": 1.0}
        assert progress.core.rungs[0].scores[0] == 1.0
        (tmp_path / "trials" / "0000" / "metrics.jsonl").write_text("")  # it is in the journal again


def test_a_half_event_that_nothing_else_tells_of_is_one_error(tmp_path):
    whole = with_metrics(tmp_path)
    (tmp_path / "journal.jsonl").write_text("".join([whole[0], whole[1][:30], *whole[2:]]))
    with pytest.raises(JournalError, match=r"journal.jsonl:2: is damaged"):
        Journal(tmp_path)


def test_of_two_half_events_in_a_line_one_that_is_lost_is_one_error(tmp_path):
    whole = with_metrics(tmp_path)
    text = "".join([whole[0], whole[1][:30], whole[2][:45], *whole[3:]])
    (tmp_path / "journal.jsonl").write_text(text)
    with pytest.raises(JournalError, match=r"journal.jsonl:2: is damaged"):
        Journal(tmp_path)
    assert (tmp_path / "journal.jsonl").read_text() == text


def test_a_sound_journal_is_read_without_being_written(tmp_path):
    sample(tmp_path)
    before = (tmp_path / "journal.jsonl").stat()
    assert Journal(tmp_path).events
    after = (tmp_path / "journal.jsonl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


STRANGE = {
    "[]": "is damaged",
    "3": "is damaged",
    '{"event":3}': "is damaged",
    "[" * 100_000: "is damaged",
    '{"event":"epoch"}': "is no event of this sweep",
    '{"event":"epoch","trial":[]}': "is no event of this sweep",
    '{"event":"epoch","trial":"0001","epoch":"two","metrics":{"m":1.0}}': "is no event of this sweep",
    '{"event":"epoch","trial":"0001","epoch":2,"metrics":[]}': "is no event of this sweep",
    '{"event":"ended","trial":"0002"}': "is no event of this sweep",
    '{"event":"drawn","configuration":7,"params":{},"trials":[3]}': "is no event of this sweep",
}


@pytest.mark.parametrize("line", STRANGE)
@pytest.mark.parametrize("last", [True, False])
def test_a_line_that_is_no_event_is_one_error_with_its_place(tmp_path, line, last):
    sample(tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text("".join([*lines[:5], line + "\n", *([] if last else lines[5:])]))
    if last and line.startswith("[["):
        assert len(Journal(tmp_path).events) == 5  # not JSON: as if half written
        return
    with pytest.raises(JournalError, match=f"journal.jsonl:6: {STRANGE[line]}") as caught:
        opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
    assert len(caught.value.lines) == 1


def test_a_decision_that_comes_out_otherwise_is_one_error(tmp_path):
    sample(tmp_path)
    text = (tmp_path / "journal.jsonl").read_text()
    (tmp_path / "journal.jsonl").write_text(text.replace('"answer":"pause"', '"answer":"continue"'))
    with pytest.raises(JournalError, match="journal.jsonl:3: the journal says epoch -> continue, .* leads to pause"):
        opened(World(tmp_path, [[1.0] * EPOCHS] * 3))


@pytest.mark.parametrize(("old", "new"), [('"trial":"0002"', '"trial":"0009"'), ('"retried"', '"reborn"')])
def test_a_journal_of_something_else_is_one_error(tmp_path, old, new):
    sample(tmp_path)
    text = (tmp_path / "journal.jsonl").read_text()
    (tmp_path / "journal.jsonl").write_text(text.replace(old, new))
    with pytest.raises(JournalError, match="of another version of vaeorch, or of another sweep"):
        opened(World(tmp_path, [[1.0] * EPOCHS] * 3))


def test_a_full_disk_is_told_and_nothing_is_written_after_it(tmp_path, monkeypatch):
    progress = sample(tmp_path)
    before = (tmp_path / "journal.jsonl").read_bytes()
    append, tries = Journal.append, []

    def full(self, event):
        tries.append(event)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    progress.report("0001", 2, {"m": 1.0})
    monkeypatch.setattr(Journal, "append", append)
    progress.report("0001", 3, {"m": 1.0})  # there is room again, but an event is missing
    assert (tmp_path / "journal.jsonl").read_bytes() == before and len(tries) == 1
    with pytest.raises(OSError, match="No space left"):
        progress.check()
