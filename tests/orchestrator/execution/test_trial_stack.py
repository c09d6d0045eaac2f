"""Trials that train together have the files and the results of each one alone, whoever else is in the stack."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from orchestrator.clusters.trial_store import TrialStore
from orchestrator.execution import trial_stack
from orchestrator.execution.node_folder import NodeFolder
from orchestrator.execution.trial_stack import TrialStack
from orchestrator.storage.trial_folder import TrialFolder, results
from tests.support.small_runs import a_run
from tests.support.trial_stores import reachable
from trainables import checkpoint
from trainables.run import Run
from trainables.stacked.comparison import Comparison, compare
from trainables.train import Training

OBJECTIVE = {"metric": "val/loss", "mode": "min"}
EPOCHS = 3


def config_of(folder: Path, number: int, named: str = "vae", **changes) -> dict:
    optimizer = {"lr": 10 ** -(2 + number / 3)}
    run = a_run(named, seed=number, epochs=EPOCHS, **{"optimizer": optimizer} | changes).model_dump(mode="json")
    known = {"id": f"{number:04d}", "folder": str(folder / f"{number:04d}"), "run": run, "last_epoch": EPOCHS}
    return known | {"objective": OBJECTIVE, "data_root": None, "draws": False, "pictures_every": None, "kind": "one"}


def folder_of(config: dict) -> TrialFolder:
    return TrialFolder(Path(config["folder"]), **OBJECTIVE)


@cache
def alone(folder: Path, number: int) -> tuple[list[dict], dict]:
    """The results of a trial that trains alone, and its last checkpoint."""
    config = config_of(folder, number)
    told = [
        {key: value for key, value in result.items() if key != "seconds"}
        for result in results(config, folder_of(config))
    ]
    return told, checkpoint.load(Path(config["folder"]) / "checkpoint.pt")


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Path:
    """A folder for trials that train alone; skips where this machine rounds otherwise for a stack of such trials."""
    runs = [Run.model_validate(config_of(Path(), number)["run"]) for number in (1, 2, 3)]
    splits = Training(runs[0]).splits
    if not all(compare(group, splits).equal for group in (runs, runs[:2], runs[1:])):
        pytest.skip("this machine rounds otherwise for such a stack")
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(autouse=True)
def accepted(monkeypatch):
    """What trying them says does not matter: most tests ask for the numbers of a stack."""
    monkeypatch.setattr(trial_stack, "compare", lambda runs, splits: Comparison(2.0, True, 0.0, True))


class Slot:
    """A stack, and what it has told of each trial."""

    def __init__(self):
        self.stack, self.told = TrialStack(folder_of), {}

    def epoch(self) -> None:
        """Step until an epoch was trained."""
        while (told := self.step()) != "results":
            assert told != "refused"

    def step(self) -> str:
        [(kind, told)] = self.stack.step(bits=True, decided=False).items()
        for result in told if kind == "results" else ():
            plain = {key: value for key, value in result.items() if key not in ("id", "seconds")}
            self.told.setdefault(result["id"], []).append(plain)
        return kind


def assert_as_alone(slot: Slot, folder: Path, known: Path, number: int, of: int = EPOCHS) -> None:
    expected, last = alone(known, number)
    assert slot.told[f"{number:04d}"] == expected[:of]
    if of == EPOCHS:
        found = checkpoint.load(folder / f"{number:04d}" / "checkpoint.pt")
        assert found["run"] == last["run"] and found["step"] == last["step"]
        mine, theirs = ([*saved["learner"].values()] for saved in (found, last))
        assert all(map(torch.equal, mine, theirs))
    own, others = ((of_ / f"{number:04d}") for of_ in (folder, known))
    assert {file.name for file in own.iterdir()} <= {file.name for file in others.iterdir()}


def test_each_trial_has_the_results_and_files_of_one_that_trains_alone(tmp_path, known):
    slot = Slot()
    slot.stack.change([config_of(tmp_path, number) for number in (1, 2, 3)])
    assert slot.step() == "accepted"
    for _ in range(EPOCHS):
        slot.epoch()
    for number in (1, 2, 3):
        assert_as_alone(slot, tmp_path, known, number)
        assert (tmp_path / f"{number:04d}" / "fitted.pt").exists()


def test_trials_come_and_go(tmp_path, known):
    slot = Slot()
    one, two, three = (config_of(tmp_path, number) for number in (1, 2, 3))
    for members in ([one, two], [two, three], [two, three], [three]):
        slot.stack.change(members)
        slot.epoch()
    assert_as_alone(slot, tmp_path, known, 1, of=1)
    assert_as_alone(slot, tmp_path, known, 2)
    assert_as_alone(slot, tmp_path, known, 3)


def test_in_another_slot_a_trial_first_repeats_its_last_epoch(tmp_path, known):
    first, second = Slot(), Slot()
    first.stack.change([config_of(tmp_path, number) for number in (1, 2)])
    first.epoch()
    second.stack.change([config_of(tmp_path, number) for number in (2, 3)])
    assert second.step() == "results"
    assert [*second.told] == ["0002"]
    assert second.told["0002"] == first.told["0002"]
    for _ in range(2):
        second.epoch()
    assert second.told["0002"] == alone(known, 2)[0]
    assert_as_alone(second, tmp_path, known, 3, of=2)


def test_one_that_diverges_is_told_and_the_others_go_on(tmp_path, known):
    slot = Slot()
    slot.stack.change([config_of(tmp_path, 1), config_of(tmp_path, 2, optimizer={"lr": 1e18})])
    slot.epoch()
    assert slot.told["0002"][0]["diverged"] and slot.told["0002"][0]["done"]
    assert_as_alone(slot, tmp_path, known, 1, of=1)


def test_in_another_slot_one_that_diverged_is_told_with_the_others_last_epochs(tmp_path, known):
    """Whether its loss is met in its first epoch, or after another."""
    configs = [config_of(tmp_path, 1), config_of(tmp_path, 2, optimizer={"lr": 1e18}), config_of(tmp_path, 3)]
    first, second = Slot(), Slot()
    for slot in (first, second):
        slot.stack.change(configs)
        slot.epoch()
    assert list(second.told) == ["0001", "0002", "0003"] and second.told == first.told
    changed = config_of(tmp_path, 2)  # with other settings it is trained
    third = Slot()
    third.stack.change([changed])
    third.epoch()
    assert third.told["0002"] == alone(known, 2)[0][:1]


@pytest.mark.parametrize(
    ("found", "decided", "why"),
    [
        (Comparison(5.0, False, 1e-8, False), False, "rounded otherwise"),
        (Comparison(1.1, True, 0.0, True), False, "1.1 times as quick"),
        (Comparison(1.1, True, 0.0, True), True, None),
        (Comparison(5.0, True, 0.0, True), False, None),
    ],
)
def test_auto_takes_what_pays_and_changes_no_bit(tmp_path, monkeypatch, found, decided, why):
    monkeypatch.setattr(trial_stack, "compare", lambda runs, splits: found)
    stack = TrialStack(folder_of)
    stack.change([config_of(tmp_path, number) for number in (1, 2)])
    told = stack.step(bits=True, decided=decided)
    assert why in told["refused"] if why else "accepted" in told


@pytest.mark.parametrize(("difference", "refused"), [(1e-7, False), (1e-5, True)])
def test_a_number_of_trials_takes_what_differs_by_a_millionth(tmp_path, monkeypatch, difference, refused):
    monkeypatch.setattr(trial_stack, "compare", lambda runs, splits: Comparison(0.5, False, difference, False))
    stack = TrialStack(folder_of)
    stack.change([config_of(tmp_path, number) for number in (1, 2)])
    assert [*stack.step(bits=False, decided=False)] == ["refused" if refused else "accepted"]


def test_what_no_stack_can_train_is_refused_and_trained_by_itself(tmp_path, monkeypatch):
    monkeypatch.undo()
    slot = Slot()
    configs = [config_of(tmp_path, number, "rae sn") for number in (1, 2)]
    slot.stack.change(configs)
    assert "rule not implemented" in slot.stack.step(bits=True, decided=False)["refused"]
    slot.stack.change(configs[:1])
    slot.epoch()
    assert [result["epoch"] for result in slot.told["0001"]] == [1]


def test_trials_that_differ_in_something_else_are_tried_anew(tmp_path, monkeypatch):
    """The same gamma in all is a number of the code, which may branch on it; others are numbers of a tensor."""
    tried = []
    monkeypatch.setattr(
        trial_stack, "compare", lambda runs, splits: tried.append(runs) or Comparison(2.0, True, 0, True)
    )
    slot, gammas = Slot(), {1: 1.0, 2: 1.0, 3: 0.0, 4: 1.0}
    methods = {number: {"method": {"name": "vae", "gamma": gamma}} for number, gamma in gammas.items()}
    for pair in ((1, 2), (2, 4)):
        slot.stack.change([config_of(tmp_path, number, **methods[number]) for number in pair])
        assert slot.step() == "accepted" and len(tried) == 1
    slot.stack.change([config_of(tmp_path, number, **methods[number]) for number in (3, 4)])
    assert len(tried) == 1 and slot.step() in ("accepted", "refused") and len(tried) == 2


def test_convolutions_are_refused_on_a_cpu(tmp_path):
    network = {"name": "ard_mnist", "latent_dim": 4}
    data = {"name": "solids", "train_rows": 20, "val_rows": 10}
    stack = TrialStack(folder_of)
    stack.change([config_of(tmp_path, number, network=network, data=data) for number in (1, 2)])
    assert "convolutions" in stack.step(bits=True, decided=False)["refused"]


def test_metrics_jsonl_has_a_line_of_each_epoch(tmp_path):
    slot = Slot()
    slot.stack.change([config_of(tmp_path, number) for number in (1, 2)])
    for _ in range(2):
        slot.epoch()
    lines = [json.loads(line) for line in (tmp_path / "0002" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]


def test_on_a_node_each_trial_has_a_copy_of_its_own_until_it_leaves(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    reachable(TrialStore(str(tmp_path / "home")), monkeypatch)
    place = {"store": "trials", "checkpoint_minutes": 1e9}
    one, two = (config_of(tmp_path, number) | place for number in (1, 2))
    stack = TrialStack(lambda config: NodeFolder(config, tmp_path / "node" / config["id"]))
    stack.change([one, two])
    kinds = [next(iter(stack.step(bits=True, decided=False))) for _ in range(3)]
    assert kinds == ["accepted", "results", "results"]
    stack.settle()
    stack.change([two])
    stack.step(bits=True, decided=True)
    assert not (tmp_path / "node" / "0001" / "trials").exists()
    stack.settle()
    for number, epochs in ((1, 2), (2, 3)):
        home = tmp_path / "home" / "trials" / f"{number:04d}"
        assert checkpoint.load(home / "checkpoint.pt")["epoch"] == epochs
        assert len((home / "metrics.jsonl").read_text().splitlines()) == epochs


def test_on_another_node_one_that_diverged_is_told(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    reachable(TrialStore(str(tmp_path / "home")), monkeypatch)
    place = {"store": "trials", "checkpoint_minutes": 1e9}
    configs = [config_of(tmp_path, 1) | place, config_of(tmp_path, 2, optimizer={"lr": 1e18}) | place]
    told = []
    for node in ("first", "second"):
        stack = TrialStack(lambda config, node=node: NodeFolder(config, tmp_path / node / config["id"]))
        stack.change(configs)
        while "results" not in (result := stack.step(bits=True, decided=True)):
            pass
        stack.settle()
        told.append([(one["id"], one["diverged"]) for one in result["results"]])
    assert told[0] == told[1] and told[0][1][1].endswith("was not finite at step 1")
