"""The specs and cluster files that come with vaeorch, and how a user's word for a file becomes a file.

A word that is no file names a shipped one: `quickstart`, `aws`.
"""

import difflib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from orchestrator.spec.diagnostics import Location, Problem, SpecError
from trainables.common.installed import TOP, is_checkout

SUFFIX = ".yaml"
LIST = "List all: vaeorch examples"
MOST_MEANT = 3  # names that a message suggests


class Kind(NamedTuple):
    """A kind of shipped files: where the repository has them, and what a user calls one."""

    folder: str
    word: str

    def files(self) -> dict[str, Path]:
        """Name -> file. The papers' specs follow the others."""
        found = sorted(self._home().rglob(f"*{SUFFIX}"), key=lambda file: (len(file.parts), file))
        return {file.stem: file for file in found}

    def _home(self) -> Path:
        """At the top of a checkout; in a wheel in the package, where pyproject.toml puts it."""
        top = TOP if is_checkout() else Path(str(files("orchestrator"))) / "shipped"
        return top / self.folder


SPECS = Kind("search_spaces", "spec")
CLUSTERS = Kind("clusters", "cluster file")
KINDS = (SPECS, CLUSTERS)


def find_spec(word: Path) -> Path:
    """The user's own file or, where there is none, the shipped spec of that name. Raises SpecError for neither."""
    return _find(word, SPECS)


def find_cluster(word: Path) -> Path:
    """The user's own file or, where there is none, the shipped cluster file of that name. Raises SpecError."""
    return _find(word, CLUSTERS)


def shipped(name: str) -> Path:
    """The shipped file of a name, of whichever kind. Raises SpecError that suggests the nearest names."""
    known = {name: file for kind in KINDS for name, file in kind.files().items()}
    if name not in known:
        raise _unknown(name, "no spec or cluster file of this name comes with vaeorch", known)
    return known[name]


def _find(word: Path, kind: Kind) -> Path:
    known = kind.files()
    try:
        is_folder = bool(word.stat()) and word.is_dir()
    except FileNotFoundError:
        if str(word) in known:
            return known[str(word)]
        what = f"there is no such file, and no {kind.word} of this name comes with vaeorch"
        raise _unknown(str(word), what, known) from None
    except (OSError, ValueError):  # whoever reads the file says what is wrong with it
        return word
    return known.get(str(word), word) if is_folder else word


def _unknown(word: str, what: str, known: Iterable[str]) -> SpecError:
    near = difflib.get_close_matches(Path(word).stem.lower(), list(known), n=MOST_MEANT)
    meant = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return SpecError([Problem(Location(0, word), (), f"{what}. {meant}{LIST}")])
