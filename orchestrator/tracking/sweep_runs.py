"""The runs that one sweep has in an MLflow store: found by its uid, removed with it, and brought under its new name.

All of this can be broken off at any moment: done again, it goes on with what is left.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.tracking.saved_view import UID_TAG, view_tag_name
from orchestrator.tracking.spool import PARENT

DEFAULT_ID = "0"  # of MLflow's own experiment "Default", which cannot be made anew


def runs_of(client: Any, experiment_id: str, uid: str | None = None) -> Iterator[Any]:
    """The runs of the sweep `uid` in an experiment, or all runs there, also deleted ones."""
    from mlflow.entities import ViewType

    mine, page = f"tags.`{UID_TAG}` LIKE '{uid}-%'" if uid else "", None
    while True:
        runs = client.search_runs([experiment_id], mine, ViewType.ALL, page_token=page)
        yield from runs
        page = runs.token
        if not page:
            return


def remove(client: Any, experiment: Any, uid: str) -> int:
    """Remove the runs of a sweep with their artifacts, and the experiment if no other run is in it. Returns how many.

    A database forgets them; a server keeps them as deleted until its `mlflow gc`.
    """
    mine = sorted(runs_of(client, experiment.experiment_id, uid), key=lambda run: _is_parent(run, uid))
    for run in mine:
        _remove_run(client, run)
    _remove_view(client, experiment, uid)
    left = runs_of(client, experiment.experiment_id)
    others = any(_forgets(client) or run.info.lifecycle_stage == "active" for run in left)
    if not others and experiment.experiment_id != DEFAULT_ID:
        _remove_experiment(client, experiment, uid)
    return len(mine)


def bring_under_name(client: Any, uid: str, name: str, former: tuple[str, ...]) -> None:
    """Bring the runs of a sweep that was renamed under its `name`, if the store has them under a former one.

    Its experiment gets the name, if it holds no others' runs and the name is free. Else the runs are removed: they are
    sent anew, into the experiment of that name.
    """
    for old in former:
        experiment = client.get_experiment_by_name(old)
        mine = list(runs_of(client, experiment.experiment_id, uid)) if experiment else []
        if not mine:
            continue
        alone = len(mine) == sum(1 for _ in runs_of(client, experiment.experiment_id))
        free = client.get_experiment_by_name(name) is None and experiment.experiment_id != DEFAULT_ID
        if alone and free and experiment.lifecycle_stage == "active":
            _rename_view(client, experiment, uid, name)
            for run in mine:
                _rename_run(client, run, uid, name)
            client.rename_experiment(experiment.experiment_id, name)
        else:
            remove(client, experiment, uid)


def _is_parent(run: Any, uid: str) -> bool:
    return run.data.tags[UID_TAG] == f"{uid}-{PARENT}"


def _rename_run(client: Any, run: Any, uid: str, name: str) -> None:
    if run.info.lifecycle_stage != "active":  # it is renamed no more, nor shown
        return
    client.set_tag(run.info.run_id, "sweep", name)
    if _is_parent(run, uid):
        client.update_run(run.info.run_id, name=name)


def _rename_view(client: Any, experiment: Any, uid: str, name: str) -> None:
    tag = view_tag_name(uid)
    with suppress(KeyError, ValueError, TypeError):  # of an unknown version of MLflow's page there is none
        view = json.loads(experiment.tags[tag])
        client.set_experiment_tag(experiment.experiment_id, tag, json.dumps({**view, "name": name}))


def _remove_view(client: Any, experiment: Any, uid: str) -> None:
    if view_tag_name(uid) in experiment.tags and experiment.lifecycle_stage == "active":
        client.delete_experiment_tag(experiment.experiment_id, view_tag_name(uid))


def _store(client: Any) -> Any:
    return client._tracking_client.store


def _forgets(client: Any) -> bool:
    """Whether the store can forget runs for good: a database that we open ourselves, as `mlflow gc` does."""
    return hasattr(_store(client), "_hard_delete_run") and hasattr(_store(client), "_hard_delete_experiment")


def _remove_run(client: Any, run: Any) -> None:
    if _forgets(client):
        _remove_artifacts(run)
        _store(client)._hard_delete_run(run.info.run_id)
    elif run.info.lifecycle_stage == "active":
        client.delete_run(run.info.run_id)


def _remove_artifacts(run: Any) -> None:
    """Remove a run's folder of artifacts, if it is one on this machine, and its experiment's once that is empty."""
    location = urlsplit(run.info.artifact_uri or "")
    home = Path(unquote(location.path)).parent
    if location.scheme in ("", "file") and home.name == run.info.run_id:
        shutil.rmtree(home, ignore_errors=True)
        with suppress(OSError):  # of other runs there are some
            home.parent.rmdir()


def _remove_experiment(client: Any, experiment: Any, uid: str) -> None:
    number, active = experiment.experiment_id, experiment.lifecycle_stage == "active"
    if active and not _forgets(client):  # under its name it would be restored, with all its runs, for the next sweep
        client.rename_experiment(number, f"{experiment.name} (removed {uid})")
    if active:
        client.delete_experiment(number)
    if _forgets(client):
        _store(client)._hard_delete_experiment(number)
