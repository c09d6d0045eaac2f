"""Sweeps told to a tracker, and what an MLflow store has of them."""

import json

from orchestrator.tracking.spool import PARENT
from orchestrator.tracking.tracker import SavedView, Tracker, provenance

DATASET = {"name": "digits", "source": "scikit-learn", "shape": [1, 8, 8], "train_rows": 1297, "val_rows": 250}
VIEW = SavedView("val/elbo", "max", ["method.beta"], ["method.beta"], ["val/kl"], ["samples"], 3)


def tracker_of(folder, uri):
    return Tracker(uri, "spec", folder.name, folder)


def start(tracker, folder):
    tags = provenance("search_spaces/spec.yaml") | {"objective": "val/elbo"}
    tracker.sweep_started("# A sweep\nof *digits*", (folder / "spec.yaml").read_text(), tags, DATASET, VIEW)


def record(folder, uri, epochs=range(1, 4)):
    """A sweep of one trial, recorded and closed; what is left."""
    tracker = tracker_of(folder, uri)
    start(tracker, folder)
    tracker.trial_started("0000", {"method.beta": 0.5}, "vae 0000")
    for epoch in epochs:
        tracker.epoch("0000", epoch, {"val/elbo": -epoch})
    tracker.trial_ended("0000", "completed", best={"val/elbo": -1.0})
    tracker.sweep_ended("completed", {"val/elbo": -1.0})
    return tracker.close()


def client_of(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def runs_of(uri):
    """The runs of the experiment "spec" by trial id ("sweep" for the parent); each of them must be there once."""
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name("spec").experiment_id])
    named = {run.data.tags.get("trial_id", PARENT): run for run in runs}
    assert len(named) == len(runs)
    return named


def uid_of(folder):
    return json.loads((folder / "spool" / "identity.json").read_text())["uid"]


def steps_of(uri, run, metric="val/elbo"):
    return sorted(point.step for point in client_of(uri).get_metric_history(run.info.run_id, metric))
