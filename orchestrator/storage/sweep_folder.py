"""Reads from the folder of a sweep or run how it was started, without reading its spec."""

from pathlib import Path

from orchestrator.storage import layout
from orchestrator.storage.journal import Journal
from orchestrator.storage.json_files import read_object
from trainables.common.roots import Root, root_of


def recorded_root(folder: Path) -> Root:
    """The data root with which the sweep or run in `folder` was started; None for the default one.

    Only the process that has the folder's lock may call this, as it opens the journal. Raises JournalError.
    """
    if (folder / layout.CONFIG).exists():
        cure = "Give --data-root, or train the model again."
        return root_of(read_object(folder / layout.CONFIG, cure).get("data_root"))
    events = Journal(folder).events
    return next((root_of(event["data_root"]) for event in events if event["event"] == "sweep"), None)
