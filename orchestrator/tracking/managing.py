"""What `vaeorch remove` and `vaeorch rename` do in the store to which a sweep or run was sent last."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.tracking.client import connect, failures, set_environment
from orchestrator.tracking.identity import is_recorded, opened, recorded_store
from orchestrator.tracking.mlflow_store import Identity
from orchestrator.tracking.spool import TrackingError
from orchestrator.tracking.store_address import check_store, first_line, is_sqlite, sqlite_file, without_password
from orchestrator.tracking.sweep_runs import bring_under_name, remove


def forget(folder: Path) -> int:
    """Remove the runs of the sweep in `folder` from its store, with their pictures. Returns how many there were.

    The experiment goes with them, if no other run is in it. Raises TrackingError for a store that cannot be reached.
    """
    with _opened(folder) as found:
        if found is None:
            return 0
        client, identity = found
        names = (identity.experiment, *identity.former)
        experiments = [experiment for name in names if (experiment := client.get_experiment_by_name(name))]
        return sum(remove(client, experiment, identity.uid) for experiment in experiments)


def follow_rename(folder: Path) -> None:
    """Bring the runs of the sweep in `folder`, which was renamed, under its new name. Raises TrackingError."""
    with _opened(folder) as found:
        if found:
            client, identity = found
            bring_under_name(client, identity.uid, identity.experiment, identity.former)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Any, Identity] | None]:
    """A client of the sweep's store, and its identity; None where nothing can have been sent.

    The spool is held meanwhile, so that no other process sends. Raises TrackingError, also for failures inside.
    """
    uri = recorded_store(folder) if is_recorded(folder) else None
    if uri is None or (is_sqlite(uri) and not sqlite_file(uri).exists()):
        yield None
        return
    check_store(uri)
    set_environment()
    spool, identity = opened(folder, uri, None)
    try:
        yield connect(uri, folder.resolve().parent), identity
    except failures() as error:
        raise TrackingError(f"{without_password(uri)}: {first_line(error, uri)}") from None
    finally:
        spool.close()
