"""The version comes from pyproject.toml: of the checkout, or as the wheel's metadata have it."""

import importlib.metadata
import tomllib

import pytest

from tests.support import ROOT
from trainables.common import installed


@pytest.fixture
def at(monkeypatch):
    """Puts the packages into another folder."""

    def at(folder):
        monkeypatch.setattr(installed, "TOP", folder)
        installed._project.cache_clear()

    yield at
    installed._project.cache_clear()


def test_a_checkout_has_the_version_of_its_pyproject(at, tmp_path):
    assert installed.is_checkout()
    assert installed.version() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "vaeorch"\nversion = "9.8.7"\n')
    at(tmp_path)
    assert installed.is_checkout() and installed.version() == "9.8.7"


OTHERS = [None, "no toml", "[project]\n", '[project]\nname = "other"\nversion = "9.8.7"\n']


@pytest.mark.parametrize("content", OTHERS)
def test_beside_no_pyproject_of_ours_the_version_is_that_of_the_installed_package(at, tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    monkeypatch.setattr(importlib.metadata, "version", {"vaeorch": "1.2.3"}.__getitem__)
    at(tmp_path)
    assert not installed.is_checkout() and installed.version() == "1.2.3"
