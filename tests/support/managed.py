"""Sweeps that can be managed: all their files, and what an MLflow store in OUT has of them."""

import shutil
from pathlib import Path

from orchestrator.storage import layout
from orchestrator.tracking.client import connect
from orchestrator.tracking.saved_view import UID_TAG
from orchestrator.tracking.store_address import default_store
from orchestrator.tracking.tracker import SavedView, Tracker
from tests.support.one_slot import LOW
from tests.support.sweep_folders import PNG, swept
from tests.support.tracked_sweeps import DATASET

VIEW = SavedView("val/elbo", "max", [], [], ["val/kl"], ["samples"], 3)


def recorded(out: Path, name: str, a_store: Path, lines: int = 10**6) -> Path:
    """The folder of a sweep of two trials, which the store in `out` has received, with a picture."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / layout.STORE).exists():
        shutil.copy(a_store, out / layout.STORE)
    folder = swept(out / name, lines, search=LOW, trials=2, name=name)
    picture = folder / layout.TRIALS / "0001" / "pictures" / "0001" / "samples.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(PNG)
    tracker = Tracker(default_store(out), name, name, folder)
    tracker.sweep_started("# A sweep", "name: a", {}, DATASET, VIEW)
    tracker.trial_started("0001", {}, "0001")
    tracker.epoch("0001", 1, {"val/elbo": 1.0})
    tracker.pictures("0001", 1, [picture])
    tracker.trial_ended("0001", "completed")
    tracker.sweep_ended("completed")
    assert not tracker.close(60.0)
    return folder


def in_store(out: Path) -> dict[str, list[str]]:
    """The experiments of the store in `out` but MLflow's own, each with the kinds of all runs in it, deleted or not."""
    from mlflow.entities import ViewType

    client = connect(default_store(out))
    found = client.search_experiments(ViewType.ALL)
    return {
        one.name: sorted(run.data.tags["kind"] for run in client.search_runs([one.experiment_id], "", ViewType.ALL))
        for one in found
        if one.name != "Default"
    }


def parent_of(out: Path, name: str):
    """The sweep's own run in the experiment `name`."""
    client = connect(default_store(out))
    [run] = client.search_runs([client.get_experiment_by_name(name).experiment_id], f"tags.`{UID_TAG}` LIKE '%-sweep'")
    return run
