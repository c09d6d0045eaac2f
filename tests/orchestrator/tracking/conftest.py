"""What tests of the tracker share: a store of their own, and the folder of a sweep."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def uri(a_store, tmp_path) -> str:
    """The address of a store with MLflow's tables."""
    return f"sqlite:///{shutil.copy(a_store, tmp_path / 'mlflow.db')}"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A sweep's folder, which has another name than its spec."""
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "spec.yaml").write_text("name: spec\n")
    return folder
