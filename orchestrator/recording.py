"""What a sweep tells MLflow of itself when it starts: description, provenance, data set and saved view."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.saved_view import View
from orchestrator.tracking import Tracker, provenance

if TYPE_CHECKING:
    from orchestrator.space import Trial
    from orchestrator.spec import SweepSpec

CURVES = ("val/nll", "val/kl", "val/mse", "val/active", "val/hoyer")  # shown beside the objective


def open_tracker(
    uri: str, spec: "SweepSpec", trials: "list[Trial]", folder: Path, source: str, data_root: Path | None
) -> Tracker:
    """A Tracker that has been told of the sweep in `folder` (OUT/NAME); `source` is the file its spec came from.

    Raises TrackingError and DataError.
    """
    tracker = Tracker(uri, spec.name, spec.name, folder)
    params = list(dict.fromkeys(path for trial in trials for path in trial.config))
    curves = dict.fromkeys((spec.objective.metric, *CURVES))
    tracker.sweep_started(
        description=describe(spec, len(trials), folder),
        config_file=folder / "spec.yaml",
        tags=provenance(source),
        dataset=dataset_facts(spec, data_root),
        view=View(spec.objective.metric, spec.objective.mode, params, list(curves)),
    )
    return tracker


def describe(spec: "SweepSpec", trials: int, folder: Path) -> str:
    """The sweep in a few lines of Markdown."""
    what = f"{trials} trials on `{spec.run.data.name}` with the network `{spec.run.network.name}`"
    how = f"ranked by `{spec.objective.metric}` ({spec.objective.mode}), scheduler `{spec.scheduler.name}`"
    return "\n\n".join([f"**{spec.name}** {spec.description}".strip(), f"{what}, {how}.", f"Files: `{folder}`"])


def dataset_facts(spec: "SweepSpec", data_root: Path | None) -> dict[str, Any]:
    """The data set: its name, where it comes from, and plain facts. Raises DataError."""
    data, facts = spec.run.data, spec.run.data.facts(data_root)
    sizes = {"shape": list(facts.shape), "train_rows": facts.train_rows, "val_rows": facts.val_rows}
    return {"name": data.name, "source": data.source, "licence": data.licence} | sizes
