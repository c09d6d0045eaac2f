"""A sweep whose driver is killed between any two things that it does: its journal leads to the same end."""

import errno
import json
import math
import os
import random

import pytest

from orchestrator.schedulers.asha import PromotionAsha
from orchestrator.schedulers.base import CONTINUE, PAUSE
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.sweep.events import Audience
from orchestrator.sweep.results_file import Ledger
from orchestrator.sweep.state import Progress
from tests.support.journals import EPOCHS, ETA, GRACE, TRIALS, Killed, World, journal_of, numbered, opened, sample

DIVERGES = -1.0  # a value at which a trial of these tests diverges


class Tracker:
    """Keeps what it is told, as the real one does: nothing twice, and the first end holds."""

    def __init__(self, world):
        self.world = world

    def trial_started(self, trial, params, name):
        self.world.step()
        self.world.open.add(trial)
        self.world.ends.pop(trial, None)

    def epoch(self, trial, epoch, metrics):
        self.world.step()
        assert trial in self.world.open
        assert self.world.told.setdefault((trial, epoch), repr(metrics)) == repr(metrics)

    def trial_ended(self, trial, status, reason, best):
        self.world.step()
        self.world.ends.setdefault(trial, (status, reason, best["m"] if best else None))

    def ended(self, trial):
        return trial in self.world.ends


class Silent:
    def __getattr__(self, name):
        return lambda *values: None


def drive(world: World) -> list[dict]:
    """The driver of a sweep on one slot, with all that Tune has to do with it left out; what results.json says."""
    progress, ledger = opened(world)
    audience = Audience(ledger, Tracker(world), Silent())
    audience.recall(progress)
    broken = [
        trial
        for trial, paused in progress.standing.items()
        if not paused or (trial, ledger.entries[trial]["epochs"]) not in world.drawn
    ]
    assert len(broken) <= 1  # there is one slot
    new = [trial for trial in ledger.trials if trial not in ledger.entries]
    while True:
        if broken:
            trial = broken.pop()
        elif (promoted := progress.next()) is not None:
            trial = numbered(promoted)
        elif new:
            trial = new.pop(0)
        elif (closing := progress.close()) is not None:
            trial = numbered(closing)
        else:
            break
        occupy(world, progress, audience, trial)
    for trial in list(progress.standing):
        progress.end(trial, "stopped", progress.core.reason(int(trial)))
    audience.tell(progress.take_news())
    ledger.write()
    world.step()
    progress.finish()
    return ledger.results()["trials"]


def occupy(world: World, progress: Progress, audience: Audience, trial: str) -> None:
    """Train a trial until it gives up the slot."""
    row = int(trial)
    progress.begin(trial)
    repeat = world.checkpoints[row]
    while True:
        epoch = repeat or world.checkpoints[row] + 1
        value = world.table[row][epoch - 1]
        if value == DIVERGES:
            return progress.end(trial, "diverged", f"at {epoch}")
        if not repeat:
            world.trained.append((trial, epoch))
            world.step()
            world.checkpoints[row] = epoch
            world.step()
        repeat = 0
        answer = progress.report(trial, epoch, {"m": value})
        audience.tell(progress.take_news())
        if epoch == EPOCHS:
            return progress.end(trial, "completed", None)
        if answer == PAUSE:
            world.step()
            world.drawn.add((trial, epoch))
            return audience.tell(progress.take_news())


def a_table(seed: int) -> list[list[float]]:
    values = random.Random(seed)
    odd = [0.0, 0.0, 0.5, 0.5, math.nan, math.inf, DIVERGES]
    return [
        [values.choice(odd) if values.random() < 0.3 else values.random() for _ in range(EPOCHS)] for _ in range(TRIALS)
    ]


def outcome(world: World, entries: list[dict]) -> str:
    known = [{key: value for key, value in entry.items() if key != "checkpoint"} for entry in entries]
    told, ends = sorted(world.told.items()), sorted(world.ends.items())
    return repr((known, told, ends, sorted(world.drawn), journal_of(world.folder)))


def world_in(folder, table) -> World:
    folder.mkdir()
    return World(folder, table)


FEW = {  # trials: so the search is to be closed, at both rungs or at one, and again when who went on diverges
    "one": [[0.0] * EPOCHS],
    "two": [[0.0] * EPOCHS, [1.0] * EPOCHS],
    "diverges late": [[0.0] * EPOCHS, [1.0, 1.0, DIVERGES, 1.0], [math.nan] * EPOCHS],
}


@pytest.mark.parametrize("table", [*map(a_table, range(4)), *FEW.values()], ids=[*map(str, range(4)), *FEW])
def test_a_driver_killed_after_any_step_and_started_again_comes_to_the_same_end(tmp_path, fast_disk, table):
    unbroken = world_in(tmp_path / "unbroken", table)
    expected = outcome(unbroken, drive(unbroken))
    closed = [event["answer"] for event in journal_of(unbroken.folder) if event["event"] == "closing"]
    assert closed or len(table) == TRIALS
    for cut in range(10**6):
        world = world_in(tmp_path / str(cut), table)
        world.left = cut
        try:
            entries, killed = drive(world), False
        except Killed:
            world.left, killed = math.inf, True
            entries = drive(world)
        assert outcome(world, entries) == expected, f"killed after {cut} things"
        extra = len(world.trained) - len(unbroken.trained)
        assert 0 <= extra <= 1  # at most the epoch that it was in
        if not killed:
            break
    assert cut > 100 or len(table) < TRIALS and cut > 30


@pytest.mark.parametrize("every", [1, 2, 3, 5, 11, 40])
def test_a_driver_killed_again_and_again_comes_to_the_same_end(tmp_path, fast_disk, every):
    """Each process does `every` new things, then dies: what it repeats of the past must not stop it for ever."""
    table = a_table(4)
    unbroken = world_in(tmp_path / "unbroken", table)
    expected = outcome(unbroken, drive(unbroken))
    world, kills = world_in(tmp_path / "broken", table), 0
    while True:
        before = (len(world.trained), len(world.told), os.path.getsize(world.folder / "journal.jsonl") if kills else 0)
        world.left = every + 3 * kills
        try:
            entries = drive(world)
            break
        except Killed:
            kills += 1
            after = (len(world.trained), len(world.told), os.path.getsize(world.folder / "journal.jsonl"))
            assert after >= before
    assert outcome(world, entries) == expected and kills >= 3


def test_a_closing_promotion_is_an_event_of_its_own(tmp_path):
    world = World(tmp_path, FEW["diverges late"])
    entries = drive(world)
    found = [(event["event"], event["answer"]) for event in journal_of(world.folder) if "clos" in event["event"]]
    assert found == [("closing", 1), ("closing", 0), ("closing", 0)]
    assert [(entry["status"], entry["epochs"]) for entry in entries] == [
        ("completed", 4),
        ("diverged", 2),
        ("stopped", 1),
    ]


def test_the_tables_have_seen_every_kind_of_end(tmp_path):
    ends = set()
    for seed in range(5):
        world = world_in(tmp_path / str(seed), a_table(seed))
        ends |= {entry["status"] for entry in drive(world)}
    assert ends == {"completed", "stopped", "diverged"}


def test_what_is_played_again_is_where_the_sweep_stood(tmp_path):
    first = sample(tmp_path)
    again, ledger = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
    assert again.standing == first.standing == {"0000": True, "0001": False}
    assert ledger.entries == first.ledger.entries and ledger.entries["0002"]["retries"] == 1
    assert again.core.rungs[0].scores == first.core.rungs[0].scores == {0: 1.0, 1: 2.0, 2: -math.inf}
    assert again.core.rungs[0].promoted == {1}
    assert again.take_news() == first.take_news()


def test_epochs_that_are_known_change_nothing_and_lead_where_the_trial_stood(tmp_path):
    progress = sample(tmp_path)
    size = os.path.getsize(tmp_path / "journal.jsonl")
    assert progress.report("0000", 1, {"m": 9.0}) == PAUSE
    assert progress.report("0001", 1, {"m": 9.0}) == CONTINUE
    assert os.path.getsize(tmp_path / "journal.jsonl") == size


def test_what_a_sweep_was_made_with_is_listed_once_for_each_change(tmp_path):
    one, two = {"code": "1"}, {"code": "2"}
    later = [{"made_with": one}, {"made_with": one, "spec": {}}, {"made_with": two}, {"made_with": two, "data": {}}]
    for facts in [*later, {"made_with": one}]:
        ledger = Ledger(tmp_path, "sim", {"metric": "m", "mode": "max"}, {})
        Progress(PromotionAsha("max", EPOCHS, GRACE, ETA), ledger, Journal(tmp_path)).start(**facts)
    assert ledger.made_with == [one, two, one]


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
        progress, ledger = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
        if lines == 8:
            assert ledger.entries == expected.ledger.entries and progress.standing == expected.standing
        assert ledger.entries["0000"]["best"] == {"epoch": 1, "m": 1.0}
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
