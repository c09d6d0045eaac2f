"""tests/ mirrors the packages that it tests, and no test is imported."""

import re

from tests.support import ROOT

TESTS = ROOT / "tests"
OF_THEIR_OWN = {"docs", "end_to_end", "support"}
IMPORT_OF_A_TEST = re.compile(r"^\s*(?:from|import)\b[^()\n]*(?:\([^)]*)?\btest_", re.MULTILINE)


def test_no_module_imports_a_test_nor_hands_such_code_to_another_process():
    """It would be loaded twice, under two names."""
    modules = {path.relative_to(TESTS).as_posix(): path.read_text() for path in TESTS.rglob("*.py")}
    assert len(modules) > 100
    assert [name for name, text in modules.items() if IMPORT_OF_A_TEST.search(text)] == []


def test_the_import_of_a_test_is_found_in_every_form():
    forms = ["import test_a", "from test_a import b", "from tests.c.test_a import b", "from tests import test_a as a"]
    assert all(map(IMPORT_OF_A_TEST.search, [*forms, "x = 1\n    from tests import (\n    b,\n    test_a,\n)"]))


def test_each_folder_mirrors_a_package():
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("*.py")}
    mirrors = [folder for folder in folders if folder.parts and folder.parts[0] not in OF_THEIR_OWN]
    assert len(mirrors) > 10
    assert [str(folder) for folder in mirrors if not (ROOT / folder / "__init__.py").is_file()] == []
