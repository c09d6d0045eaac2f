"""Programs in Python that need not import torch, Ray and MLflow: forks of one server that has imported them.

`Popen` and `run` take what those of `subprocess` take, for `python -c CODE ...` and `python -m MODULE ...`. The
process has its own streams, working folder, environment and end, and no thread or state of another. It differs from
a new interpreter in three things: what was imported, its hash seed, and /proc/PID/environ, which is the server's.
"""

import importlib
import io
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import types
from functools import cache

IMPORTED = (
    *("torch._dynamo", "torch.distributed", "mlflow", "ray.tune", "boto3", "trainables.pictures"),
    *("orchestrator.cli.main", "orchestrator.commands.sweep", "orchestrator.commands.evaluate"),
    *("orchestrator.execution.tune", "orchestrator.execution.slot", "trainables.evaluations.evaluate"),
)
BLOCK_BYTES = 1 << 16


class Server:
    """The client's side of the server: starts it; a fork for each order."""

    def __init__(self):
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self.lock = threading.Lock()
        theirs.close()

    def ask(self, order: dict, streams: tuple[int, ...] = ()) -> list[int]:
        """The answer to an order: see `serve`."""
        with self.lock:
            content = json.dumps(order).encode() + b"\n"
            sent = socket.send_fds(self.socket, [content], streams)
            self.socket.sendall(content[sent:])
            return json.loads(received(self.socket)[0])


def received(place: socket.socket) -> tuple[bytes, list[int]]:
    """A line, and the files that came with it; b"" when the other side has closed."""
    line, streams, _, _ = socket.recv_fds(place, BLOCK_BYTES, 3)
    while line and not line.endswith(b"\n"):
        line += place.recv(BLOCK_BYTES)
    return line, streams


server = cache(Server)


class Popen(subprocess.Popen):
    """A fork of the server in the place of a new interpreter."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *more) -> None:
        _, _, _, p2cread, _, _, c2pwrite, _, errwrite, *_ = more
        order = {"words": list(map(str, args[1:])), "cwd": str(cwd or os.getcwd()), "env": dict(env or os.environ)}
        streams = [own if own != -1 else usual for usual, own in enumerate((p2cread, c2pwrite, errwrite))]
        [self.pid] = server().ask(order, tuple(streams))
        self._child_created = True
        self._close_pipe_fds(*more[3:9])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        while True:
            pid, status = server().ask({"wait": self.pid})
            if pid or wait_flags:
                return pid, status
            threading.Event().wait(0.01)

    def _internal_poll(self, *values, **more) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode


def run(command: list, *, check: bool = False, capture_output: bool = False, **how) -> subprocess.CompletedProcess:
    """As `subprocess.run`."""
    if capture_output:
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **how) as process:
        out, err = process.communicate()
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def serve(orders: socket.socket) -> tuple[dict, list[int]] | None:
    """Answer orders until the client ends: {"wait": pid} with the pid, or 0, and its status; any other with the pid.

    Returns in the fork, with its order and streams.
    """
    while line := (message := received(orders))[0]:
        order, streams = json.loads(line), message[1]
        if "wait" in order:
            answer = os.waitpid(order["wait"], os.WNOHANG)
        elif child := os.fork():
            answer = [child]
            for stream in streams:
                os.close(stream)
        else:
            orders.close()
            return order, streams
        orders.sendall(json.dumps(answer).encode() + b"\n")
    return None


def begin(order: dict, streams: list[int]) -> None:
    """In the fork: become the program."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    files = [io.FileIO(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(files[0]), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(files[1]), "utf-8", line_buffering=os.isatty(1))
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(files[2]), "utf-8", "backslashreplace", line_buffering=True)
    kind, what, *words = order["words"]
    sys.argv = [kind if kind == "-c" else what, *words]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), vars(main))


def main() -> None:
    from orchestrator.tracking.client import set_environment

    set_environment()
    for name in IMPORTED:
        importlib.import_module(name)
    if ordered := serve(socket.socket(fileno=int(sys.argv[1]))):
        begin(*ordered)


if __name__ == "__main__":
    main()
