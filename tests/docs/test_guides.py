"""The commands of README and of the guides run as they are printed, one page after the other, on one small sweep."""

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.build.sweep import DOCS, blocks, in_a_process, run_page
from orchestrator.cli.main import cli
from tests.support import ROOT

GUIDES = {path.stem: path for path in (ROOT / "README.md", *sorted((DOCS / "guides").glob("*.md")))}
ORDER = (
    *("README", "writing-a-spec", "several-gpus", "many-small-trials", "imagenet32", "reproducing-a-paper"),
    *("your-own-data", "mlflow", "evaluating", "reading-a-sweep", "using-models", "going-on"),
)
"""Guides with commands to run; the last one renames and removes the sweep."""
OF_THEIR_OWN = {"your-own-method"}
"""Guides that have a test of their own."""
SMALL = ["--set", "trials=4", "--set", "run.epochs=9", "--set", "scheduler={name: none}"]
"""Without ASHA, whose promotions depend on which of two trials is quicker."""
PROCESSES = {"sweep", "resume", "extend", "evaluate", "draw", "train"}
"""Verbs that train, or start processes of their own."""
ASKS = {"remove"}


def call(words: list[str], folder: Path) -> str:
    """Run a command in `folder`; in this process where it is quick, as importing torch takes longer."""
    if words[0] in PROCESSES and "--dry-run" not in words:
        return in_a_process(words, folder)
    printed = io.StringIO()
    with chdir(folder), redirect_stdout(printed), redirect_stderr(printed):
        cli.main([*words, *(["--yes"] if words[0] in ASKS else [])], standalone_mode=False)
    return printed.getvalue()


def prepare(guide: str, folder: Path) -> None:
    """Make what a guide takes for granted."""
    if guide == "README":  # `make quickstart`, in small
        call(["sweep", "search_spaces/quickstart.yaml", *SMALL], folder)
    if guide == "your-own-data":
        for number in range(40):
            file = folder / "flowers" / ("rose", "tulip")[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (210 + number, 220), (9 * number % 256, 80, 10)).save(file)
    if guide == "reading-a-sweep":
        call(["sweep", "search_spaces/quickstart.yaml", "--name", "quickstart_again", *SMALL], folder)
        call(["evaluate", "quickstart_again", "--metrics", "mse"], folder)
    if guide == "using-models":
        np.save(folder / "rows.npy", np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guides")
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    return folder


@pytest.fixture(scope="module")
def printed(folder) -> dict[str, str]:
    """Command -> what it printed."""
    outputs = {}
    for guide in ORDER:
        prepare(guide, folder)
        outputs |= run_page(GUIDES[guide], folder, call)
    return outputs


def commands_of(guide: str) -> Iterator[str]:
    """The commands of a guide that can be run."""
    for block in blocks(GUIDES[guide].read_text()):
        if block.language == "bash" and block.run:
            yield from (shlex.join(words) for words in block.commands() if words[0] == "vaeorch")


def test_every_guide_with_commands_to_run_is_run():
    assert {guide for guide in GUIDES if list(commands_of(guide))} == {*ORDER, *OF_THEIR_OWN}


def test_every_command_has_run(printed):
    assert printed.keys() == {command for guide in ORDER for command in commands_of(guide)}


def test_a_finished_sweep_has_nothing_to_resume(printed):
    assert "4 trials by val/elbo" in printed["vaeorch resume quickstart"]


def test_extending_adds_trials_seeds_and_epochs(printed):
    assert "12 trials by val/elbo" in printed["vaeorch extend quickstart --trials 8"]
    assert "36 trials" in printed["vaeorch extend quickstart --seeds 2"]
    assert " 36 " in printed["vaeorch extend quickstart --epochs 27 --top 3"]


def test_numbers_that_were_measured_are_shown(printed):
    measured = next(text for command, text in printed.items() if command.startswith("vaeorch evaluate quickstart"))
    shown = printed["vaeorch results quickstart --evaluations"]
    for name in ("frechet_classifier", "mse", "rate"):
        assert name in measured and name in shown


def test_equal_sweeps_have_equal_numbers_side_by_side(printed):
    lines = printed["vaeorch compare quickstart quickstart_again"].splitlines()
    numbers = [re.findall(r"quickstart(?:_again)? ([\d.]+) \(1\)", line) for line in lines if " mse," in line]
    assert len(numbers) == 4
    assert all(one == other for one, other in numbers)


def test_files_are_written_where_the_guides_say(printed, folder):
    for name in ("mine.yaml", "flowers.png", "quickstart.html", "z.npz", "samples.png", "model/model.safetensors"):
        assert (folder / name).stat().st_size > 500, name
    assert list((folder / "graphs").glob("*.onnx"))


def test_the_sweep_that_was_renamed_and_removed_is_gone(printed, folder):
    left = {path.name for path in (folder / "runs").iterdir() if (path / "spec.yaml").exists()}
    assert "quickstart_again" in left and not left & {"quickstart", "digits"}
