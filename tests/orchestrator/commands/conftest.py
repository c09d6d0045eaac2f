"""A cluster in the place of a real one, and a folder from which verbs are sent to it; two sweeps with their store."""

import shutil

import pytest

from orchestrator.commands import cluster, cluster_jobs, send
from tests.support.fake_clusters import World
from tests.support.managed import recorded
from tests.support.specs import TINY


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """The cluster of the file far.yaml, which is there for the command line to find."""
    world = World(tmp_path / "head")
    (tmp_path / "far.yaml").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("VAEORCH_DATA", raising=False)
    for module in (send, cluster_jobs, cluster):
        monkeypatch.setattr(module, "read_cluster", lambda file: world.cluster())
    return world


@pytest.fixture
def here(vaeorch, tmp_path, monkeypatch):
    """Runs a verb in a folder with tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    return vaeorch


@pytest.fixture
def there(here):
    """Runs a verb on that cluster."""
    return lambda *words: here(*words, "--cluster", "far.yaml")


@pytest.fixture(scope="session")
def two_recorded(tmp_path_factory, a_store):
    """A folder with the sweeps `a` and `b` and their store: tests work on copies of it."""
    out = tmp_path_factory.mktemp("made") / "runs"
    for name in ("a", "b"):
        recorded(out, name, a_store)
    return out


@pytest.fixture
def out(two_recorded, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(two_recorded, tmp_path / "runs")
