"""Installed from its wheel, away from the repository, vaeorch is whole: modules, specs and cluster files."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SMALL = ("trials=2", "run.epochs=1", "scheduler={name: none}", "pictures={top: 1}")
PATIENCE_S = 500


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built by the backend that pyproject.toml names, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a program of an environment that has the wheel, and our packages' requirements, in an empty folder."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=False)
    python = home / "venv" / "bin" / "python"
    words = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", *words, str(wheel)], check=True)
    [packages] = home.glob("venv/lib/*/site-packages")
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))  # whose own .pth files are not read
    (home / "empty").mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}

    def run(program: str, *words: str) -> subprocess.CompletedProcess:
        command = [str(python.parent / program), *words]
        options = {"cwd": home / "empty", "env": environment, "timeout": PATIENCE_S}
        return subprocess.run(command, capture_output=True, text=True, **options)

    return run


def shipped_of(folder: str) -> set[str]:
    """The files below a folder of the repository, as the wheel names them."""
    files = (file for file in (ROOT / folder).rglob("*") if file.is_file())
    return {f"orchestrator/shipped/{file.relative_to(ROOT).as_posix()}" for file in files}


def modules_of(package: str) -> set[str]:
    files = (file for file in (ROOT / package).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(ROOT).as_posix() for file in files}


def test_the_wheel_holds_every_module_search_space_and_cluster_file_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = modules_of("orchestrator") | modules_of("trainables") | {"vaeorch.py"}
    shipped = shipped_of("search_spaces") | shipped_of("clusters")
    assert "trainables/methods/vae.py" in modules
    assert {
        "orchestrator/shipped/search_spaces/papers/ard_table_1.yaml",
        "orchestrator/shipped/clusters/ssh.yaml",
    } < shipped
    assert names == modules | shipped


def test_nothing_of_the_installed_package_comes_from_the_repository(installed):
    code = "import json, orchestrator, sys, trainables, vaeorch; print(json.dumps([orchestrator.__file__, sys.path]))"
    file, path = json.loads(installed("python", "-c", code).stdout)
    assert "site-packages" in file and not Path(file).is_relative_to(ROOT)
    assert str(ROOT) not in path


def test_the_installed_package_knows_its_version(installed):
    assert installed("vaeorch", "--version").stdout == f"vaeorch, version {PROJECT['version']}\n"


def test_the_installed_package_lists_the_files_that_it_holds(installed):
    listed = json.loads(installed("vaeorch", "examples", "--json").stdout)
    files = [Path(each["file"]) for some in listed.values() for each in some]
    assert {file.name for file in files} == {
        Path(name).name for name in shipped_of("search_spaces") | shipped_of("clusters")
    }
    assert all("site-packages" in file.parts and file.is_file() for file in files)


def test_the_quickstart_runs_by_its_name_from_an_empty_folder(installed, tmp_path_factory):
    said = installed("vaeorch", "sweep", "quickstart", "--json", *(word for each in SMALL for word in ("--set", each)))
    assert said.returncode == 0, said.stderr
    results = json.loads(said.stdout)
    assert results["name"] == "quickstart"
    assert [trial["status"] for trial in results["trials"]] == ["completed", "completed"]
    [checkpoint] = {Path(trial["checkpoint"]).parents[3] for trial in results["trials"]}
    assert checkpoint.name == "runs" and checkpoint.parent.name == "empty"
    again = installed("vaeorch", "resume", "quickstart", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["trials"] == results["trials"]
