"""Which trials share a slot, without Ray or training: whole sweeps on several slots, with whatever can happen there."""

import itertools
import json
from pathlib import Path

import pytest

from orchestrator.space.stackable import kind_of
from orchestrator.sweep.shared_slots import SharedSlots
from orchestrator.sweep.state import MEMORY, NODE, SLOT
from orchestrator.sweep.trial_queue import TrialQueue
from tests.support.journals import Killed
from tests.support.one_slot import ASHA, LOW, OPTUNA, drive, entries_of, opened, spec_of, value_of

NONE = {"name": "none"}
MANY = {"trials": 9, "scheduler": NONE}

pytestmark = pytest.mark.usefixtures("fast_disk")


class Machine:
    """Slots that train: what Tune and they do with the decisions, and no more. Slots take turns."""

    def __init__(self, queue: TrialQueue, slots: int = 2, most: int = 3, refused: str | None = None):
        self.queue, self.state, self.refused = queue, queue.state, refused
        self.shared = SharedSlots(queue, slots, most)
        self.trained = {name: entry["epochs"] for name, entry in self.state.results_file.entries.items()}
        self.repeats = {name for name, epochs in self.trained.items() if epochs}  # as a slot does that resumes them
        self.seen: list[list[str]] = []  # the trials of each step
        self.resumed: list[str] = []

    def run(self) -> TrialQueue:
        slots = range(len(self.shared.members))
        while True:
            steps = [self.step(slot) for slot in slots]
            if not any(steps) and not self.shared.close():
                break
        assert self.queue.complete()
        self.state.finish()
        return self.queue

    def step(self, slot: int) -> bool:
        """Fill a slot and train there until its trials change. Returns whether there was any."""
        configs = self.shared.fill(slot)
        names = [config["id"] for config in configs]
        if not names:
            return False
        if not self.shared.decided(slot):
            if self.refused:
                self.shared.refuse(slot, self.refused)
                return True
            self.shared.begin(slot, self.resumed.append)
            self.shared.accept(slot, gain=2.0, equal=True)
        self.shared.begin(slot, self.resumed.append)
        self.train(slot, configs, names)
        return True

    def train(self, slot: int, configs: list[dict], names: list[str]) -> None:
        self.seen.append(names)
        while self.shared.report(slot, [self.result(config) for config in configs]):
            self.seen.append(names)

    def result(self, config: dict) -> dict:
        name = config["id"]
        epoch = self.trained[name] = self.trained.get(name, 0) + (name not in self.repeats)
        self.repeats.discard(name)
        value = value_of(config["run"], epoch)
        if value is None:
            return {"id": name, "diverged": f"at epoch {epoch}"}
        told = {"epoch": epoch, "metrics": {"val/elbo": value}, "seconds": 1.0, "diverged": None}
        return {"id": name, "finished": epoch == config["last_epoch"]} | told


def opened_in(folder: Path, *given, **more) -> TrialQueue:
    folder.mkdir(parents=True, exist_ok=True)
    return opened(folder, *given, **more)


def events_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def facts_of(queue: TrialQueue) -> list[tuple]:
    return [(entry["id"], entry["status"], entry["epochs"], entry["best"]) for entry in entries_of(queue)]


@pytest.mark.parametrize("most", [1, 2, 4, 64])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_trials_that_none_stops_end_as_on_a_slot_of_their_own(tmp_path, slots, most):
    spec = spec_of(**MANY)
    alone = drive(opened_in(tmp_path / "alone", spec))
    shared = Machine(opened_in(tmp_path / "shared", spec), slots, most)
    assert facts_of(shared.run()) == facts_of(alone)
    assert max(map(len, shared.seen)) <= most


def test_trials_of_one_slot_are_of_one_kind(tmp_path):
    machine = Machine(opened(tmp_path, spec_of(**MANY)), most=9)
    machine.run()
    trials = machine.state.results_file.trials
    assert all(len({kind_of(trials[name]["run"]) for name in names}) == 1 for names in machine.seen)
    assert max(map(len, machine.seen)) > 1


def test_slots_share_the_trials_evenly(tmp_path):
    shared = SharedSlots(opened(tmp_path, spec_of(LOW, trials=8, scheduler=NONE)), slots=2, most=64)
    assert [len(shared.fill(slot)) for slot in (0, 1)] == [4, 4]


@pytest.mark.parametrize("changes", [{"scheduler": ASHA}, {"scheduler": ASHA, "searcher": OPTUNA}])
@pytest.mark.parametrize("slots", [1, 2])
def test_asha_and_tpe_promote_and_end_all(tmp_path, slots, changes):
    machine = Machine(opened(tmp_path, spec_of(trials=12, **changes)), slots)
    entries = entries_of(machine.run())
    assert len(entries) == 12 and all(entry["status"] for entry in entries)
    best = max((entry for entry in entries if entry["best"]), key=lambda entry: entry["best"]["val/elbo"])
    assert best["status"] == "completed"


def test_confirming_trials_wait_for_the_search(tmp_path):
    spec = spec_of(LOW, trials=4, scheduler=ASHA, confirm={"top": 2, "seeds": 2})
    machine = Machine(opened(tmp_path, spec), most=4)
    queue = machine.run()
    confirming = entries_of(queue, "confirm")
    assert [entry["status"] for entry in confirming] == ["completed"] * 4
    first = next(place for place, names in enumerate(machine.seen) if set(names) & queue.state.confirming)
    searching = set(itertools.chain(*machine.seen[first:])) - queue.state.confirming
    assert not searching


def test_killed_after_any_event_it_ends_all_the_same(tmp_path):
    spec = spec_of(LOW, trials=4, scheduler=NONE)
    unbroken = Machine(opened_in(tmp_path / "unbroken", spec)).run()
    for lines in range(2, len(events_in(tmp_path / "unbroken")) + 1):
        folder = tmp_path / str(lines)
        with pytest.raises(Killed):
            Machine(opened_in(folder, spec, lines)).run()
        assert facts_of(Machine(opened_in(folder, spec)).run()) == facts_of(unbroken)


def test_a_budget_ends_those_in_slots_after_their_epoch(tmp_path):
    machine = Machine(opened(tmp_path, spec_of(LOW, trials=8, scheduler=NONE, budget={"epochs": 5})), slots=1, most=4)
    entries = entries_of(machine.run())
    assert [entry["epochs"] for entry in entries] == [2, 2, 2, 2]
    assert {entry["status"] for entry in entries} == {"stopped"}


def test_what_cannot_be_trained_together_is_trained_alone(tmp_path):
    machine = Machine(opened(tmp_path, spec_of(LOW, trials=5, scheduler=NONE)), refused="they are too large")
    queue = machine.run()
    assert all(len(names) == 1 for names in machine.seen)
    assert {entry["status"] for entry in entries_of(queue)} == {"completed"}
    [decision] = queue.state.results_file.results()["stacking"]
    assert (decision["stacked"], decision["why"]) == (False, "they are too large")


def test_what_is_found_of_later_trials_is_recorded_where_it_is_worse(tmp_path):
    machine = Machine(opened(tmp_path, spec_of(LOW, trials=3, scheduler=NONE)))
    shared, state = machine.shared, machine.state
    shared.fill(0)
    for equal in (True, True, False, True):
        shared.accept(0, gain=2.0, equal=equal)
    assert [one["equal"] for one in state.results_file.results()["stacking"]] == [True, False]


def test_a_resumed_sweep_knows_what_was_decided(tmp_path):
    spec = spec_of(LOW, trials=4, scheduler=NONE)
    queue = opened(tmp_path, spec)
    machine = Machine(queue, refused="no")
    machine.step(0)
    again = Machine(opened(tmp_path, spec), refused=None)
    assert again.state.stacking == queue.state.stacking
    again.run()
    assert all(len(names) == 1 for names in again.seen)


class Failing(Machine):
    """Its process fails whenever one of these trials is trained in it, by what is in it or around it."""

    def __init__(self, *given, guilty: set[str], part: str, times: float = float("inf"), **more):
        super().__init__(*given, **more)
        self.guilty, self.part, self.times = guilty, part, times

    def train(self, slot: int, configs: list[dict], names: list[str]) -> None:
        if self.guilty & {*names} and self.times > 0:
            self.times -= 1
            self.seen.append(names)
            self.shared.failed(slot, self.part, "Failure # 1\nValueError: no", "ValueError: no")
        else:
            super().train(slot, configs, names)


def test_one_that_fails_leaves_the_others_alone(tmp_path):
    spec = spec_of(LOW, trials=6, scheduler=NONE)
    machine = Failing(opened(tmp_path, spec), guilty={"0002"}, part=SLOT)
    entries = {entry["id"]: entry for entry in entries_of(machine.run())}
    assert (entries["0002"]["status"], entries["0002"]["retries"]) == ("failed", 1)
    assert (tmp_path / "trials" / "0002" / "error.txt").read_text() == "Failure # 1\nValueError: no"
    others = [entry for name, entry in entries.items() if name != "0002"]
    assert {(entry["status"], entry["retries"]) for entry in others} == {("completed", 0)}
    together = next(names for names in machine.seen if "0002" in names)
    later = machine.seen[machine.seen.index(together) + 1 :]
    assert all(len(names) == 1 for names in later if {*names} & {*together})


def test_a_shortage_of_memory_is_retried_three_times(tmp_path):
    machine = Failing(opened(tmp_path, spec_of(LOW, trials=2, scheduler=NONE)), guilty={"0001"}, part=MEMORY)
    entries = entries_of(machine.run())
    assert [(entry["status"], entry["retries"]) for entry in entries] == [("failed", 3), ("completed", 0)]


def test_a_lost_node_parts_no_trials(tmp_path):
    spec = spec_of(LOW, trials=4, scheduler=NONE)
    machine = Failing(opened(tmp_path, spec), slots=1, most=4, guilty={"0001"}, part=NODE, times=2)
    assert {entry["status"] for entry in entries_of(machine.run())} == {"completed"}
    assert all(len(names) == 4 for names in machine.seen)


def test_one_that_goes_on_is_not_told_to_be_resumed(tmp_path):
    machine = Machine(opened(tmp_path, spec_of(LOW, trials=4, scheduler=ASHA)), slots=1, most=2)
    machine.run()
    promoted = [event for event in events_in(tmp_path) if event["event"] in ("promoted", "closing")]
    assert len(machine.resumed) == len(promoted) > 0


def test_a_slot_without_trials_pauses(tmp_path):
    shared = SharedSlots(opened(tmp_path, spec_of(LOW, trials=1, scheduler=NONE)), slots=2, most=4)
    assert [len(shared.fill(slot)) for slot in (0, 1)] == [1, 0]
    assert not shared.report(1, [])


def test_a_slot_does_not_pause_for_trials_of_another_kind(tmp_path):
    shapes = {"batch_size": {"grid": [30, 31]}}
    shared = SharedSlots(opened(tmp_path, spec_of(shapes, scheduler=NONE)), slots=1, most=4)
    [config] = shared.fill(0)
    shared.begin(0, list)
    told = {"epoch": 1, "metrics": {"val/elbo": 0.0}, "seconds": 1.0, "diverged": None, "finished": False}
    assert shared.report(0, [{"id": config["id"]} | told])
