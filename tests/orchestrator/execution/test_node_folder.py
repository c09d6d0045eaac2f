"""A trial that is trained on nodes which do not share the driver's disk. Without Ray: the store is called directly."""

import json
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.clusters.trial_store import LeaseLost, TrialStore
from orchestrator.execution import node_folder
from orchestrator.execution.node_folder import NodeFolder
from orchestrator.storage import trial_folder
from orchestrator.storage.trial_folder import results
from tests.support.small_runs import a_run
from tests.support.trial_folders import config_of, folder_in, lines_in, numbers
from tests.support.trial_stores import Handle, files_in, reachable
from trainables import checkpoint
from trainables.common.errors import Diverged
from trainables.train import train

EPOCHS = 4
NEVER = 1e9  # minutes
CHANGING = {"metrics.jsonl", "checkpoint.pt", "checkpoint.previous.pt"}  # they hold times


def config(minutes: float = NEVER, **changes) -> dict:
    """Of a trial that draws pictures after its second epoch and its last."""
    run = a_run(epochs=EPOCHS, data={"name": "digits", "train_rows": 64, "val_rows": 32}, **changes)
    place = {"store": "trials", "checkpoint_minutes": minutes, "last_epoch": EPOCHS}
    return config_of(run, pictures_every=2, objective={"metric": "val/elbo", "mode": "max"}) | place


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[dict]]:
    """The folder and the results of a trial that was trained beside the driver, without a break."""
    path = tmp_path_factory.mktemp("whole")
    return path, list(results(config(), folder_in(path)))


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home" / "trials" / "0001"


@pytest.fixture
def handle(tmp_path, monkeypatch) -> Handle:
    (tmp_path / "home").mkdir()
    return reachable(TrialStore(str(tmp_path / "home")), monkeypatch)


@pytest.fixture
def node(handle, tmp_path):
    """Makes the trial's folder on another node."""
    number = count()
    return lambda trial: NodeFolder(trial, tmp_path / f"node{next(number)}")


def trained(node, epochs: int, trial: dict) -> NodeFolder:
    """The folder on a node that has trained so many epochs more."""
    folder = node(trial)
    list(islice(results(trial, folder), epochs))
    return folder


def assert_same(home: Path, whole: Path) -> None:
    mine, others = files_in(home), files_in(whole)
    assert numbers(lines_in(home)) == numbers(lines_in(whole))
    assert mine.keys() == others.keys()
    assert [name for name in mine if name not in CHANGING and mine[name] != others[name]] == []


def test_a_trial_trained_on_one_node_is_at_home_as_if_it_were_trained_there(whole, home, node):
    told = list(results(config(), node(config())))
    assert numbers(told) == numbers(whole[1])
    assert files_in(home).keys() == files_in(whole[0]).keys() - {"checkpoint.previous.pt"}  # the only one it sent
    assert numbers(lines_in(home)) == numbers(lines_in(whole[0]))
    assert (home / "best.pt").read_bytes() == (whole[0] / "best.pt").read_bytes()


def test_a_trial_trained_in_pieces_on_two_nodes_gives_the_same_files(whole, home, node):
    first = trained(node, 2, config())
    first.draw(), first.settle()  # it pauses
    told = list(results(config(), node(config())))
    assert [result["epoch"] for result in told] == [2, 3, 4] and "notice" not in told[0]
    assert numbers(told) == numbers(whole[1])[1:]
    assert_same(home, whole[0])


@pytest.mark.parametrize(("minutes", "known"), [(NEVER, 0), (0, 3)])
def test_the_next_node_repeats_what_was_not_sent_from_one_that_was_lost(whole, home, node, minutes, known):
    trained(node, 3, config(minutes))
    told = list(results(config(), node(config())))
    assert [result["epoch"] for result in told] == list(range(max(1, known), EPOCHS + 1))
    assert numbers(told) == numbers(whole[1])[max(0, known - 1) :]
    assert numbers(lines_in(home)) == numbers(lines_in(whole[0]))
    assert (home / "best.pt").read_bytes() == (whole[0] / "best.pt").read_bytes()


def test_checkpoints_travel_after_some_minutes_at_a_pause_and_at_the_end(handle, node, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(node_folder, "time", SimpleNamespace(monotonic=lambda: now[0]))
    trial = config(minutes=10) | {"pictures_every": None}
    folder, sent = node(trial), []
    for epoch, _ in enumerate(results(trial, folder), start=1):
        sent.append("checkpoint.pt" in set().union(*handle.sent()))
        handle.calls.clear()
        now[0] += {1: 599, 2: 1, 3: 1}.get(epoch, 0)
    assert sent == [False, False, True, True]
    folder.settle()
    assert handle.sent() == []  # all of it is at home


def test_a_pause_sends_what_is_new_and_no_more(handle, node):
    folder = trained(node, 1, config())
    assert handle.sent() == []
    folder.settle()
    assert handle.sent() == [{"config.json", "metrics.jsonl", "best.pt", "checkpoint.pt"}]
    folder.settle()
    assert len(handle.sent()) == 1


def test_a_node_that_takes_a_trial_up_and_does_nothing_sends_no_checkpoint(handle, node):
    trained(node, 1, config()).settle()
    again = trained(node, 1, config())
    handle.calls.clear()
    again.settle()
    assert handle.sent() == [{"config.json"}]


def test_pictures_are_at_home_before_their_epoch_is_told(home, node):
    drawn = []
    for _ in results(config(), node(config())):
        drawn.append(sorted(path.name for path in home.glob("pictures/[0-9]*")))
    assert drawn == [[], ["0002"], ["0002"], ["0002", "0004"]]


def test_pictures_that_are_at_home_are_not_drawn_again(home, handle, node):
    trained(node, 2, config())
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.png")}
    handle.calls.clear()
    second = trained(node, 2, config())  # repeats both epochs
    assert not any(name.startswith("pictures") for names in handle.sent() for name in names)
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*.png")} == before != {}
    assert not list(second.path.rglob("*.png"))


def test_pictures_of_an_epoch_from_a_lost_node_are_drawn_when_the_trial_pauses_elsewhere(whole, home, node):
    first = trained(node, 2, config() | {"pictures_every": None})
    first.settle()
    again = trained(node, 1, config())
    again.draw()
    assert {name: data for name, data in files_in(whole[0]).items() if "pictures/0002" in name} == {
        name: data for name, data in files_in(home).items() if "pictures" in name
    }


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_checkpoint_at_home_gives_way_to_the_one_before_and_says_so(whole, home, node, damage):
    trained(node, 3, config(minutes=0))
    file = home / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    told = list(results(config(), node(config())))
    assert [result["epoch"] for result in told] == [2, 3, 4]
    assert "goes on from checkpoint.previous.pt" in told[0].pop("notice")
    assert numbers(told) == numbers(whole[1])[1:]
    assert numbers(lines_in(home)) == numbers(lines_in(whole[0]))
    assert [path.name for path in home.glob("*.damaged")] == ["checkpoint.damaged"]


def test_a_damaged_checkpoint_at_home_does_not_take_the_place_of_the_one_before(home, node):
    trained(node, 3, config(minutes=0))
    for _ in range(2):  # of the second, the file is written anew at the third epoch
        (home / "checkpoint.pt").write_bytes(b"half")
        told = list(islice(results(config(minutes=0), node(config(minutes=0))), 2))
        assert [result["epoch"] for result in told] == [2, 3]
        assert checkpoint.load(home / "checkpoint.previous.pt")["epoch"] == 2


def test_a_trial_without_a_checkpoint_that_can_be_read_is_trained_anew(whole, home, node):
    trained(node, 2, config(minutes=0))
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (home / name).write_bytes(b"half")
    told = list(results(config(), node(config())))
    assert told[0].pop("notice").endswith("The trial is trained anew, with the same numbers.")
    assert numbers(told) == numbers(whole[1])
    assert numbers(lines_in(home)) == numbers(lines_in(whole[0]))


def test_the_best_model_of_a_trial_that_diverges_comes_home(home, node, monkeypatch):
    def diverging(*values):
        yield from islice(train(*values), 2)
        raise Diverged(40, "loss")

    monkeypatch.setattr(trial_folder, "train", diverging)
    told = list(results(config(), node(config())))
    assert [result["diverged"] for result in told] == [None, None, str(Diverged(40, "loss"))]
    assert {"best.pt", "metrics.jsonl", "checkpoint.pt"} <= files_in(home).keys()


def test_a_trial_that_diverges_brings_all_that_was_kept(home, node):
    told = list(results(rising := config(optimizer={"lr": 1e18}), node(rising)))
    assert [result["done"] for result in told] == [True] and "not finite" in told[0]["diverged"]
    assert "config.json" in files_in(home)


def test_how_far_an_epoch_is_is_seen_at_home_until_it_is_over(home, node):
    trial = config()
    folder = node(trial)
    running = results(trial, folder)
    next(running)
    folder.note(0.5, 9.0)
    assert json.loads((home / "within_epoch.json").read_text()) == [2, 0.5, 9.0]
    next(running)
    assert not (home / "within_epoch.json").exists()
    folder.note(0.5, 9.0)
    folder.settle()  # as after a divergence
    assert not (home / "within_epoch.json").exists()
    folder.note(0.5, 9.0)
    next(results(trial, node(trial)))  # it is taken over
    assert not (home / "within_epoch.json").exists()


def test_a_node_whose_trial_was_taken_over_writes_nothing_more(home, node):
    orphan = node(config(minutes=0))
    running = results(config(minutes=0), orphan)
    next(running)
    trained(node, 1, config())
    before = files_in(home)
    with pytest.raises(LeaseLost):
        next(running)
    with pytest.raises(LeaseLost):
        orphan.settle()
    assert files_in(home) == before


def test_a_node_keeps_the_files_of_one_trial_at_a_time(handle, tmp_path):
    for name in ("0001", "0002"):
        trial = config() | {"id": name}
        list(islice(results(trial, NodeFolder(trial, tmp_path / "node")), 1))
    assert [path.name for path in (tmp_path / "node" / "trials").iterdir()] == ["0002"]
