"""`vaeorch --version`: of what the numbers of a training depend on, as `sweep/reuse.py` records it of each sweep."""

import json
from importlib.metadata import version as version_of
from typing import Any

import click

from trainables.common.installed import NAME, version

ALSO = ("boto3", "matplotlib", "mlflow", "pandas", "pydantic", "pytorch-fid", "ruamel.yaml", "safetensors")
"""Packages besides those that a sweep records: they store, check and show what it finds."""
MKL = "Math Kernel Library Version "  # in what torch says of its build


def print_versions(as_json: bool) -> None:
    """Print the version of vaeorch in a line, or all versions as JSON."""
    click.echo(json.dumps(versions(), indent=2) if as_json else f"{NAME}, version {version()}")


def versions() -> dict[str, Any]:
    """The version of vaeorch, its code, Python, all packages, and the device and libraries with which torch computes.

    `device` and `threads` are those of a training that has the whole machine.
    """
    import platform

    import torch

    from orchestrator.sweep.reuse import cpu_capability, placed, software

    known, here = software(), placed(None)
    packages = known.pop("packages") | {name: version_of(name) for name in ALSO}
    cudnn = torch.backends.cudnn
    return {
        NAME: version(),
        **known,
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items())),
        "device": here["device"],
        "threads": here["threads"],
        "cpu_capability": cpu_capability(),
        "mkl": mkl_version(torch.__config__.show()),
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version() if cudnn.is_available() else None,
    }


def mkl_version(build: str) -> str | None:
    """The version of Intel's MKL in what torch says of its build, such as `2024.2-Product`; None without MKL."""
    return next((line.partition(MKL)[2].split()[0] for line in build.splitlines() if MKL in line), None)
