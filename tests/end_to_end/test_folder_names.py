"""Folders that users really have: what we print is what a shell, a file system and a reader understand."""

import json
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.commands import closing
from orchestrator.evaluation.models import trained_models
from orchestrator.execution.run import Outcome
from orchestrator.shell import command, command_for
from orchestrator.terminal import PlainConsole
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.tracker import Left
from orchestrator.tracking.ui import page
from tests.support import ROOT, warm
from tests.support.consoles import of_trial, screen

NAMES = [
    "my runs", "a#b", "a?b", "100%", "a%20b", "it's", 'say "so"', "$HOME", "`id`", "a;b", "a&b", "a|b", "~", "*", "[x]",
    "[red]", ":smile:", "-rf", "--out", "a\\b", "(1)", "{a,b}", "!x", "ä" * 100, unicodedata.normalize("NFD", "é"),
    unicodedata.normalize("NFC", "é"), "日本語", "👩‍🔬", " x ", "=", "x" * 200,
]  # fmt: skip


NASTIEST = "a b#c?d%20e%f'g\"h$HOME[i]{j,k}&;`id`\\n:m=é日本語👩‍🔬"
TWO_TRIALS = f"""\
name: two
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [8], latent_dim: 2}}
  data: {{name: digits, train_rows: 100, val_rows: 50}}
  epochs: 1
search: {{network.latent_dim: {{grid: [2, 3]}}}}
scheduler: {{name: none}}
resources: {{cpus_per_worker: {cpus()}}}
"""


def as_a_shell_reads(line):
    """The words of a command line, one by one."""
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, text=True)
    return said.stdout.split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_is_told_can_be_pasted_into_a_shell(tmp_path, name):
    expected = ["vaeorch", "resume", "a", "--out", str(tmp_path / name)]
    assert as_a_shell_reads(command_for("resume", tmp_path / name / "a")) == expected
    assert as_a_shell_reads(command("ui", name, Path(name))) == ["vaeorch", "ui", name, "--out", name]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_words_of_a_sweep_can_be_pasted_into_a_shell(tmp_path, name):
    console, read = screen(width=80)
    out = tmp_path / name
    closing.close(
        console, Outcome(out / "a", of_trial({}, None), KeyboardInterrupt()), out, Left(3, "", 0, "", out), False
    )
    lines = [line for line in read().splitlines() if "vaeorch " in line]
    commands = [line[line.index("vaeorch ") :] for line in lines]
    assert [shlex.split(line) for line in commands] == [
        ["vaeorch", verb, "a", "--out", str(out)] for verb in ("ui", "sync", "resume")
    ]


def test_results_and_evaluations_of_a_sweep_are_read_below_any_folder(tmp_path):
    for name in NAMES:
        folder = tmp_path / name / "a"
        trial = folder / "trials" / "0001"
        trial.mkdir(parents=True)
        (trial / "best.pt").touch()
        found = of_trial({}, None)
        found["trials"][0] |= {"checkpoint": str(trial / "best.pt"), "status": "completed"}
        (folder / "results.json").write_text(json.dumps(found))
        assert trained_models(tmp_path / name, "a")[1][0].checkpoint == trial / "best.pt"


def test_the_command_line_takes_a_folder_of_any_name_and_tells_it_as_it_is(tmp_path):
    out = tmp_path / "- it's 100% [red] #1? $HOME 日本語"
    for verb in ("results", "resume", "evaluate", "ui"):
        call = [sys.executable, "-m", "orchestrator", verb, "a", "--out", str(out)]
        said = warm.run(call, cwd=ROOT, capture_output=True, text=True)
        assert said.returncode == 2 and str(out) in said.stderr and len(said.stderr.splitlines()) == 1


def test_a_console_breaks_no_word_of_a_path(tmp_path):
    console, read = screen(width=20)
    assert isinstance(console, PlainConsole)
    closing.say(console, str(tmp_path / ("x" * 200)))
    assert read() == f"{tmp_path / ('x' * 200)}\n"


@pytest.mark.parametrize("line_break", ["\n", "\r"])
@pytest.mark.parametrize("verb", ["results", "sync"])
def test_an_out_that_is_no_line_is_refused_in_one(vaeorch, tmp_path, verb, line_break):
    code, _, err = vaeorch(verb, "a", "--out", f"{tmp_path}/a{line_break}b")
    assert code == 2 and err.splitlines() == [
        f"--out: {f'{tmp_path}/a{line_break}b'!r} has a line break in it. Choose another folder."
    ]


def test_a_sweep_lives_its_whole_life_in_the_nastiest_folder(vaeorch, tmp_path):
    out, spec = tmp_path / NASTIEST, tmp_path / "spec.yaml"
    spec.write_text(TWO_TRIALS)

    def told(*words):
        code, said, err = vaeorch(*words, "--out", out)
        assert code == 0, err
        return said

    [ui] = [line for line in told("sweep", spec).splitlines() if line.startswith("compare ")]
    assert shlex.split(ui)[1:] == ["vaeorch", "ui", "two", "--out", str(out)]
    found = json.loads(told("results", "two", "--format", "json"))
    assert [trial["status"] for trial in found["trials"]] == ["completed"] * 2
    assert all(Path(trial["checkpoint"]).is_relative_to(out) for trial in found["trials"])
    told("resume", "two")
    told("evaluate", "two/0001", "--metrics", "mse,active")
    assert told("sync", "two").strip() == "Everything is sent."
    assert page(out / "two", recorded_store(out / "two"), "http://x").startswith("http://x/#/")
    assert (out / "mlflow.db").exists() and {path.name for path in tmp_path.iterdir()} == {NASTIEST, "spec.yaml"}
