"""The floors of the house: a module imports only what lies on its own floor or below, and imports make no circle.

A table lists a package's floors from top to bottom. A floor is one or more rooms, which know nothing of each other; a
room is all modules whose name begins with its own, unless a longer name in the table fits better. Every import counts:
lazy ones, those in functions, and those for annotations alone. To add a package, write its table and a line in HOUSES.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

Floors = tuple[tuple[str, ...], ...]

# A package's `__init__` is its front door: it may import all that is in the package, and stands above it. It has a room
# of its own where modules of the package lie on several floors.
TRAINABLES: Floors = (
    ("values", "figures"),
    ("evaluations", "inference", "stacked"),
    ("train",),
    ("pictures", "run"),
    ("metrics",),
    ("learner",),
    ("methods",),
    ("methods.modules", "mappings"),
    ("mappings.modules", "relevance"),
    ("model",),
    ("tally",),
    ("networks", "distributions", "terms"),
    ("ahead",),
    ("draws",),
    ("noise", "precision", "sums", "footprint", "compilation", "optimizers"),
    ("cache",),
    ("checkpoint",),
    ("data",),
    ("data.sets", "data.remote"),
    ("data.prepared",),
    ("data.formats",),
    ("data.base",),
    ("common",),
)

ORCHESTRATOR: Floors = (
    ("__main__",),
    ("cli",),
    ("api",),
    ("commands",),
    ("figures", "export"),
    ("execution", "evaluation", "reporting"),
    ("sweep",),
    ("tracking", "checks"),
    ("space", "clusters"),
    ("output",),
    ("spec", "storage"),
    ("schedulers",),
    ("terminal", "text", "shell", "signals", "garbage"),
    ("errors",),
)

ORCHESTRATOR_ROOMS = sorted(path.parent.name for path in (ROOT / "orchestrator").glob("*/__init__.py"))
HOUSES: dict[str, Floors] = {"trainables": TRAINABLES, "orchestrator": ORCHESTRATOR}


def files_of(package: str) -> dict[str, Path]:
    """Module name -> its file."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, known: set[str]) -> Iterator[str]:
    """The modules of `known` that a file imports in any way, or names in text, as in `LazyModule("...")`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


@cache
def imports_within(package: str) -> dict[str, set[str]]:
    """Module -> the other modules of the package that it imports."""
    files = files_of(package)
    known = set(files)
    return {module: (set(imports_of(path, known)) & known) - {module} for module, path in files.items()}


def room_of(module: str, package: str, floors: Floors) -> str:
    """The room with the longest name that the module's name begins with. Raises KeyError where there is none."""
    name = module.removeprefix(package).removeprefix(".")
    rooms = [room for rooms in floors for room in rooms if f"{name}.".startswith(f"{room}.")]
    if not rooms:
        raise KeyError(f"{module} lies on no floor: give it one in the table")
    return max(rooms, key=len)


def upward(imports: dict[str, set[str]], package: str, floors: Floors) -> list[str]:
    """One line for each import that leads upwards, or into another room of the same floor."""
    depth = {room: number for number, rooms in enumerate(floors) for room in rooms}
    wrong = []
    for module in sorted(set(imports) - {package}):
        mine = room_of(module, package, floors)
        for other in sorted(imports[module] - {package}):
            theirs = room_of(other, package, floors)
            if theirs != mine and depth[theirs] <= depth[mine]:
                wrong.append(f"{module} ({mine}) imports {other} ({theirs})")
    return wrong


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none where there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("package", HOUSES)
def test_imports_lead_downwards(package):
    assert upward(imports_within(package), package, HOUSES[package]) == []


@pytest.mark.parametrize("package", HOUSES)
def test_no_module_imports_itself_by_way_of_others(package):
    assert circle(imports_within(package)) == []


@pytest.mark.parametrize("package", HOUSES)
def test_no_module_goes_through_the_front_door_of_its_own_package(package):
    imports = imports_within(package)
    assert [
        module for module in imports for other in imports[module] if other != package and module.startswith(f"{other}.")
    ] == []


def test_trainables_knows_nothing_of_the_orchestrator_nor_of_what_it_uses():
    """It trains one model, whoever asks for it."""
    imports = set().union(*(imports_of(path, set()) for path in files_of("trainables").values()))
    assert not {
        name for name in imports if name.partition(".")[0] in ("orchestrator", "ray", "mlflow", "click", "rich")
    }


@pytest.mark.parametrize("folder", ORCHESTRATOR_ROOMS)
def test_a_room_is_entered_through_its_front_door(folder):
    """Others import no module of a package but those that its `__init__` names."""
    imports, package = imports_within("orchestrator"), f"orchestrator.{folder}"
    entered = {
        other.removeprefix(f"{package}.")
        for module, others in imports.items()
        for other in others
        if other.startswith(f"{package}.") and not module.startswith(f"{package}.")
    }
    assert sorted(entered) == sorted(import_module(package).__all__)


@pytest.mark.parametrize("package", HOUSES)
def test_every_room_is_there(package):
    imports, floors = imports_within(package), HOUSES[package]
    assert {room for rooms in floors for room in rooms} == {
        room_of(module, package, floors) for module in set(imports) - {package}
    }


def test_an_import_upwards_and_one_across_are_found():
    imports = {"p.a": {"p.b", "p.c"}, "p.b": {"p.c", "p.c.x"}, "p.c": set(), "p.c.x": {"p.a"}}
    floors = (("a",), ("b", "c.x"), ("c",))
    assert upward(imports, "p", floors) == ["p.b (b) imports p.c.x (c.x)", "p.c.x (c.x) imports p.a (a)"]
    assert set(circle(imports)) == {"p.a", "p.b", "p.c.x"}


@pytest.mark.parametrize(
    "line",
    [
        "import p.b",
        "from p import b",
        "from p.b import name",
        "def f():\n    from p.b import name",
        "if TYPE_CHECKING:\n    from p.b import name",
        'b = LazyModule("p.b")',
    ],
)
def test_every_kind_of_import_counts(line, tmp_path):
    (tmp_path / "a.py").write_text(line)
    assert set(imports_of(tmp_path / "a.py", {"p", "p.a", "p.b"})) & {"p.a", "p.b"} == {"p.b"}
