"""A small sweep with trained models, made without Ray, for figures and exports."""

import json
from pathlib import Path

from orchestrator.figures.panels import Drawing
from orchestrator.figures.table import FIGURES, draw
from orchestrator.figures.trained import Choice, models_of, trained
from orchestrator.spec.evaluations import Checkpoint
from orchestrator.storage import layout
from orchestrator.storage.blobs import sha256_of
from orchestrator.storage.evaluations_file import EvaluationsFile
from orchestrator.storage.metric_lines import to_json
from tests.support.comparisons import finding
from tests.support.evaluations import a_small
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.inference import fitted
from trainables.run import Run
from trainables.train import reopen, train


def a_sweep(out: Path, name: str, runs: list[tuple[dict, Run]]) -> Path:
    """The folder of a sweep in `out` with a trained trial for each (config, run); equal configs are seeds of one."""
    folder, trials, known = out / name, [], []
    for number, (config, run) in enumerate(runs, start=1):
        if config not in known:
            known.append(config)
        home = layout.trial_folder(folder, f"{number:04d}")
        home.mkdir(parents=True)
        (home / layout.CONFIG).write_text(json.dumps({"run": run.model_dump(mode="json"), "data_root": None}))
        lines = []
        for report in train(run):
            counts = {"epoch": report.epoch, "images": report.images, "seconds": report.seconds}
            lines.append(counts | report.metrics)
        report.save_model(home / layout.BEST)
        report.save(home / layout.CHECKPOINT)
        fitted.keep(home / layout.FITTED, report.training, home / layout.BEST)
        (home / layout.METRICS).write_text("".join(f"{to_json(line)}\n" for line in lines))
        facts = {"id": home.name, "config": config, "configuration": known.index(config) + 1, "status": "completed"}
        best = {"epoch": report.epoch, "val/elbo": report.metrics["val/elbo"]}
        trials.append(facts | {"epochs": report.epoch, "best": best, "checkpoint": str(home / layout.BEST)})
    results = {"name": name, "objective": {"metric": "val/elbo", "mode": "max"}, "trials": trials}
    (folder / layout.RESULTS).write_text(json.dumps(results))
    return folder


def figure(out: Path, name: str, kind: str, trials: str | None = None, checkpoint: Checkpoint | None = None) -> Drawing:
    """What a kind of figure shows of a sweep in `out`. Raises UserError."""
    models = models_of(out, name, Choice(trials, checkpoint))
    return draw(FIGURES[kind], trained(*models, None, checkpoint))


def measure(folder: Path, trial: str, name: str, **settings) -> dict[str, float]:
    """Evaluate a trial of a sweep and keep the result as `vaeorch evaluate` does. Returns its values."""
    home = layout.trial_folder(folder, trial)
    run = Run.model_validate(json.loads((home / layout.CONFIG).read_text())["run"])
    found = find(a_small(name, **settings), EvaluationContext(reopen(run, None, home / layout.BEST).training))
    _keep(home, found.plain(), found.pictures | found.tables)
    return found.values


def note(folder: Path, trial: str, metric: str, values: dict[str, float], **tables: str) -> None:
    """Keep made-up values of an evaluation of a trial, and its tables as CSV by their names without the suffix."""
    made = finding(metric, values=values) | {"epoch": 1, "settings": {}, "lasting": True, "seconds": 0.0}
    files = {f"{name}.csv": text.encode() for name, text in tables.items()}
    _keep(layout.trial_folder(folder, trial), made, files)


def _keep(home: Path, found: dict, files: dict[str, bytes]) -> None:
    digest = sha256_of(home / layout.BEST)
    EvaluationsFile(home).keep(found["metric"], found | {"checkpoint": digest}, files)
