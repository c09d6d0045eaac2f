"""Rules of the code base that a program can check: how many parameters, and where names of files stand."""

import ast
from collections.abc import Iterator
from pathlib import Path

from orchestrator.storage import layout
from tests.support import ROOT

FILES = [file for package in ("orchestrator", "trainables") for file in sorted((ROOT / package).rglob("*.py"))]
MOST_PARAMETERS = 6
Function = ast.FunctionDef | ast.AsyncFunctionDef
ONE_WORD = {"lock", "spool", "pictures", "trials", "evaluations"}  # names that are words of many things besides


def functions_of(file: Path) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function))


def parameters_of(function: Function) -> list[str]:
    found = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [each.arg for each in found if each.arg not in ("self", "cls")]


def is_verb(function: Function) -> bool:
    """Whether click calls it, with an argument for each option."""
    return any("command" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_no_function_has_more_than_six_parameters_but_verbs():
    functions = ((file, each) for file in FILES for each in functions_of(file) if not is_verb(each))
    long = [f"{file}: {each.name}" for file, each in functions if len(parameters_of(each)) > MOST_PARAMETERS]
    assert long == []


def test_the_names_of_a_run_folders_files_stand_in_one_place():
    names = {value for value in vars(layout).values() if isinstance(value, str)} - ONE_WORD
    names = {name for name in names if "." in name and " " not in name and not name.endswith(".py")}
    assert {"checkpoint.pt", "config.json", "spec.yaml", "results.json", "journal.jsonl"} <= names
    twice = [
        f"{file.relative_to(ROOT)}: {node.value}"
        for file in FILES
        if file != Path(layout.__file__)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert twice == []
