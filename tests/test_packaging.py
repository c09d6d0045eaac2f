"""The lock, the image and the Makefile say the same as pyproject.toml, whatever a run has left beside them."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
LOCK = (ROOT / "requirements.lock").read_text().splitlines()
WANTED = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]]
CUDA = re.compile(r"nvidia-|cuda-|triton")

LINUX = {"sys_platform": "linux", "platform_system": "Linux"}
PLATFORMS = {
    "x86_64-manylinux_2_28": LINUX | {"platform_machine": "x86_64"},
    "aarch64-manylinux_2_28": LINUX | {"platform_machine": "aarch64"},
    "aarch64-apple-darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MACHINES = [pytest.param(platform, python, id=f"{platform}-{python}") for platform in PLATFORMS for python in PYTHONS]


def machine(platform: str, python: str) -> dict[str, str]:
    """What markers are asked about, of a machine that is not this one."""
    cpython = {"platform_python_implementation": "CPython", "implementation_name": "cpython", "os_name": "posix"}
    return PLATFORMS[platform] | cpython | {"python_version": python, "python_full_version": f"{python}.0"}


def holds(requirement: Requirement, where: dict[str, str], extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate(where | {"extra": extra})


def locked(platform: str, python: str) -> dict[str, str]:
    """What is installed on a machine: name -> version."""
    of_here = [line for line in map(Requirement, LOCK) if holds(line, machine(platform, python))]
    names = [canonicalize_name(requirement.name) for requirement in of_here]
    assert len(names) == len(set(names))
    return {name: str(requirement.specifier)[2:] for name, requirement in zip(names, of_here, strict=True)}


def test_lock_holds_names_versions_and_markers_only():
    marker = r"( ; [a-z_ .0-9A-Z'=<>!()]+)?"
    assert all(re.fullmatch(rf"[a-z0-9][a-z0-9._-]*==[0-9][A-Za-z0-9.+!]*{marker}", line) for line in LOCK)


@pytest.mark.parametrize(("platform", "python"), MACHINES)
def test_lock_satisfies_the_project_on_every_machine_that_is_supported(platform, python):
    versions = locked(platform, python)
    for requirement in WANTED:
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize(("platform", "python"), MACHINES)
def test_lock_lacks_nothing_that_its_packages_need(platform, python):
    """As their metadata say, which are those of the wheels that are installed here."""
    where, versions = machine(platform, python), locked(platform, python)
    left, seen = [(requirement, "the project") for requirement in WANTED], set()
    while left:
        wanted, by = left.pop()
        name = canonicalize_name(wanted.name)
        assert name in versions, f"{by} needs {name}"
        for extra in {"", *wanted.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                left += [(inner, name) for inner in needs(name) if holds(inner, where, extra)]


@cache
def needs(name: str) -> list[Requirement]:
    try:
        return [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:  # of another machine
        return []


@pytest.mark.parametrize("python", PYTHONS)
def test_a_mac_needs_no_package_of_cuda_and_linux_does(python):
    found = {platform: list(filter(CUDA.match, locked(platform, python))) for platform in PLATFORMS}
    assert not found.pop("aarch64-apple-darwin")
    assert all("nvidia-cublas" in names and "triton" in names for names in found.values())


def test_make_checks_the_lock_for_the_machines_that_are_tested_here():
    assert re.search(r"^PLATFORMS := (.*)$", MAKEFILE, re.MULTILINE)[1].split() == list(PLATFORMS)
    assert re.search(r"^PYTHONS := (.*)$", MAKEFILE, re.MULTILINE)[1].split() == PYTHONS
    assert "--universal" in MAKEFILE


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


def test_the_wheel_takes_the_files_beside_the_modules():
    """It takes all files of a package but those that .gitignore names: the style and script of the report too."""
    beside = [file for file in (ROOT / "orchestrator").rglob("*") if file.suffix in (".css", ".js")]
    assert {file.name for file in beside} == {"style.css", "script.js"}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    parts = {part for file in beside for part in file.relative_to(ROOT).parts}
    assert not [part for part in parts if any(fnmatch(part, pattern) for pattern in ignored)]


def test_the_lock_has_the_backend_that_builds_the_wheel():
    """A test builds it without a network."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [backend] = map(Requirement, project["build-system"]["requires"])
    assert backend.name in {requirement.name for requirement in map(Requirement, LOCK)}
    assert project["build-system"]["build-backend"] == f"{backend.name}.build"


def ruff(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return said.returncode, said.stdout


def test_no_folder_that_a_run_leaves_changes_what_lint_says(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("orchestrator", "trainables", "tests", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = ruff(tmp_path)
    modules = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for left in [*modules, "runs", "mlruns", "mlartifacts", "numpy", "torch", "click", "pytest", "rich"]:
        (tmp_path / left).mkdir()
        (tmp_path / "tests" / left).mkdir()
    assert ruff(tmp_path) == before
