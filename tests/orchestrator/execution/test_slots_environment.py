"""What Tune passes to slots in a runtime_env, as Ray gets it."""

import pytest
from ray.tune.execution.class_cache import _ActorClassCache

from orchestrator.clusters.connection import THIS_MACHINE, ConnectedCluster
from orchestrator.execution.run import slots_environment


class Slot:
    """Stands for the class of slots."""


def passed() -> dict[str, str]:
    return _ActorClassCache().get(Slot)._default_options["runtime_env"].get("env_vars", {})


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")


def test_slots_of_this_machine_need_nothing_and_are_processes_that_ray_has_ready():
    with slots_environment(THIS_MACHINE):
        assert passed() == {}


def test_slots_of_a_cluster_are_passed_rays_settings_and_no_secret_of_aws():
    with slots_environment(ConnectedCluster()):
        assert passed()["RAY_CHDIR_TO_TRIAL_DIR"] == "0"
        assert "AWS_SECRET_ACCESS_KEY" not in passed()


def test_afterwards_ray_is_as_it_was():
    before = passed()
    with slots_environment(THIS_MACHINE):
        pass
    assert passed() == before and before["AWS_SECRET_ACCESS_KEY"] == "a-secret"
