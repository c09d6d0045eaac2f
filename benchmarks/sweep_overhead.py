"""The overhead of a sweep beyond its training, and per further trial, against one Tune trial per run.

    python benchmarks/sweep_overhead.py [--trials 60] [--plain 12] [--workers 1 2]

Ours: `vaeorch sweep` of trials of about a second each, in its own process, with MLflow. Plain: the same runs, each as
its own Tune function trial, the simplest way to write it (with 2 workers: each in its own TorchTrainer), without MLflow
or checkpoints. Both have as many slots as 2 CPUs allow.

The work of a trial is the seconds that its epochs took, as measured inside it. With W the time from the beginning of
the first trial's epochs to the end of the last trial's, `wall / ideal` is W * slots / (all work), and a further trial
costs (W * slots - all work) / (trials - slots): the time of a slot between the work of one trial and the next.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

CPUS = 2
WIDTH = 20  # data dimensions: vectors, for which no pictures are drawn
EPOCH_ROWS, VAL_ROWS = 20_000, 400
EPOCHS = 2


def write_data(folder: Path) -> Path:
    file = folder / "x.npy"
    np.save(file, np.random.default_rng(0).normal(size=(EPOCH_ROWS, WIDTH)).astype(np.float32))
    return file


def run_values(data: Path, seconds_per_row: float | None = None) -> dict:
    """A run of about a second, if the time per row is given."""
    rows = EPOCH_ROWS // 2 if seconds_per_row is None else min(int(0.5 / seconds_per_row), EPOCH_ROWS - VAL_ROWS)
    return {
        "method": {"name": "vae"},
        "network": {"name": "mlp", "hidden": [64, 64], "latent_dim": 4},
        "data": {"name": "array", "path": str(data), "train_rows": rows, "val_fraction": VAL_ROWS / EPOCH_ROWS},
        "batch_size": 20,
        "epochs": EPOCHS,
    }


def seconds_per_row(data: Path) -> float:
    import torch

    from trainables.run import Run
    from trainables.train import train

    torch.set_num_threads(1)
    values = run_values(data)
    *_, report = train(Run.model_validate(values))
    return report.seconds / values["data"]["train_rows"]


def ours(run: dict, trials: int, workers: int, folder: Path) -> list[tuple[float, float]]:
    """(work in seconds, time of the end) of each trial of a sweep."""
    spec = {
        "name": f"workers-{workers}",
        "run": run,
        "search": {"seed": {"grid": list(range(trials))}},
        "objective": {"metric": "val/loss", "mode": "min"},
        "scheduler": {"name": "none"},
        "resources": {"workers": workers, "cpus_per_worker": 1},
    }
    YAML(typ="safe", pure=True).dump(spec, folder / "spec.yaml")
    command = [sys.executable, "-m", "orchestrator", "sweep", str(folder / "spec.yaml"), "--out", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    files = sorted((folder / spec["name"] / "trials").glob("*/metrics.jsonl"))
    assert len(files) == trials
    lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    work = [sum(line["seconds"] for line in some) for some in lines]
    return [(seconds, file.stat().st_mtime) for seconds, file in zip(work, files, strict=True)]


def train_and_note(config: dict) -> None:
    """One run; the first worker writes its work and end time to a file."""
    import torch

    from trainables.run import Run
    from trainables.sums import rank_and_world
    from trainables.train import train

    torch.set_num_threads(1)
    seconds = sum(report.seconds for report in train(Run.model_validate(config["run"])))
    if rank_and_world()[0] == 0:
        Path(config["note"]).write_text(json.dumps([seconds, time.time()]))


def alone(config: dict) -> None:
    train_and_note(config["trial"])


def with_workers(config: dict) -> None:
    """The same in its own TorchTrainer."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        train_and_note,
        train_loop_config=config["trial"],
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=config["trial"]["workers"]),
        run_config=RunConfig(storage_path=config["trial"]["note"] + ".group"),
    ).fit()


def plain(run: dict, trials: int, workers: int, folder: Path) -> list[tuple[float, float]]:
    """As `ours`, with each run as a Tune function trial."""
    from ray import tune

    from orchestrator.clusters.local import private_ray
    from orchestrator.clusters.resources import HEAD_NODE

    notes = [str(folder / f"plain-{workers}-{number}") for number in range(trials)]
    configs = [{"run": run | {"seed": n}, "note": note, "workers": workers} for n, note in enumerate(notes)]
    trial, share = (alone, {"cpu": 1}) if workers == 1 else (with_workers, {HEAD_NODE: 0.001})
    with private_ray(gpus_used=False, dashboard=workers > 1) as scratch, redirect_stdout(io.StringIO()):
        tune.run(
            tune.with_resources(trial, share),
            config={"trial": tune.grid_search(configs)},
            max_concurrent_trials=CPUS // workers,
            storage_path=str(scratch),
            verbose=0,
        )
    return [tuple(json.loads(Path(note).read_text())) for note in notes]


def costs(trials: list[tuple[float, float]], slots: int) -> tuple[float, float]:
    """(wall / ideal, seconds of overhead per further trial)."""
    work = sum(seconds for seconds, _ in trials)
    wall = max(end for _, end in trials) - min(end - seconds for seconds, end in trials)
    return wall * slots / work, (wall * slots - work) / (len(trials) - slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--plain", type=int, default=12, help="trials of the plain way; a quarter of it with 2 workers")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print("| workers | slots | seconds of a trial | wall / ideal | a further trial costs | plain | ratio |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder)
        run = run_values(data, seconds_per_row(data))
        for workers in options.workers:
            slots = CPUS // workers
            sweep = ours(run, options.trials if workers == 1 else options.trials // 3, workers, folder)
            ratio, further = costs(sweep, slots)
            _, further_plain = costs(plain(run, max(slots + 1, options.plain // workers**2), workers, folder), slots)
            each = sum(seconds for seconds, _ in sweep) / len(sweep)
            print(
                f"| {workers} | {slots} | {each:.2f} | {ratio:.2f} | {further:.3f} s | {further_plain:.2f} s "
                f"| {further / further_plain:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
