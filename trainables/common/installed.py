"""Whether vaeorch runs from a checkout of its repository or from an installed wheel, and its version."""

import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

NAME = "vaeorch"
TOP = Path(__file__).parents[2]
"""The folder with the packages: the top of a checkout, or site-packages."""


def is_checkout() -> bool:
    """Whether the packages lie in a checkout, with what else is at its top."""
    return bool(_project())


def version() -> str:
    """The version of vaeorch, which pyproject.toml alone states: that of the checkout, or of the installed wheel."""
    return _project().get("version") or importlib.metadata.version(NAME)


@cache
def _project() -> dict[str, Any]:
    """What the checkout's pyproject.toml says of the project; nothing where there is no checkout."""
    try:
        project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return {}
    return project if project.get("name") == NAME else {}
