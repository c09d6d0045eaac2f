"""A process in the place of one that trains: it holds the lock of a folder and lets its journal grow."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ROOT

TRAINS = """
import signal, sys, time
from pathlib import Path
from orchestrator.storage.locks import TRAINS, driver

folder, rest = Path(sys.argv[1]), Path(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with driver(folder, TRAINS):
    print("holds", flush=True)
    for order in sys.stdin:
        if order == "write\\n":
            with (folder / "journal.jsonl").open("ab") as file:
                file.write(rest.read_bytes())
        print("done", flush=True)
"""


@contextmanager
def training(folder: Path, rest: Path = Path("/dev/null")) -> Iterator[subprocess.Popen]:
    """A process that trains in `folder` until its standard input closes; told to write, it appends `rest`."""
    command = [sys.executable, "-c", TRAINS, str(folder), str(rest)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "holds\n"
        yield process


def write(process: subprocess.Popen) -> None:
    """Let it write, and wait until it has."""
    process.stdin.write("write\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
