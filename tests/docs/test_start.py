"""The commands of the page Start run as they are printed there, in one small sweep."""

import io
import re
import shlex
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from docs.build.sweep import DOCS, START, blocks, in_a_process, run_page
from orchestrator.cli.main import cli
from tests.support import ROOT

OF_THEIR_OWN = {"sweep", "evaluate"}
"""Verbs that start processes of their own."""


def call(words: list[str], folder: Path) -> str:
    """Run a command in `folder`; in this process where it is quick, as importing torch takes longer."""
    if words[0] in OF_THEIR_OWN and "--dry-run" not in words:
        return in_a_process(words, folder)
    printed = io.StringIO()
    with chdir(folder), redirect_stdout(printed), redirect_stderr(printed):
        cli.main(words, standalone_mode=False)
    return printed.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def printed(folder) -> dict[str, str]:
    """Command -> what it printed."""
    return run_page(START, folder, call)


def test_each_command_of_the_page_has_run(printed):
    shown = [block for block in blocks(START.read_text()) if block.language == "bash" and block.run]
    commands = {shlex.join(words) for block in shown for words in block.commands()}
    assert commands == printed.keys()
    assert len(commands) >= 6


def test_the_sweep_ends_as_the_page_says(printed):
    board = printed["vaeorch sweep first.yaml"]
    assert "first: 12 trials by val/elbo" in board
    assert "completed" in board
    assert "stopped (asha@3)" in board
    assert "first: 12 trials into" in printed["vaeorch sweep first.yaml --dry-run"]


def test_the_files_that_the_page_shows_are_there(printed, folder):
    shown = re.findall(r"\(made/([^)]+)\)", START.read_text())
    assert len(shown) >= 4
    for name in shown:
        assert (folder / name).stat().st_size > 1000, name
    assert (folder / "model" / "model.safetensors").exists()


def test_evaluate_prints_the_numbers_and_what_they_rest_on(printed):
    table = next(text for command, text in printed.items() if command.startswith("vaeorch evaluate"))
    assert "hoyer" in table
    assert "split val of digits" in table


@pytest.mark.thorough
def test_the_documentation_builds_strictly_and_asks_no_other_server(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: the extra `docs` has it")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.setenv("DOCS_SWEEP", str(tmp_path / "sweep"))
    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        assert not re.search(r'<(script|link|img)[^>]+(src|href)="?https?://', page.read_text()), page
