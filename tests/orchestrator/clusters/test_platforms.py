"""What Linux alone has is done without elsewhere, or is told in a line."""

import os
import subprocess
import sys

from orchestrator.clusters.resources import cpus
from tests.support import ROOT


def test_windows_is_told_in_one_line_before_anything_is_imported_that_it_lacks():
    code = "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; import orchestrator.cli.main"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 2 and not said.stdout
    [line] = said.stderr.splitlines()
    assert line.startswith("vaeorch does not run on Windows: use ")


def test_cpus_are_those_of_the_machine_where_no_system_says_which_are_ours(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert cpus() == 10
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus() == 1
