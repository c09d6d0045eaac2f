"""While a long epoch runs people see how far it is; the numbers are the same, and nothing of it stays."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.commands.train import shares_told
from orchestrator.reporting.console import Board, LivePanel, PlainLines
from orchestrator.storage import within_epoch
from orchestrator.storage.trial_folder import results
from orchestrator.storage.within_epoch import Lines, Pace
from orchestrator.sweep.events import Listeners
from tests.support.consoles import screen
from tests.support.small_runs import a_run
from tests.support.trial_folders import config_of, folder_in
from trainables.train import train


class Clock:
    """Goes on by a step at each look."""

    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_training_tells_of_every_step_and_its_numbers_are_the_same():
    heard, run = [], a_run("ard_vae")  # 101 of the 300 rows are held out
    told = [report.metrics for report in train(run, progress=lambda *step: heard.append(step))]
    assert heard == [(done, 7) for done in range(8)] * 2
    assert told == [report.metrics for report in train(run)]


def test_an_epoch_is_told_of_every_so_many_seconds_from_its_begin():
    heard, clock = [], Clock()
    pace = Pace(lambda *told: heard.append(told), clock)
    for epoch in range(2):
        for done, seconds in ((0, 0.0), (1, 4.9), (2, 5.0), (3, 9.9), (4, 12.0), (10, 13.0)):
            clock.now = 100.0 * epoch + seconds
            pace(done, 10)
    assert heard == [(0.2, 5.0), (0.4, 12.0)] * 2


def test_a_line_comes_every_thirty_seconds_or_tenth_of_the_epoch_whichever_is_later():
    def told(seconds_per_epoch):
        lines = Lines()
        seconds = range(0, seconds_per_epoch, 5)
        return [s for s in seconds if lines.due("0001", 1, s / seconds_per_epoch, s)], lines

    assert told(25)[0] == []
    assert told(100)[0] == [30, 60, 90]
    found, lines = told(960)
    assert found == list(range(100, 960, 100))
    assert not lines.due("0001", 2, 0.2, 25.0) and lines.due("0001", 2, 0.3, 35.0)
    assert lines.due("0002", 1, 0.3, 35.0)


def test_a_trial_notes_it_in_its_folder_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(within_epoch, "NOTE_S", 0.0)
    seen, true = [], within_epoch.note

    def note(folder, *told):
        true(folder, *told)
        seen.append(within_epoch.read(folder))

    monkeypatch.setattr(within_epoch, "note", note)
    folder = folder_in(tmp_path)
    within_epoch.note(tmp_path, 1, 0.5, 1.0)  # of a process that was killed
    for _ in results(config_of(a_run(epochs=2)), folder):
        assert within_epoch.read(tmp_path) is None
    epochs = [epoch for epoch, _, _ in seen[1:]]
    assert epochs == [1] * 10 + [2] * 10 and seen[-1][1] == 1.0
    assert not list(tmp_path.glob("within*"))


@pytest.mark.parametrize("text", ["", "[1, 0.5", "{}", "[1]", "null", '["a", 1, 2]'])
def test_a_note_that_is_just_being_written_is_none(tmp_path, text):
    (tmp_path / "within_epoch.json").write_text(text)
    assert within_epoch.read(tmp_path) is None


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    within_epoch.note(tmp_path / "gone", 1, 0.5, 1.0)
    within_epoch.forget(tmp_path / "gone")


def test_a_run_that_is_trained_alone_tells_it_in_lines(tmp_path):
    console, read = screen()
    report_share = shares_told(SimpleNamespace(path=Path("a"), lines=[{}]), console)
    for seconds in range(5, 65, 5):
        report_share(seconds / 120, float(seconds))
    assert read() == "epoch 2: 25% after 30 s\nepoch 2: 50% after 60 s\n"


def a_board():
    return Board("a", "val/elbo", "max", 2, 4.0)


def test_a_sweeps_lines_and_its_panel_show_it():
    console, read = screen()
    lines = PlainLines(a_board(), console)
    lines.trial_within("0001", 1, 0.25, 10.0)
    lines.trial_within("0001", 1, 0.5, 31.0)
    assert read() == "a: 2 trials\n0001 epoch 1: 50% after 31 s\n"
    console, read = screen()
    panel = LivePanel(a_board(), console)
    panel.close()
    panel.trial_started("0001", {}, "0001")
    panel.trial_within("0001", 1, 0.42, 10.0)
    console.print(panel.render())
    assert "epoch 1: 42%" in read()
    panel.epoch("0001", 1, {"val/elbo": math.nan})
    console.print(panel.render())
    assert read().rstrip().splitlines()[-1].split()[:3] == ["0001", "epoch", "1"]


def test_the_driver_looks_at_the_trials_that_run_and_at_the_epoch_under_way(tmp_path):
    names = ["0001", "0002", "0003", "0004"]
    for name, epoch in zip(names[:3], (3, 3, 2), strict=True):
        (tmp_path / name).mkdir()
        within_epoch.note(tmp_path / name, epoch, 0.5, 40.0)
    results_file = SimpleNamespace(
        trials={name: {"folder": str(tmp_path / name)} for name in names}, entries=dict.fromkeys(names, {"epochs": 2})
    )
    heard, clock = [], Clock()
    console = SimpleNamespace(trial_within=lambda *told: heard.append(told))
    listeners = Listeners(results_file, None, console, clock)
    progress = SimpleNamespace(standing={"0001": False, "0002": True, "0003": False, "0004": False})
    listeners.look(progress)
    assert heard == []
    clock.now = 2.0
    listeners.look(progress)
    listeners.look(progress)
    assert heard == [("0001", 3, 0.5, 40.0)]
