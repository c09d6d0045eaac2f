"""CPU-seconds of a whole sweep of small trials: one trial in a slot at a time, and several that share it.

    python benchmarks/shared_slots.py [--trials N] [--epochs N] [--rounds N]

Both sweeps are run by the command line, alternately, with all reports kept. The CPU time is that of all processes which
the command started, Ray's own among them: they run in a session of their own, and are asked by `/proc` until they end.
So Linux only. The ratio is per round. It also counts whose last metrics differ between the two: with `auto` none may.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SPEC = {
    "run": {
        "method": {"name": "vae"},
        "network": {"name": "mlp", "hidden": [10, 10, 10], "latent_dim": 2},
        "data": {"name": "circle", "train_rows": 10_000, "val_rows": 2_000},
        "batch_size": 100,
    },
    "search": {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}},
    "scheduler": {"name": "none"},
}
TICK = os.sysconf("SC_CLK_TCK")
MARK = "VAEORCH_BENCHMARK"  # in the environment of all processes of a sweep: Ray leaves sessions and groups


def cpu_seconds(mark: str) -> dict[int, float]:
    """Process -> its CPU-seconds so far, of those with this mark in their environment."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                words = (process / "stat").read_text().rpartition(")")[2].split()
                found[int(process.name)] = (int(words[11]) + int(words[12])) / TICK
        except OSError:
            continue
    return found


def sweep(folder: Path, spec: dict) -> tuple[float, dict]:
    """Run a sweep. Returns its CPU-seconds, but for the last tenth of a second of each process, and its results."""
    folder.mkdir()
    (folder / "spec.yaml").write_text(json.dumps(spec))
    mark, known, over = str(folder), {}, threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            known.update(cpu_seconds(mark))

    watch = threading.Thread(target=look)
    watch.start()
    command = [str(Path(sys.executable).parent / "vaeorch"), "sweep", "spec.yaml"]
    try:
        subprocess.run(command, cwd=folder, env=os.environ | {MARK: mark}, check=True, stdout=subprocess.DEVNULL)
    finally:
        over.set()
        watch.join()
    return sum(known.values()), json.loads((folder / "runs" / spec["name"] / "results.json").read_text())


def main() -> None:
    asked = argparse.ArgumentParser()
    for name, default in {"trials": 64, "epochs": 5, "rounds": 2}.items():
        asked.add_argument(f"--{name}", type=int, default=default)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(given.rounds):
            took, last = {}, {}
            for share in (1, "auto"):
                spec = SPEC | {"name": f"shared-{share}", "trials": given.trials}
                spec |= {"run": SPEC["run"] | {"epochs": given.epochs}, "resources": {"trials_per_slot": share}}
                took[share], results = sweep(Path(scratch) / f"{number}-{share}", spec)
                last[share] = {trial["id"]: trial["last"] for trial in results["trials"]}
            differing = sum(last[1][trial] != last["auto"].get(trial) for trial in last[1])
            ratio = took["auto"] / took[1]
            print(f"{took[1]:.1f} CPU-s alone, {took['auto']:.1f} shared: ratio {ratio:.2f}; {differing} trials differ")


if __name__ == "__main__":
    main()
