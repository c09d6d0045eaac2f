"""Output that cannot be written, on real pipes, a full device and a terminal that is closed: the work goes on."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.reporting.console import Board, LivePanel
from orchestrator.terminal import PlainConsole
from tests.support import ROOT, warm

VAEORCH = [sys.executable, "-m", "orchestrator"]
FULL = Path("/dev/full")
SWEEP = f"""\
name: told
run:
  method: {{name: vae}}
  network: {{name: mlp, hidden: [16], latent_dim: 2}}
  data: {{name: circle, train_rows: 300, val_rows: 90}}
  epochs: 3
search: {{seed: {{grid: [0, 1]}}}}
scheduler: {{name: none}}
resources: {{cpus_per_worker: {cpus()}}}
"""


@pytest.fixture
def words(tmp_path) -> list[str]:
    """A small sweep, as it is asked for."""
    (tmp_path / "told.yaml").write_text(SWEEP)
    return [str(tmp_path / "told.yaml"), "--out", str(tmp_path / "runs")]


def log_of(folder: Path) -> str:
    text = (folder / "console.log").read_text()
    assert "\x1b" not in text
    return text


def assert_whole(folder: Path) -> None:
    """The sweep came to its end, and the log has its words up to the last."""
    trials = json.loads((folder / "results.json").read_text())["trials"]
    assert [(trial["status"], trial["epochs"]) for trial in trials] == [("completed", 3)] * 2
    log = log_of(folder)
    for said in ("0002 completed", "told: 2 trials by val/elbo", "compare      vaeorch ui told"):
        assert said in log


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_sweep_whose_reader_goes_trains_on_and_logs_to_its_folder(words, tmp_path):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = warm.Popen([*VAEORCH, "sweep", *words], cwd=ROOT, text=True, **pipes)
    assert process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    log = tmp_path / "runs" / "told" / "console.log"
    said = f"Standard output cannot be written (Broken pipe): the work goes on. Its words are in {log}.\n"
    assert (process.wait(), err) == (0, said)
    assert_whole(log.parent)
    for picture in (log.with_name("curves.png"), log.with_name("parallel.png")):
        assert picture.read_bytes().startswith(b"\x89PNG") and f"{picture.stem:<12} {picture}" in log_of(log.parent)


OWN_TERMINAL = """
import fcntl, os, termios
from orchestrator.cli.main import main

os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
main()
"""


def closed_terminal(words: list[str], said: bytes) -> int:
    """The exit code of a command whose terminal is closed once it has said something."""
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = warm.Popen([sys.executable, "-c", OWN_TERMINAL, *words], cwd=ROOT, **streams)
    os.close(theirs)
    seen = b""
    while said not in seen:
        seen += os.read(ours, 10_000)
    os.close(ours)  # SIGHUP to all whose terminal it was, and EIO to whoever writes
    return process.wait()


def test_training_whose_terminal_is_closed_goes_on_and_logs(words, tmp_path):
    assert closed_terminal(["train", *words], b"epoch 1/3") == 0
    assert "checkpoint   " in log_of(tmp_path / "runs" / "told")


def test_a_sweep_whose_terminal_is_closed_before_its_ray_is_up_goes_on_and_logs(words, tmp_path):
    assert closed_terminal(["sweep", *words], b"2 waiting") == 0
    assert_whole(tmp_path / "runs" / "told")


class Terminal(io.StringIO):
    lost = False

    def isatty(self) -> bool:
        return not self.lost


def test_the_panel_of_a_sweep_gives_way_to_plain_lines_once_its_terminal_is_lost():
    terminal = Terminal()
    panel = LivePanel(Board("told", "m", "max", 1, 3.0), PlainConsole(file=terminal))
    try:
        panel.trial_started("0001", {"seed": 0}, "0001")
        assert "0001 started" not in terminal.getvalue()
        terminal.lost = True
        panel.trial_ended("0001", "completed", None, {})
        panel.trial_noticed("0001", "and no more")
        *_, ended, noticed = terminal.getvalue().splitlines()
        assert ended.startswith("0001 completed | 1 done | ") and noticed == "0001 and no more"
    finally:
        panel.close()


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_training_and_evaluating_with_output_to_a_full_disk_go_on_and_log_to_the_runs_folder(words, tmp_path):
    folder = tmp_path / "runs" / "told"
    with FULL.open("wb") as full:
        assert subprocess.run([*VAEORCH, "train", *words], cwd=ROOT, stdout=full, stderr=full).returncode == 0
        measure = ["evaluate", "told", "--metrics", "mse", *words[1:]]
        assert warm.run([*VAEORCH, *measure], cwd=ROOT, stdout=full, stderr=full).returncode == 0
    log = log_of(folder)
    assert [line.split()[1] for line in log.splitlines() if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert "Standard output cannot be written (No space left on device): the work goes on." in log
    assert "told mse (" in log and (folder / "evaluations.json").exists()


def test_training_without_any_standard_stream_writes_into_no_file_that_is_not_its_own(words, tmp_path):
    shell = '"$@" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell, "sh", *VAEORCH, "train", *words], cwd=ROOT).returncode == 0
    lines = (tmp_path / "runs" / "told" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize("place", [FULL, None])
def test_preparing_goes_on_whatever_becomes_of_its_output(tmp_path, place):
    to = closed_pipe() if place is None else os.open(place, os.O_WRONLY)
    command = [*VAEORCH, "data", "prepare", "circle", "--data-root", str(tmp_path)]
    assert warm.run(command, cwd=ROOT, stdout=to, stderr=to).returncode == 0
    os.close(to)
    assert list(tmp_path.glob("prepared/circle-*/index.json"))


def test_results_end_quietly_when_their_reader_has_gone(tmp_path):
    done = subprocess.run([*VAEORCH, "methods"], cwd=ROOT, stdout=closed_pipe(), stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_results_that_cannot_be_written_are_told_in_one_line():
    with FULL.open("wb") as full:
        done = subprocess.run([*VAEORCH, "methods"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "standard output cannot be written: No space left on device. Free room, or choose another place for it.\n"
    )


def test_a_letter_that_the_terminal_does_not_know_ends_nothing(words, tmp_path):
    latin = os.environ | {"PYTHONIOENCODING": "latin-1"}
    spec = Path(words[0])
    spec.write_text(SWEEP.replace("name: told\n", "name: told\nobjective: {metric: 'val/\u03b2', mode: max}\n"))
    done = subprocess.run([*VAEORCH, "train", *words], cwd=ROOT, env=latin, capture_output=True)
    assert done.returncode == 2 and b"val/\\u03b2" in done.stderr and b"Traceback" not in done.stderr


def test_a_pipe_that_does_not_block_and_is_full_is_waited_for():
    code = "from orchestrator import output; output.protect(); print('x' * 10**6)"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert len(pipe.read()) == 10**6 + 1
    assert process.wait() == 0
