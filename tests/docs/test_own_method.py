"""The method of the guide, added as the guide says to a copy of the repository, works there."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from docs.build.sweep import DOCS, blocks, in_a_process
from tests.support import ROOT

PAGE = DOCS / "guides" / "your-own-method.md"
PACKAGES = ("docs", "orchestrator", "tests", "trainables")
TEST = "tests/trainables/methods/test_free_bits_vae.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with the method of the page in it."""
    root = tmp_path_factory.mktemp("copy")
    left_out = shutil.ignore_patterns("__pycache__", "sweeps_made_before", "lab")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=left_out)
    for file in ("pyproject.toml", "vaeorch.py"):
        shutil.copy(ROOT / file, root / file)
    parts = []
    for block in blocks(PAGE.read_text()):
        if block.title:
            (root / block.title).write_text(block.text)
        elif block.language == "python":
            parts.append(block.text)
    imported, example = parts
    changed(root / "trainables/methods/__init__.py", r"^from trainables.methods.geco", rf"{imported}\g<0>")
    changed(root / "trainables/methods/__init__.py", r"^    MaskAAE,\n\)", "    MaskAAE,\n    FreeBitsVAE,\n)")
    changed(root / "tests/support/small_runs.py", r"^METHODS = \{\n", rf"\g<0>    {example}")
    return root


def changed(file, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, file.read_text(), flags=re.MULTILINE)
    assert count == 1, (file, pattern)
    file.write_text(text)


def test_its_own_tests_and_those_of_all_methods_pass(copy):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TEST]
    command += ["tests/trainables/methods/test_methods.py", "-k", "free_bits"]
    done = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 5


def test_the_spec_of_the_page_is_taken(copy, monkeypatch):
    monkeypatch.setattr("docs.build.sweep.DOCS", copy / "docs")
    assert "free_bits: 3 trials" in in_a_process(["sweep", "free_bits.yaml", "--dry-run"], copy)


def environment(copy) -> dict[str, str]:
    """Of a process that sees the copy, and no options that are meant for these tests."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    return inherited | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
