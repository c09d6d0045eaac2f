"""A sweep whose driver is killed between any two things that it does: its journal leads to the same end."""

import math
import os
import random

import pytest

from orchestrator.schedulers.asha import PromotionAsha
from orchestrator.schedulers.base import CONTINUE, PAUSE
from orchestrator.storage.journal import Journal
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.state import SweepState
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

    def ended(self, trial, params):
        return trial in self.world.ends


class Silent:
    def __getattr__(self, name):
        return lambda *values: None


def drive(world: World) -> list[dict]:
    """The driver of a sweep on one slot, with all that Tune has to do with it left out; what results.json says."""
    state, results_file = opened(world)
    listeners = Listeners(results_file, Tracker(world), Silent())
    listeners.recall(state)
    broken = [
        trial
        for trial, paused in state.standing.items()
        if not paused or (trial, results_file.entries[trial]["epochs"]) not in world.drawn
    ]
    assert len(broken) <= 1  # there is one slot
    new = [trial for trial in results_file.trials if trial not in results_file.entries]
    while True:
        if broken:
            trial = broken.pop()
        elif (promoted := state.next()) is not None:
            trial = numbered(promoted)
        elif new:
            trial = new.pop(0)
        elif (closing := state.close()) is not None:
            trial = numbered(closing)
        else:
            break
        occupy(world, state, listeners, trial)
    for trial in list(state.standing):
        state.end(trial, "stopped", state.core.reason(int(trial)))
    listeners.notify(state.take_news())
    results_file.write()
    world.step()
    state.finish()
    return results_file.results()["trials"]


def occupy(world: World, state: SweepState, listeners: Listeners, trial: str) -> None:
    """Train a trial until it gives up the slot."""
    row = int(trial)
    state.begin(trial)
    repeat = world.checkpoints[row]
    while True:
        epoch = repeat or world.checkpoints[row] + 1
        value = world.table[row][epoch - 1]
        if value == DIVERGES:
            return state.end(trial, "diverged", f"at {epoch}")
        if not repeat:
            world.trained.append((trial, epoch))
            world.step()
            world.checkpoints[row] = epoch
            world.step()
        repeat = 0
        answer = state.report(trial, epoch, {"m": value})
        listeners.notify(state.take_news())
        if epoch == EPOCHS:
            return state.end(trial, "completed", None)
        if answer == PAUSE:
            world.step()
            world.drawn.add((trial, epoch))
            return listeners.notify(state.take_news())


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
    again, results_file = opened(World(tmp_path, [[1.0] * EPOCHS] * 3))
    assert again.standing == first.standing == {"0000": True, "0001": False}
    assert results_file.entries == first.results_file.entries and results_file.entries["0002"]["retries"] == 1
    assert again.core.rungs[0].scores == first.core.rungs[0].scores == {0: 1.0, 1: 2.0, 2: -math.inf}
    assert again.core.rungs[0].promoted == {1}
    assert again.take_news() == first.take_news()


def test_epochs_that_are_known_change_nothing_and_lead_where_the_trial_stood(tmp_path):
    state = sample(tmp_path)
    size = os.path.getsize(tmp_path / "journal.jsonl")
    assert state.report("0000", 1, {"m": 9.0}) == PAUSE
    assert state.report("0001", 1, {"m": 9.0}) == CONTINUE
    assert os.path.getsize(tmp_path / "journal.jsonl") == size


def test_what_a_sweep_was_made_with_is_listed_once_for_each_change(tmp_path):
    one, two = {"code": "1"}, {"code": "2"}
    later = [{"made_with": one}, {"made_with": one, "spec": {}}, {"made_with": two}, {"made_with": two, "data": {}}]
    for facts in [*later, {"made_with": one}]:
        results_file = ResultsFile(tmp_path, "sim", {"metric": "m", "mode": "max"}, {})
        SweepState(PromotionAsha("max", EPOCHS, GRACE, ETA), results_file, Journal(tmp_path)).start(**facts)
    assert results_file.made_with == [one, two, one]
