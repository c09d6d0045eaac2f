"""The lock, the image and the Makefile say the same as pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
WANTED = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]]


def test_lock_holds_names_and_versions_only():
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*", line) for line in LOCK)


@pytest.mark.parametrize("requirement", WANTED, ids=lambda requirement: requirement.name)
def test_lock_satisfies_the_project(requirement):
    locked = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in LOCK)}
    assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])


def test_image_has_the_oldest_python_that_the_project_takes():
    [version] = re.findall(r"^ARG BASE=python:(\d+\.\d+)-slim$", DOCKERFILE, re.MULTILINE)
    [oldest] = SpecifierSet(PROJECT["requires-python"])
    assert oldest.operator == ">="
    assert version == oldest.version


def test_image_takes_every_package_from_the_lock():
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert [install.split()[-1] for install in installs] == ["uv", "requirements.lock", "."]
    assert "--no-deps" in installs[-1]
    assert "==" not in DOCKERFILE


def test_image_runs_vaeorch_as_an_ordinary_user():
    lines = DOCKERFILE.splitlines()
    assert lines[-1] == 'ENTRYPOINT ["vaeorch"]'
    assert lines.index("USER vaeorch") > max(index for index, line in enumerate(lines) if line.startswith("RUN"))


def test_image_copies_what_the_wheel_needs():
    copied = set(re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(" ".join(copied).split()) == allowed
