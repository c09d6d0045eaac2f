"""The cost of a report: to save an epoch with and without its checkpoint, and to log it to MLflow.

    python benchmarks/report_overhead.py [--epochs 150]

Each cost is a share of an epoch of 0.2 s (no epoch is trained: only the work after it is timed), in the median:

- line: the epoch's line in metrics.jsonl
- checkpoint: the same and two checkpoints, the last and the best, of an MLP 3x256 with Adam's state
- told: how long the driver waits when it logs 26 metrics; a thread sends them to an sqlite store
- sent: CPU time of the whole driver per report, including that thread and the store (mean)
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from orchestrator.storage.trial_folder import TrialFolder
from orchestrator.tracking.saved_view import SavedView
from orchestrator.tracking.tracker import Tracker
from trainables.run import Run
from trainables.train import Report, train

EPOCH_SECONDS = 0.2
SETTLED_SECONDS = 10.0  # until MLflow is imported and the store has created its tables
METRICS = {f"val/metric_{number:02d}": float(number) for number in range(26)}
OBJECTIVE = "val/metric_00"
RUN = {
    "method": {"name": "vae"},
    "network": {"name": "mlp", "latent_dim": 8},
    "data": {"name": "digits"},
    "epochs": 1,
}


def seconds(act: Callable[[int], None], epochs: int, pause: float = 0.0) -> float:
    """Median seconds of act(epoch), with a pause after each."""
    times = []
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        act(epoch)
        times.append(time.perf_counter() - started)
        time.sleep(pause)
    return statistics.median(times)


def kept(folder: Path, report: Report, epochs: int) -> float:
    """Seconds to save an epoch, when each is better than the last."""
    trial = TrialFolder(folder, OBJECTIVE, "max")
    trial.open()
    return seconds(
        lambda epoch: trial.keep(replace(report, epoch=epoch, metrics=METRICS | {OBJECTIVE: epoch}), False), epochs
    )


def told(folder: Path, epochs: int) -> tuple[float, float]:
    """Seconds that the driver waits per report, and its CPU seconds per report until all are sent."""
    (folder / "spec.yaml").write_text("name: report\n")
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", "report", "report", folder)
    data = {"name": "digits", "source": "scikit-learn", "shape": [1, 8, 8]}
    view = SavedView(OBJECTIVE, "max", [], [], [], (), 1)
    tracker.sweep_started("", (folder / "spec.yaml").read_text(), {}, data, view)
    tracker.trial_started("0000", {}, "0000")
    tracker.epoch("0000", 1, METRICS)
    time.sleep(SETTLED_SECONDS)
    cpu = time.process_time()

    waits = seconds(lambda epoch: tracker.epoch("0000", epoch + 1, METRICS), epochs, pause=EPOCH_SECONDS)
    assert not tracker.close()
    return waits, (time.process_time() - cpu) / epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=150)
    epochs = parser.parse_args().epochs
    *_, report = train(Run.model_validate(RUN))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = kept(folder / "whole", report, epochs)
        Report.save = lambda self, path: path.touch()
        line = kept(folder / "line", report, epochs)
        waits, cpu = told(folder, epochs)
    print("| part of a report | ms | share of an epoch of 0.2 s |\n| --- | ---: | ---: |")
    for part, cost in {"line": line, "checkpoint": whole, "told": waits, "sent": cpu}.items():
        print(f"| {part} | {1000 * cost:.2f} | {100 * cost / EPOCH_SECONDS:.2f} % |")


if __name__ == "__main__":
    main()
