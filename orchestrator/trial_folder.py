"""What a trial keeps on disk, and its work from wherever its folder left off. Knows nothing of Ray.

    config.json     the trial's id, its place in the search space, the whole run
    metrics.jsonl   one line per epoch
    checkpoint.pt   the state after the last epoch
    best.pt         the state after the epoch with the best objective
    pictures/0009/  the pictures drawn after epoch 9
    error.txt       the whole story of a failure
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from orchestrator.files import finite_or_null, pictures_folder, write_whole
from trainables import checkpoint
from trainables.run import Run
from trainables.train import Diverged, Report, train

IDENTITY = ("id", "config", "seed", "run")  # of a slot's config, what config.json holds
COUNTS = ("epoch", "images", "seconds")  # what a line of metrics.jsonl holds besides metrics


class TrialFolder:
    """The folder of one trial. `metric` and `mode` ("max" or "min") say which epoch is the best."""

    def __init__(self, path: Path, metric: str, mode: str):
        self.path, self.metric = path, metric
        self.sign = {"max": 1.0, "min": -1.0}[mode]
        self.checkpoint = path / "checkpoint.pt"
        self.report: Report | None = None  # of the epoch just finished
        self.lines: list[dict] = []  # of metrics.jsonl, one per epoch
        self.best = -math.inf  # sign * objective

    def open(self) -> Path | None:
        """The checkpoint to go on from, if there is one; metrics.jsonl is cut back to its epoch.

        Raises CheckpointError when it cannot be read.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.checkpoint.exists():
            return None
        epoch = checkpoint.load(self.checkpoint)["epoch"]
        text = (self.path / "metrics.jsonl").read_text(encoding="utf-8")
        self.lines = [from_json(line) for line in text.splitlines()[:epoch]]
        write_whole(self.path / "metrics.jsonl", "".join(map(to_json, self.lines)))
        self.best = max(self._score(line) for line in self.lines)
        return self.checkpoint

    def keep(self, report: Report, draw: bool) -> None:
        """Keep the epoch just finished. The checkpoint comes last: with it the epoch counts as done."""
        self.report = report
        line = {"epoch": report.epoch, "images": report.images, "seconds": report.seconds} | report.metrics
        self.lines.append(line)
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(to_json(line))
        if draw:
            self.draw()
        if self._score(line) > self.best:
            self.best = self._score(line)
            report.save(self.path / "best.pt")
        report.save(self.checkpoint)

    def draw(self) -> None:
        """The pictures of the epoch just finished, unless they are there."""
        if self.report and not (folder := pictures_folder(self.path, self.report.epoch)).exists():
            self.report.draw(folder, [metrics_of(line) for line in self.lines])

    def _score(self, line: dict) -> float:
        """The objective, more being better; what is not finite is worst."""
        return self.sign * line[self.metric] if math.isfinite(line[self.metric]) else -math.inf


def results(config: dict, folder: TrialFolder) -> Iterator[dict]:
    """Train a trial and yield a result of plain values per epoch; see `result` for its keys.

    A trial that is taken up again first repeats the epoch of its checkpoint: whoever listens may not have heard of it.
    """
    run = Run.model_validate(config["run"])
    last_epoch = config.get("last_epoch", run.epochs)
    resume = folder.open()
    write_whole(folder.path / "config.json", json.dumps({key: config[key] for key in IDENTITY}, indent=2) + "\n")
    if resume:
        yield result(folder, folder.lines[-1], last_epoch)
    try:
        for report in train(run, config["data_root"] and Path(config["data_root"]), resume):
            every = config["pictures_every"] or last_epoch
            folder.keep(report, draw=report.epoch == last_epoch or report.epoch % every == 0)
            yield result(folder, folder.lines[-1], last_epoch)
    except Diverged as error:
        known = {"epoch": len(folder.lines), "value": math.nan, "metrics": {}, "finished": False}
        yield known | {"diverged": str(error), "done": True}


def result(folder: TrialFolder, line: dict, last_epoch: int) -> dict:
    """One epoch as it crosses process borders: `value` is the objective, `finished` is true after the last epoch."""
    finished = line["epoch"] == last_epoch
    counts = {key: line[key] for key in COUNTS}
    value, metrics = line[folder.metric], metrics_of(line)
    return counts | {"value": value, "metrics": metrics, "finished": finished, "diverged": None, "done": finished}


def metrics_of(line: dict) -> dict[str, float]:
    return {key: value for key, value in line.items() if key not in COUNTS}


def to_json(line: dict) -> str:
    return json.dumps(finite_or_null(line)) + "\n"


def from_json(text: str) -> dict:
    return {key: math.nan if value is None else value for key, value in json.loads(text).items()}
