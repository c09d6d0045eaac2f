"""A cluster's driver and the store that keeps its sweep: what is done before it begins, and at its end. Without Ray."""

from pathlib import Path

import pytest

from orchestrator.clusters.connection import ConnectedCluster
from orchestrator.commands.driver import DriverSite, Job, snapshots_of
from orchestrator.errors import UserError
from orchestrator.storage import locks
from orchestrator.storage.stored_sweep import StoredSweep
from orchestrator.storage.workspace import Workspace

AGAIN = "vaeorch resume a --cluster far.yaml"


@pytest.fixture
def driver(bucket, tmp_path):
    """What a driver has on a head of this name: its site, and the folder of the sweep."""

    def made(verb: str, head: str = "head") -> tuple[DriverSite, Path]:
        workspace = Workspace(tmp_path / head)
        target = "a/0001" if verb == "evaluate" else "a"
        snapshots = snapshots_of(Job(verb, target, str(workspace.out), store=bucket.root, again=AGAIN), workspace)
        return DriverSite(ConnectedCluster(snapshots=snapshots)), workspace.folder("a")

    return made


def works(site: DriverSite, folder: Path, text: str) -> None:
    """What a driver does in the sweep's folder."""
    with locks.driver(folder), site.kept(folder):
        (folder / "results.json").write_text(text)


@pytest.fixture
def swept(driver) -> Path:
    site, folder = driver("sweep")
    folder.mkdir(parents=True)
    works(site, folder, "{}")
    return folder


@pytest.mark.parametrize("verb", ["resume", "evaluate"])
def test_what_a_driver_has_left_is_there_on_another_head(driver, swept, verb, capsys):
    site, folder = driver(verb, "other")
    assert (folder / "results.json").read_text() == "{}"
    assert capsys.readouterr().out.startswith(f"restored     {folder} from s3://")
    works(site, folder, "[]")
    assert (driver("resume", "third")[1] / "results.json").read_text() == "[]"


@pytest.mark.parametrize("end", [KeyboardInterrupt, UserError, RuntimeError])
def test_however_a_driver_ends_its_last_state_is_kept(driver, bucket, end):
    site, folder = driver("sweep")
    folder.mkdir(parents=True)
    with pytest.raises(end), locks.driver(folder), site.kept(folder):
        (folder / "results.json").write_text("so far")
        raise end
    assert (driver("resume", "other")[1] / "results.json").read_text() == "so far"


def test_a_sweep_whose_name_the_store_has_is_refused(driver, swept):
    with pytest.raises(UserError, match=rf"/a: holds another sweep. Go on with it: {AGAIN}; or"):
        driver("sweep", "other")


def test_a_second_driver_beside_one_that_runs_does_not_take_its_sweep_over(driver, swept, bucket):
    site, folder = driver("resume")
    with locks.driver(folder), site.kept(folder):
        second, _ = driver("resume")
        with pytest.raises(UserError, match="another process trains or evaluates here"), locks.driver(folder):
            pass
        assert StoredSweep(bucket.root, "a").head() == site.cluster.snapshots.head
        site.cluster.step_ended()


def test_a_cluster_without_a_store_keeps_nothing(tmp_path):
    site = DriverSite(ConnectedCluster(snapshots=snapshots_of(Job("sweep", "a", ""), Workspace(tmp_path))))
    with site.kept(tmp_path):
        site.cluster.step_ended()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_ends_a_driver_before_it_begins(driver, bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID"), monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UserError, match="no credentials"):
        driver("sweep")
