"""The server of MLflow's page: it ends with `vaeorch ui`, however that ends, and shows no password."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.tracking.client import prepare_store
from orchestrator.tracking.ui import HOST
from tests.support import ROOT
from tests.support.waiting import until

LONG_S = 180.0  # a server starts within 20 s on an idle machine


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("100% of #1?") / "it's"
    prepare_store(f"sqlite:///{out.parent.parent / 'made.db'}")
    out.mkdir()
    shutil.move(out.parent.parent / "made.db", out / "mlflow.db")
    return out


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
        return answer.status == 200
    return False


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((HOST, port))
            return True
    return False


GUARDED = """
import os, signal, sys
from orchestrator import signals
from orchestrator.tracking.ui import _guarded
signals.listen()
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
_guarded([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ)
"""
SERVER = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
server.set_inheritable(True)
os.fork() or os.fork()  # workers, as a server's
time.sleep(600)
"""


def commands() -> Iterator[bytes]:
    """What all processes were called with."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield file.read_bytes()


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_guarded_server_and_its_workers_end_with_the_process_however_that_ends(number):
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", GUARDED, SERVER, str(port)], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        until(lambda: not free(port), LONG_S)
        os.kill(process.pid, number)
        process.wait(LONG_S)
    until(lambda: free(port), LONG_S)


def test_the_verb_takes_its_server_along_when_it_is_killed_and_shows_no_address(out):
    port = free_port()
    command = [sys.executable, "-m", "orchestrator", "ui", "--out", str(out), "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, **quiet) as process:
        until(lambda: answers(port), LONG_S)
        if Path("/proc/self/cmdline").exists():
            assert b"mlflow.db" not in b"".join(words for words in commands() if str(port).encode() in words)
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: free(port), LONG_S)
