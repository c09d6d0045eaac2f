"""The pictures of a sweep's best trials: which are drawn, from what, and what becomes of one that cannot be."""

import json

import pytest

from orchestrator.clusters.connection import THIS_MACHINE
from orchestrator.execution.drawing import BestPictures, Drawing
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.metric_lines import from_json, metrics_of, to_json
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.results_file import ResultsFile
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder
from trainables.train import train

METRIC = "val/elbo"
RUN = a_run("ard_vae", epochs=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a trial as training leaves it, whose second epoch is the best; what training drew after that."""
    folder = tmp_path_factory.mktemp("trained")
    lines = []
    for report in train(RUN):
        lines.append(to_json({"epoch": report.epoch, "images": 1, "seconds": 1.0} | report.metrics))
        if report.epoch == 2:
            report.save_model(folder / layout.BEST)
            report.draw(folder / "drawn", [metrics_of(from_json(line)) for line in lines])
    (folder / layout.METRICS).write_text("".join(f"{line}\n" for line in lines))
    drawn = {path.name: path.read_bytes() for path in (folder / "drawn").iterdir()}
    return folder, drawn


@pytest.fixture
def pictures_of(tmp_path, trained):
    """A function that makes the pictures of a sweep whose trials had these best values; None: never a finite one."""

    def make(values, **spec) -> BestPictures:
        configs = {}
        for number, value in enumerate(values, start=1):
            home = layout.trial_folder(tmp_path, f"{number:04d}")
            home.mkdir(parents=True, exist_ok=True)
            for name in (layout.METRICS, *([layout.BEST] if value is not None else [layout.CHECKPOINT])):
                (home / name).write_bytes((trained[0] / name.replace(layout.CHECKPOINT, layout.BEST)).read_bytes())
            known = {"configuration": number, "config": {}, "seed": 0, "stage": "search", "folder": str(home)}
            configs[home.name] = known | {"run": RUN.model_dump(mode="json"), "data_root": None, "threads": 1}
        results_file = ResultsFile(tmp_path, "own", {"metric": METRIC, "mode": "max"}, configs)
        for name, value in zip(configs, values, strict=True):
            results_file.begin(name)
            for epoch, own in enumerate((-1e9, value, -1e9), start=1):
                results_file.add(name, epoch, {METRIC: float("nan") if value is None else own})
            results_file.end(name, "completed", None)
        plain = {"name": "own", "run": RUN.model_dump(mode="json")} | spec
        listeners = Listeners(results_file, Recorder(), Recorder())
        return BestPictures(SweepSpec.model_validate_json(json.dumps(plain)), listeners)

    return make


def left(pictures: BestPictures) -> list[tuple[str, int]]:
    return [(one.trial, one.epoch) for one in pictures.left()]


def drawn(pictures: BestPictures) -> BestPictures:
    pictures.draw({}, THIS_MACHINE, lambda: None)
    return pictures


@pytest.mark.parametrize(
    ("spec", "trials"),
    [
        ({}, ["0004", "0002", "0001"]),  # five of three
        ({"pictures": {"top": 2}}, ["0004", "0002"]),
        ({"pictures": {"top": "all"}}, ["0004", "0002", "0001"]),
        ({"pictures": None}, []),
    ],
)
def test_the_best_are_drawn_as_many_as_the_spec_asks_for_and_none_that_never_had_a_finite_value(
    pictures_of, spec, trials
):
    assert left(pictures_of([1.0, 2.0, None, 3.0], **spec)) == [(trial, 2) for trial in trials]


def test_a_trial_is_drawn_as_it_would_have_drawn_itself_after_its_best_epoch(pictures_of, trained):
    pictures = drawn(pictures_of([1.0]))
    place = layout.pictures_folder(pictures.results_file.folder / "trials" / "0001", 2)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == trained[1]
    assert left(pictures) == []
    pictures.tell()
    assert pictures.listeners.tracker.told == [("pictures", "0001", 2, sorted(place.iterdir()))]


def test_what_is_there_stays_and_what_a_kill_left_half_drawn_goes(pictures_of):
    pictures = pictures_of([1.0, 2.0])
    one, other = pictures.left()
    one.place.mkdir(parents=True)
    half = other.place.with_name(".0002.99")
    half.mkdir(parents=True)
    drawn(pictures)
    assert list(one.place.iterdir()) == []
    assert list(other.place.iterdir()) and not half.exists()


def test_one_that_cannot_be_drawn_is_told_of_with_the_cure_and_the_others_are_drawn(pictures_of):
    pictures = pictures_of([1.0, 2.0, 3.0])
    folder = pictures.results_file.folder
    (folder / "trials" / "0003" / layout.BEST).write_bytes(b"no model")
    (folder / "trials" / "0002" / layout.METRICS).write_text("no history\n")
    drawn(pictures)
    assert left(pictures) == []
    assert Drawing("0001", folder / "trials" / "0001", 2).place.exists()
    noticed = {event[1]: event[2] for event in pictures.listeners.console.told if event[0] == "trial_noticed"}
    assert noticed.keys() == {"0002", "0003"}
    assert noticed["0003"].startswith("was not drawn: CheckpointError: ")
    for trial, words in noticed.items():
        assert words.endswith(f"Try again: vaeorch draw {folder.name}/{trial} --out {folder.parent}")


def test_pictures_are_written_whole_or_not_at_all(tmp_path):
    one = Drawing("0001", tmp_path, 2)
    with pytest.raises(TypeError):
        one.keep({"a.png": b"a", "b.png": None})
    assert list(tmp_path.rglob("*.png")) == []
    one.keep({"a.png": b"a", "b.png": b"b"})
    assert {path.name: path.read_bytes() for path in one.place.iterdir()} == {"a.png": b"a", "b.png": b"b"}
    assert [path.name for path in one.place.parent.iterdir()] == ["0002"]
