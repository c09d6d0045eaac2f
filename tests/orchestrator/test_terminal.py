"""What people read on a terminal: text as it was written, whatever it holds."""

import ast
from pathlib import Path

import pytest

from orchestrator import terminal
from orchestrator.commands import datasets as data_sets
from orchestrator.commands import evaluate
from orchestrator.commands.closing import close
from orchestrator.execution.run import Outcome
from orchestrator.reporting.comparison import compare, print_all
from orchestrator.reporting.console import Board, LivePanel, PlainLines
from orchestrator.reporting.leaderboard import as_table
from orchestrator.storage.evaluations_file import EvaluatedModel
from orchestrator.terminal import say
from orchestrator.tracking.tracker import Left
from tests.support import ROOT
from tests.support.consoles import of_trial, screen

MARKED = [
    "[red]",
    "[/]",
    "[/red]",
    "[link=x]y[/link]",
    "[bold]a[/bold]",
    ":smile:",
    "[[x]]",
    r"\[x]",
    "[@click=f]",
    "[1, 2]",
]


def makers(tree):
    """The names of what is called in a module that rich or click would read markup in."""
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = {getattr(func, "id", getattr(func, "attr", "")) for func in called}
    return names & {"Console", "PlainConsole", "TextColumn", "from_markup", "render_markup", "print_exception"}


def test_consoles_are_made_in_one_place_alone():
    files = [path for folder in ("orchestrator", "trainables") for path in (ROOT / folder).rglob("*.py")]
    found = {path.name: makers(ast.parse(path.read_text())) for path in files}
    assert {name for name, made in found.items() if made} == {"terminal.py"}


@pytest.mark.parametrize("text", MARKED)
def test_a_line_a_table_and_a_panel_show_text_with_brackets_as_it_was_written(text):
    console, read = screen()
    say(console, f"line {text}")
    say(console, as_table(of_trial({"data.file": text}, f"because of {text}"), console.width))
    board = Board(text, "val/elbo", "max", 2, 1.0)
    view = LivePanel(board, console)
    view.trial_started("0001", {"data.file": text}, "0001")
    view.epoch("0001", 1, {"val/elbo": -1.0})
    console.print(view.render())
    view.trial_noticed("0001", text)
    view.close()
    lines = PlainLines(board, console)
    lines.trial_started("0002", {"data.file": text}, "0002")
    lines.trial_ended("0002", "failed", text, {})
    for expected in (f"line {text}", f"file={text}", f"because of {text}", f"failed ({text})", f"{text}: 2 trials"):
        assert expected in read()


@pytest.mark.parametrize("text", MARKED)
def test_what_was_evaluated_shows_text_with_brackets_as_it_was_written(text):
    console, read = screen()
    provenance = {"extractor": text, "extractor_hash": "", "counts": [], "split": text, "mapping": "", "seed": 0}
    finding = {"metric": "mse", "values": {"mse": 1.0}, "undefined": "", "pictures": [], "seconds": 1.0}
    finding["provenance"] = provenance | {"settings": [], "data": "digits"}
    none = {"metric": "mig", "values": {}, "provenance": None, "undefined": text, "pictures": []}
    print_all(compare([EvaluatedModel(f"0001 {text}", "0001", [finding, none], Path("/runs"))]), "table", console)
    with evaluate.progress(console, 1) as step:
        step(evaluate.line_of(text, finding))
    assert f"0001 {text}" in read() and f"mig: none for 0001: {text}" in read() and f"{text} mse" in read()


@pytest.mark.parametrize("text", MARKED)
def test_the_last_words_of_a_sweep_show_text_with_brackets_as_it_was_written(text, tmp_path):
    console, read = screen()
    results = of_trial({"data.file": text}, text)
    results["trials"][0]["checkpoint"] = text
    left = Left(1, text, 0, "", tmp_path)
    close(console, Outcome(tmp_path / text, results, KeyboardInterrupt()), tmp_path / text, left, False)
    assert f"checkpoint   {text}" in read() and str(tmp_path / text / "results.json") in read()


def test_a_bar_of_bytes_shows_what_it_is_about_as_it_was_written(monkeypatch):
    console, read = screen(force_terminal=True)
    monkeypatch.setattr(terminal, "console", lambda stderr=False: console)
    with data_sets.bar("[red] :smile: [/]") as told:
        told(1, 2)
    assert "[red] :smile: [/]" in read()


def test_what_a_terminal_would_obey_is_written_out():
    console, read = screen()
    say(console, "a\x1b[31mb\x07c\ud800d\tä 👩\u200d🔬")
    assert read() == "a\\x1b[31mb\\x07c\\ud800d\\tä 👩\u200d🔬\n"
