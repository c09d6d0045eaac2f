"""What a sweep or run logs of itself when it starts: description, provenance, data set and saved view."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.space.trials import parameters
from orchestrator.storage import layout
from orchestrator.tracking.saved_view import SavedView
from orchestrator.tracking.tracker import Tracker, provenance
from trainables.data.access import DataAccess

if TYPE_CHECKING:
    from orchestrator.space.plan import Plan
    from orchestrator.space.trials import Trial
    from orchestrator.spec.records import SweepSpec

CURVES = ("val/nll", "val/kl", "val/mse", "val/active", "val/hoyer")  # shown beside the objective
OF_IMAGES, OF_A_PLANE = ("reconstructions", "samples", "traversals"), ("samples",)  # pictures that every method has


def open_tracker(uri: str | None, plan: "Plan", folder: Path, source: str, data: DataAccess) -> Tracker:
    """A Tracker that has logged the start of the sweep in `folder` (OUT/NAME); `source` is the file of its spec.

    Without `uri` it is sent to no store. Raises TrackingError and DataError.
    """
    spec = plan.spec
    tracker = Tracker(uri, spec.name, spec.name, folder)
    tracker.sweep_started(
        description=describe(spec, len(plan), folder),
        config=(folder / layout.SPEC).read_text(encoding="utf-8"),
        tags=provenance(source),
        dataset=dataset_facts(spec, data),
        view=view_of(spec, plan.examples, data),
    )
    return tracker


def open_run(uri: str, spec: "SweepSpec", folder: Path, source: str, data: DataAccess) -> Tracker:
    """A Tracker of a run that is trained alone: in MLflow it is one run, whose epochs are logged as a sweep's own.

    Raises TrackingError and DataError.
    """
    facts = dataset_facts(spec, data)
    tracker = Tracker(uri, spec.name, spec.name, folder)
    tracker.sweep_started(
        description=f"**{spec.name}** {spec.description}".strip() + f"\n\nFiles: `{folder}`",
        config=json.dumps(spec.run.model_dump(mode="json"), indent=2),
        tags={**provenance(source), "kind": "run"},
        dataset=facts,
        view=view_of(spec, [], data),
    )
    return tracker


def view_of(spec: "SweepSpec", trials: "list[Trial]", data: DataAccess) -> SavedView:
    """What MLflow's page shows of a sweep with such trials. Raises DataError."""
    configs, metric = [parameters(spec, trial) for trial in trials], spec.objective.metric
    shape, epochs = data.facts(spec.run.data).shape, spec.run.epochs
    first_pause = spec.scheduler.first_decision(epochs) if spec.trials_draw else epochs
    return SavedView(
        objective=metric,
        mode=spec.objective.mode,
        params=list(dict.fromkeys(path for config in configs for path in config)),
        axes=axes_of([trial.config for trial in trials]) if trials else [],
        curves=[name for name in CURVES if name != metric],
        pictures=OF_IMAGES if len(shape) == 3 else OF_A_PLANE if shape == (2,) else (),
        first_epoch=min(spec.pictures_every or epochs, first_pause),
        grouped_by="configuration" if spec.replicated else None,
    )


def axes_of(configs: list[dict[str, Any]]) -> list[str]:
    """The parameters that vary, that all trials have, and that do not mix text and numbers: MLflow draws no others."""
    shared = [path for path in configs[0] if all(path in config for config in configs)]
    columns = {path: [config[path] for config in configs] for path in shared}
    varying = {path: values for path, values in columns.items() if any(value != values[0] for value in values)}
    return [path for path, values in varying.items() if len({isinstance(value, int | float) for value in values}) == 1]


def describe(spec: "SweepSpec", trials: int, folder: Path) -> str:
    """The sweep in a few lines of Markdown."""
    seeds = f", {spec.seeds} seeds for each configuration" if spec.seeds > 1 else ""
    what = f"{trials} trials on `{spec.run.data.name}` with the network `{spec.run.network.name}`{seeds}"
    how = f"ranked by `{spec.objective.metric}` ({spec.objective.mode}), scheduler `{spec.scheduler.name}`"
    return "\n\n".join([f"**{spec.name}** {spec.description}".strip(), f"{what}, {how}.", f"Files: `{folder}`"])


def dataset_facts(spec: "SweepSpec", data: DataAccess) -> dict[str, Any]:
    """The data set: its name, where it comes from, and plain facts. Raises DataError."""
    dataset, facts = spec.run.data, data.facts(spec.run.data)
    sizes = {"shape": list(facts.shape), "train_rows": facts.train_rows, "val_rows": facts.val_rows}
    return {"name": dataset.name, "source": dataset.source, "licence": dataset.licence} | sizes
