"""What comes home of a sweep on a cluster is sent to the store here."""

import shutil
import threading
from pathlib import Path

from orchestrator.commands.home import Home
from orchestrator.storage.workspace import Workspace
from orchestrator.tracking.spool import Spool
from tests.support.consoles import screen
from tests.support.tracked_sweeps import record


def test_commands_that_look_at_the_same_sweep_send_it_one_after_the_other(tmp_path, a_store):
    """As `attach` and `stop` do, which end at the same time."""
    uri = f"sqlite:///{shutil.copy(a_store, tmp_path / 'mlflow.db')}"
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "spec.yaml").write_text("name: spec\n")
    record(tmp_path / "spec", uri)
    other = Spool(tmp_path / "spec" / "spool", uri)
    threading.Timer(0.5, other.close).start()
    home = Home(Workspace(tmp_path, tracking_uri=uri), "spec", screen()[0], Path("gpus.yaml"))
    assert home.send().lines("vaeorch sync") == []
