"""Which way imports point, and what a short command may cost."""

import ast
import re
import subprocess
import sys

import pytest

from tests.support import ROOT

FORBIDDEN = {"ray", "mlflow", "click", "rich", "orchestrator"}
HEAVY = {"torch", "ray", "mlflow", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "optuna", "boto3", "PIL"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "trainables").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_trainables_knows_nothing_of_the_orchestrator(path):
    assert not {name.partition(".")[0] for name in imported(path)} & FORBIDDEN


def test_training_loads_neither_ray_nor_mlflow_nor_click():
    code = "import sys, trainables.train, trainables.pictures; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not [name for name in FORBIDDEN if f"'{name}'" in loaded]


def test_a_lazy_module_has_one_name_everywhere():
    names = {}
    for path in (path for package in ("orchestrator", "trainables") for path in (ROOT / package).rglob("*.py")):
        for name, module in re.findall(r"""^(\w+) = LazyModule\("([\w.]+)"\)$""", path.read_text(), re.MULTILINE):
            names.setdefault(module, set()).add(name)
    assert "trainables.sums" in names
    assert {module: some for module, some in names.items() if len(some) > 1} == {}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["sweep", "search_spaces/quickstart.yaml", "--dry-run"],
        ["sweep", "search_spaces/quickstart.yaml", "--set", "run.epoch=3"],
        ["sweep", "no/such/file.yaml"],
        ["sweep", "quickstart", "--dry-run"],
        ["sweep", "quickstrat"],
        ["examples"],
        ["--version"],
        ["schema"],
        ["schema", "--cluster"],
        ["sweep", "clusters/ssh.yaml"],
        ["methods"],
        ["list"],
        ["data", "list"],
        ["data", "info", "mnist"],
        ["data", "prepare", "mnits"],
    ],
    ids=" ".join,
)
def test_help_plans_and_errors_load_nothing_heavy(words):
    """Each of these takes seconds to import; none is needed to read a specification and to judge it."""
    code = f"""
import sys
from orchestrator.cli.main import main
sys.argv = ["vaeorch", *{words}]
try:
    main()
except SystemExit:
    pass
print("LOADED", sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.partition("LOADED")[2]
    assert "'orchestrator.cli.main'" in loaded
    assert not [name for name in HEAVY if f"'{name}'" in loaded]
