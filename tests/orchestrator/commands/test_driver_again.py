"""What a driver does that a batch system starts more than once."""

import pytest

from orchestrator.commands.driver import Job, verb_of
from orchestrator.storage.workspace import Workspace


@pytest.fixture
def file(tmp_path):
    """The file of a job."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job" / "config.json"


def begin(tmp_path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "spec.yaml").touch()


def test_a_sweep_that_is_started_again_is_resumed(tmp_path, file):
    job, workspace = Job("sweep", "whole", str(tmp_path)), Workspace(tmp_path)
    assert verb_of(job, file, workspace) == "sweep"
    begin(tmp_path)
    assert verb_of(job, file, workspace) == "resume"


def test_a_sweep_that_has_not_begun_when_it_is_started_again_begins(tmp_path, file):
    job, workspace = Job("sweep", "whole", str(tmp_path)), Workspace(tmp_path)
    assert [verb_of(job, file, workspace) for _ in range(3)] == ["sweep"] * 3


def test_a_new_sweep_does_not_go_on_with_that_of_another_job(tmp_path, file):
    begin(tmp_path)
    assert verb_of(Job("sweep", "whole", str(tmp_path)), file, Workspace(tmp_path)) == "sweep"


@pytest.mark.parametrize("verb", ["resume", "evaluate"])
def test_another_verb_is_done_again_as_it_is(tmp_path, file, verb):
    begin(tmp_path)
    job = Job(verb, "whole", str(tmp_path))
    assert [verb_of(job, file, Workspace(tmp_path)) for _ in range(2)] == [verb] * 2
