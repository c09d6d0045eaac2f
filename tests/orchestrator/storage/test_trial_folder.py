"""What a trial keeps on disk: resume from any point, whatever was half done."""

import json
import math
import re
from itertools import islice
from pathlib import Path

import pytest

from orchestrator.storage.trial_folder import results
from tests.support.small_runs import a_run
from tests.support.trial_folders import broken_run, config_of, folder_in, lines_in, numbers
from trainables import checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[dict]]:
    """The folder and the results of an unbroken run of four epochs."""
    path = tmp_path_factory.mktemp("whole")
    return path, list(results(config_of(a_run(epochs=4)), folder_in(path)))


def test_a_run_leaves_its_config_a_line_per_epoch_checkpoints_and_pictures(whole):
    path, told = whole
    assert [result["epoch"] for result in told] == [1, 2, 3, 4]
    assert [result["finished"] for result in told] == [result["done"] for result in told] == [False] * 3 + [True]
    assert told[-1]["value"] == told[-1]["metrics"]["val/elbo"] == lines_in(path)[-1]["val/elbo"]
    assert json.loads((path / "config.json").read_text())["run"]["epochs"] == 4
    assert checkpoint.load(path / "checkpoint.pt")["epoch"] == 4
    assert [child.name for child in (path / "pictures").iterdir()] == ["0004"]
    assert any((path / "pictures" / "0004").glob("*.png"))


@pytest.mark.parametrize("broken_after", [1, 2, 3])
def test_a_broken_run_goes_on_with_the_same_numbers_and_repeats_its_last_epoch(whole, tmp_path, broken_after):
    config = config_of(a_run(epochs=4))
    before = list(islice(results(config, folder_in(tmp_path)), broken_after))
    after = list(results(config, folder_in(tmp_path)))
    assert after[0] == before[-1]
    assert numbers(before[:-1] + after) == numbers(whole[1])
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))


def test_a_run_broken_between_its_line_and_its_checkpoint_does_the_epoch_again(whole, tmp_path):
    config = config_of(a_run(epochs=4))
    running = results(config, folder_in(tmp_path))
    next(running), next(running)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "images": 900, "seconds": 1.0, "val/el')  # torn as well
    after = list(results(config, folder_in(tmp_path)))
    assert [result["epoch"] for result in after] == [2, 3, 4]
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))


def flipped(data: bytes) -> bytes:
    """With another bit among the weights."""
    return data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 64]) + data[len(data) // 3 + 1 :]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", flipped])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(whole, tmp_path, damage):
    config = broken_run(tmp_path, 3)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(damage(file.read_bytes()))
    after = list(results(config, folder_in(tmp_path)))
    assert [result["epoch"] for result in after] == [2, 3, 4]
    assert re.search(
        r"checkpoint.pt: not a (whole|readable) .* goes on from checkpoint.previous.pt", after[0].pop("notice")
    )
    assert numbers(after) == numbers(whole[1])[1:]
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))
    assert checkpoint.load(tmp_path / "checkpoint.previous.pt")["epoch"] == 3


@pytest.mark.parametrize(
    ("epochs", "files"), [(1, ["checkpoint.pt"]), (3, ["checkpoint.pt", "checkpoint.previous.pt"])]
)
def test_a_trial_without_a_checkpoint_that_can_be_read_is_trained_anew_and_says_so(whole, tmp_path, epochs, files):
    config = broken_run(tmp_path, epochs)
    for name in files:
        (tmp_path / name).write_bytes(b"half")
    first, *others = list(results(config, folder_in(tmp_path)))
    said = first.pop("notice")
    assert said.endswith("The trial is trained anew, with the same numbers.") and all(name in said for name in files)
    assert numbers([first, *others]) == numbers(whole[1])
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))
    assert {path.name for path in tmp_path.glob("*.damaged")} == {Path(name).stem + ".damaged" for name in files}


def test_a_truncated_checkpoint_does_not_take_the_place_of_the_one_before(tmp_path):
    config = broken_run(tmp_path, 3)
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    next(results(config, folder_in(tmp_path)))  # killed again before the next epoch
    assert next(results(config, folder_in(tmp_path)))["epoch"] == 2


def test_a_run_broken_while_the_checkpoint_changes_place_goes_on_from_the_one_before(whole, tmp_path):
    config = broken_run(tmp_path, 2)
    (tmp_path / "checkpoint.pt").replace(tmp_path / "checkpoint.previous.pt")
    (tmp_path / ".checkpoint.pt.123").write_bytes(b"half of the next one")
    after = list(results(config, folder_in(tmp_path)))
    assert "notice" not in after[0] and [result["epoch"] for result in after] == [2, 3, 4]
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))
    assert not list(tmp_path.rglob(".*"))


def test_a_run_broken_in_its_first_epoch_begins_anew(whole, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "val/elbo": -9.0, "images": 1, "seconds": 1.0}\n{"ep')
    list(results(config_of(a_run(epochs=4)), folder_in(tmp_path)))
    assert numbers(lines_in(tmp_path)) == numbers(lines_in(whole[0]))


def test_pictures_of_a_run_that_was_broken_are_those_of_the_unbroken_one(tmp_path):
    first = folder_in(tmp_path / "first")
    config = config_of(a_run(epochs=4))
    running = results(config, first)
    next(running), next(running)
    first.draw()
    broken_run(tmp_path / "second", 2)
    (tmp_path / "second" / "pictures").mkdir()
    (tmp_path / "second" / "pictures" / ".0002.99").mkdir()  # half drawn
    again = folder_in(tmp_path / "second")
    next(results(config, again))  # has only its checkpoint
    again.draw()
    drawn = [sorted((tmp_path / name / "pictures").rglob("*.png")) for name in ("first", "second")]
    assert [path.name for path in drawn[0]] == [path.name for path in drawn[1]] != []
    for one, other in zip(*drawn, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_finished_run_is_not_trained_again(whole):
    path, told = whole
    before = (path / "checkpoint.pt").stat().st_mtime_ns
    assert next(results(config_of(a_run(epochs=4)), folder_in(path))) == told[-1]
    assert (path / "checkpoint.pt").stat().st_mtime_ns == before


@pytest.mark.parametrize(("mode", "best"), [("max", max), ("min", min)])
def test_best_checkpoint_is_that_of_the_best_epoch_also_over_a_break(tmp_path, mode, best):
    config = config_of(a_run(epochs=3, optimizer={"lr": 0.3}))  # so high that the objective jumps about
    next(results(config, folder_in(tmp_path, mode)))
    values = [result["value"] for result in results(config, folder_in(tmp_path, mode))]
    assert len(set(values)) == 3
    kept = checkpoint.load(tmp_path / "best.pt")
    assert kept["epoch"] == values.index(best(values)) + 1
    assert not [name for name in kept if name.startswith("optimizer")]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("broken_after", [1, 3])
def test_of_equal_epochs_the_first_is_the_best_also_over_a_break(tmp_path, mode, broken_after):
    config = config_of(a_run(epochs=3, optimizer={"lr": 1e-30}))  # too little to change a number
    list(islice(results(config, folder_in(tmp_path, mode)), broken_after))
    list(results(config, folder_in(tmp_path, mode)))
    assert len({line["val/elbo"] for line in lines_in(tmp_path)}) == 1
    assert checkpoint.load(tmp_path / "best.pt")["epoch"] == 1


def test_divergence_is_a_result_with_its_step_and_term(tmp_path):
    told = list(results(config_of(a_run(optimizer={"lr": 1e18})), folder_in(tmp_path)))
    assert len(told) == 1 and told[0]["done"] and not told[0]["finished"]
    assert math.isnan(told[0]["value"]) and "not finite at step" in told[0]["diverged"]
    assert not (tmp_path / "checkpoint.pt").exists()


def test_pictures_are_drawn_every_k_epochs_and_at_the_last(tmp_path):
    list(results(config_of(a_run(epochs=3), pictures_every=2), folder_in(tmp_path)))
    assert sorted(child.name for child in (tmp_path / "pictures").iterdir()) == ["0002", "0003"]


def test_a_trial_that_a_scheduler_ends_early_is_finished_there(tmp_path):
    told = results(config_of(a_run(epochs=4), last_epoch=2), folder_in(tmp_path))
    assert [next(told)["finished"], next(told)["finished"]] == [False, True]
    assert (tmp_path / "pictures" / "0002").exists()


def test_a_run_that_ends_early_is_finished_there_also_when_it_is_taken_up_again(tmp_path):
    run = a_run(epochs=30, optimizer={"lr": 0.03}, early_stopping={"patience": 1})
    told = list(results(config_of(run), folder_in(tmp_path)))
    losses = [result["metrics"]["val/loss"] for result in told]
    assert 1 < len(told) < 30 and losses[-1] >= losses[-2]
    assert [result["finished"] for result in told] == [False] * (len(told) - 1) + [True]
    assert (tmp_path / "fitted.pt").exists()
    assert [child.name for child in (tmp_path / "pictures").iterdir()] == [f"{len(told):04d}"]
    assert list(results(config_of(run), folder_in(tmp_path))) == told[-1:]


def test_a_line_without_the_metric_that_may_end_a_run_is_damaged(tmp_path):
    run = a_run(epochs=3, early_stopping={"metric": "val/mse", "patience": 3})
    whole = list(results(config_of(run), folder_in(tmp_path)))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    del lines[1]["val/mse"]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = list(results(config_of(run), folder_in(tmp_path)))
    assert numbers([one | {"notice": None} for one in again]) == numbers([one | {"notice": None} for one in whole])
    assert "is damaged: the trial is trained anew" in again[0]["notice"]
