"""A view that is made from a journal while it grows: the same board as that of the sweep's own process."""

import json

import pytest

from orchestrator.reporting.console import Board, PlainLines, View
from orchestrator.reporting.journal_view import Growing, JournalReader, show
from orchestrator.storage import layout, within_epoch
from orchestrator.storage.journal import Journal
from tests.support.consoles import screen
from tests.support.one_slot import LOW, drawn, opened, spec_of
from tests.support.sweep_folders import swept


def board_of(spec):
    return Board(spec.name, "val/elbo", "max", 4, 16)


@pytest.mark.parametrize("lines", [3, 7, 12, 10**6])
def test_a_board_from_the_journal_has_the_state_of_every_trial(tmp_path, lines):
    spec = spec_of(LOW, trials=6)
    folder = swept(tmp_path / "a", lines, search=LOW, trials=6)
    board, reader = board_of(spec), JournalReader(folder, spec)
    show(reader, View(board))
    state = opened(folder, spec).state  # as the sweep's own process has it
    entries = state.results_file.entries
    ended = {trial: entry["status"] for trial, entry in entries.items() if entry["status"]}
    standing = {trial: "paused" if paused else "running" for trial, paused in state.standing.items()}
    assert board.states == ended | standing and len(board.states) > 0
    assert board.epochs == sum(entry["epochs"] for entry in entries.values())
    assert set(reader.epochs) == {trial for trial, paused in state.standing.items() if not paused}
    values = [entry["best"]["val/elbo"] for entry in entries.values() if entry["best"]]
    assert (board.best and board.best[0]) == (max(values) if values else None)


def test_lines_are_passed_on_once_and_only_when_they_are_whole(tmp_path):
    spec = spec_of(LOW, trials=2, scheduler={"name": "none"})
    whole = (swept(tmp_path / "a", search=LOW, trials=2, scheduler={"name": "none"}) / layout.JOURNAL).read_bytes()
    folder = tmp_path / "b"
    folder.mkdir()
    reader = JournalReader(folder, spec)
    assert reader.news() == []  # there is no journal yet
    news = []
    for end in range(0, len(whole) + 1, 37):
        (folder / layout.JOURNAL).write_bytes(whole[:end])
        news += reader.news()
    (folder / layout.JOURNAL).write_bytes(whole)
    news += reader.news()
    assert news == JournalReader(tmp_path / "a", spec).news()
    assert [name for name, *_ in news].count("trial_ended") == 2


def test_a_trial_is_shown_with_what_distinguishes_it(tmp_path):
    """Known from the journal: those of its beginning, and those that are drawn later."""
    spec = drawn(trials=3)
    folder = swept(tmp_path / "a", searcher=spec.searcher.model_dump(), trials=3)
    console, read = screen(width=200)
    show(JournalReader(folder, spec), PlainLines(board_of(spec), console))
    started = [line for line in read().splitlines() if " started: " in line]
    assert len(started) == 3 and all("lr=" in line for line in started)


def test_reused_trials_are_shown_as_completed(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    Journal(folder).append(
        {"event": "reused", "trial": "0001", "source": "b/0002", "epochs": [{"val/elbo": 1.0}, {"val/elbo": 2.0}]}
    )
    board = board_of(spec_of())
    show(JournalReader(folder, spec_of()), View(board))
    assert (board.states, board.latest["0001"], board.best[0]) == ({"0001": "completed"}, (2, 2.0), 2.0)


def test_how_far_a_long_epoch_is_is_shown_of_trials_that_run(tmp_path):
    spec, folder = spec_of(LOW, trials=2), swept(tmp_path / "a", lines=2, search=LOW, trials=2)
    home = folder / layout.TRIALS / "0001"
    within_epoch.note(home, 1, 0.25, 60.0)
    board = board_of(spec)
    show(JournalReader(folder, spec), View(board))
    assert board.within == {"0001": 0.25}
    within_epoch.note(home, 3, 0.5, 60.0)  # of an earlier process
    board.within.clear()
    show(JournalReader(folder, spec), View(board))
    assert board.within == {}


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    growing = Growing(tmp_path / "none")
    assert growing.lines() == []
    (tmp_path / "none").write_text(json.dumps({}))
    assert growing.lines() == []  # half a line


def test_epochs_of_which_only_the_trials_folder_knew_are_shown_too(tmp_path):
    """As after a journal was lost."""
    facts = {"event": "epoch", "trial": "0001", "epoch": 3, "metrics": {"val/elbo": 3.0}}
    Journal(tmp_path).append(facts | {"earlier": [{"val/elbo": 1.0}, {"val/elbo": 2.0}]})
    news = JournalReader(tmp_path, spec_of()).news()
    assert news == [("epoch", "0001", n, {"val/elbo": float(n)}) for n in (1, 2, 3)]
