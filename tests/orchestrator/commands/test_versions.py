"""`vaeorch --version`: the version alone, and as JSON all that the numbers of a training depend on."""

import json
import tomllib
from importlib.metadata import version as version_of

import pytest

import vaeorch as package
from orchestrator.commands.versions import mkl_version
from orchestrator.sweep.reuse import placed, software
from tests.support import ROOT

STATED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_that_of_pyproject(vaeorch):
    assert vaeorch("--version") == (0, f"vaeorch, version {STATED}\n", "")
    assert package.__version__ == STATED


def test_as_json_it_has_what_a_sweep_records_and_more(vaeorch):
    code, out, err = vaeorch("--version", "--json")
    assert (code, err) == (0, "")
    told, recorded = json.loads(out), software() | placed(None)
    packages = recorded.pop("packages")
    assert packages.items() < told["packages"].items()
    assert {name: told[name] for name in recorded if name != "workers"}.items() < recorded.items()
    assert told["vaeorch"] == STATED
    assert {name: told["packages"][name] for name in ("mlflow", "pydantic")} == {
        name: version_of(name) for name in ("mlflow", "pydantic")
    }


def test_as_json_it_says_with_what_torch_computes(vaeorch):
    import torch

    told = json.loads(vaeorch("--version", "--json")[1])
    assert told["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert told["cuda"] == torch.version.cuda
    assert (told["mkl"] is not None) == torch.backends.mkl.is_available()


def test_the_version_of_mkl_is_read_from_what_torch_says_of_its_build():
    said = "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64"
    assert mkl_version(f"PyTorch built with:\n  - {said}\n  - OpenMP 201511") == "2024.2-Product"
    assert mkl_version("PyTorch built with:\n  - OpenMP 201511") is None


@pytest.mark.parametrize("words", [["--json"], ["--json", "list"], ["--"]], ids=" ".join)
def test_without_a_command_there_is_nothing_to_say_as_json(vaeorch, words):
    code, out, err = vaeorch(*words)
    assert (code, out) == (2, "") and "name a command" in err and len(err.splitlines()) == 1
