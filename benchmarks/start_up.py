"""The time from a command to its answer, or to the stages of a sweep.

    python benchmarks/start_up.py [--repeats 5]

Whole processes, timed one after another; medians, also as a multiple of the time of an empty `click` command, which is
close to the least possible. The stages of a sweep are the times of the files that it writes: the folder claimed, Ray
and the slot started (the trial's config.json), the first epoch saved.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = "search_spaces/quickstart.yaml"
VAEORCH = [sys.executable, "-m", "orchestrator"]
BARE = [sys.executable, "-c", "import click; click.Command('bare', callback=lambda: None)([])"]
COMMANDS = {
    "--help": ["--help"],
    "an unknown key": ["sweep", SPEC, "--set", "run.epoch=3"],
    "--dry-run": ["sweep", SPEC, "--dry-run"],
}
ONE_TRIAL = ["--set", "trials=1", "--set", "run.epochs=1", "--set", "scheduler={name: none}"]
STAGES = {
    "the spec is sound, the folder claimed": "spec.yaml",
    "Ray and the slot are up, the trial begins": "trials/0001/config.json",
    "the first epoch is kept": "trials/0001/metrics.jsonl",
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=False, capture_output=True)
    return time.perf_counter() - started


def stages(folder: Path) -> list[float]:
    """Seconds from the command to each stage of a sweep of one trial, and to its end."""
    started = time.time()
    subprocess.run([*VAEORCH, "sweep", SPEC, *ONE_TRIAL, "--out", str(folder)], check=True, capture_output=True)
    ended = time.time() - started
    return [*((folder / "quickstart" / file).stat().st_mtime - started for file in STAGES.values()), ended]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    rounds = [[seconds(BARE), *(seconds([*VAEORCH, *words]) for words in COMMANDS.values())] for _ in range(repeats)]
    bare, *times = (statistics.median(column) for column in zip(*rounds, strict=True))
    print("| command | seconds | times a bare click command |\n| --- | ---: | ---: |")
    for name, median in zip(COMMANDS, times, strict=True):
        print(f"| {name} | {median:.2f} | {median / bare:.1f} |")
    with tempfile.TemporaryDirectory() as folder:
        runs = [stages(Path(folder) / str(number)) for number in range(repeats)]
    print("\n| a sweep of one trial | seconds from the command |\n| --- | ---: |")
    for stage, column in zip([*STAGES, "it has ended, MLflow has all"], zip(*runs, strict=True), strict=True):
        print(f"| {stage} | {statistics.median(column):.1f} |")


if __name__ == "__main__":
    main()
