"""The command line, with a signal to the driver at a point of its work. See `serve`.

A point is {"at": a name in AT, "signal": number, ...}. The functions in AT stand in for others: they do their work
until the point is reached, and there half of it. The point of the command line that runs is in the file FATAL, with
the process id of the driver: slots read it there.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from orchestrator.cli import main as cli
from orchestrator.clusters import local as local_ray
from orchestrator.execution import drawing, slot
from orchestrator.storage import journal, trial_folder
from orchestrator.sweep import events, results_file
from orchestrator.tracking import client, sending, spool
from orchestrator.tracking import tracker as tracking
from trainables import checkpoint

POINT = {}


def strike() -> None:
    """Send the signal to the driver, and say when; of a SIGKILL nothing comes back. Or kill a process of its Ray."""
    os.write(2, f"STRUCK {time.time()}\n".encode())
    if "victim" in POINT:
        from ray._private import worker

        [victim] = worker._global_node.all_processes[POINT["victim"]]
        os.kill(victim.process.pid, signal.SIGKILL)
        return
    os.kill(POINT["driver"], POINT["signal"])
    if POINT["signal"] == signal.SIGKILL:
        time.sleep(300)  # a slot: Ray ends it soon


def wrapped(place, name, stand_in) -> None:
    true = getattr(place, name)
    setattr(place, name, lambda *values, **more: stand_in(true, *values, **more))


def append(true, self, event) -> None:
    """Before, in the middle of, or after the line number POINT["line"] of the journal."""
    self.line = getattr(self, "line", len(self.events)) + 1
    here = self.line == POINT["line"]
    if here and POINT["when"] == "before":
        strike()
    if here and POINT["when"] == "amid":
        with self.path.open("a") as file:
            file.write(json.dumps(event)[:20])
        strike()
    true(self, event)
    if here and POINT["when"] == "after":
        strike()


def keep(true, self, report, draw) -> None:
    """In a slot: remember which epoch is written; amid its line of metrics.jsonl."""
    POINT["reached"] = [self.path.name, report.epoch] == POINT["epoch"]
    if POINT["reached"] and POINT["at"] == "metrics":
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 1, "imag')
        strike()
    true(self, report, draw)


def save(true, path, state) -> None:
    """In a slot: amid the checkpoint of an epoch."""
    if POINT.get("reached") and path.name == "checkpoint.pt":
        path.with_name(f".checkpoint.pt.{os.getpid()}").write_bytes(b"half a checkpoint")
        strike()
    true(path, state)


def keep_pictures(true, self, files) -> None:
    """Amid the pictures of the second trial that is drawn."""
    if any(self.folder.parent.glob("*/pictures/[0-9]*")):
        half = self.place.with_name(f".{self.place.name}.{os.getpid()}")
        half.mkdir(parents=True)
        (half / next(iter(files))).write_bytes(b"half a picture")
        strike()
    true(self, files)


def spool_append(true, self, uid, event) -> None:
    """Amid the line of the spool with an epoch of a trial."""
    if [uid, event.get("epoch")] == POINT["epoch"]:
        with open(self._path(uid), "a") as file:
            file.write('{"kind":"epoch","ti')
        strike()
    true(self, uid, event)


def stall(true, self, event) -> None:
    """Wait before a line of the journal: the tracker's thread is to be struck first."""
    self.line = getattr(self, "line", len(self.events)) + 1
    if self.line == POINT["line"]:
        time.sleep(300)
    true(self, event)


def acknowledge(true, self, uid, end) -> None:
    """The store has some epoch of a trial, and the spool does not know it."""
    if uid == POINT["trial"]:
        strike()
    true(self, uid, end)


def told(true, self, trial, epoch, metrics) -> None:
    """After the tracker was told of an epoch. MLflow's server is killed after one, and started after another."""
    true(self, trial, epoch, metrics)
    server = Server(**POINT["server"])
    if [trial, epoch] == POINT["gone"]:
        server.kill()
    if [trial, epoch] == POINT["back"]:
        server.start()
    if [trial, epoch] == POINT["epoch"]:
        server.kill()
        strike()


def write_whole(true, path, text) -> None:
    """Amid results.json, once it holds a trial."""
    if f'"id": "{POINT["trial"]}"' in text:
        path.with_name(f".{path.name}.{os.getpid()}").write_text(text[: len(text) // 2])
        strike()
    true(path, text)


def first(true, *values):
    """Before the function is called."""
    strike()
    return true(*values)


def last(true, *values):
    """After the function was called."""
    true(*values)
    strike()


def overdue(true, *values):
    """Ray's node does not come up in time: nobody finds it, and time passes a hundred times as fast."""
    from ray._private import node, services

    hasty = SimpleNamespace(monotonic=lambda: 100 * time.monotonic(), sleep=time.sleep, time=time.time)
    impatient = mock.patch.object(local_ray, "START_S", 0), mock.patch.object(node, "time", hasty)
    with mock.patch.object(services, "get_node", side_effect=RuntimeError), impatient[0], impatient[1]:
        true(*values)


AT = {
    "journal": (journal.Journal, "append", append),
    "metrics": (trial_folder.TrialFolder, "keep", keep),
    "checkpoint": (checkpoint, "save", save),
    "picture": (drawing.Drawing, "keep", keep_pictures),
    "spool": (spool.Spool, "append", spool_append),
    "acknowledged": (spool.Spool, "acknowledge", acknowledge),
    "results": (results_file, "write_whole", write_whole),
    "recalled": (events.Listeners, "recall", last),
    "last results": (results_file.ResultsFile, "interrupt", first),
    "sweep ended": (tracking.Tracker, "sweep_ended", first),
    "sending": (sending.Sender, "close", first),
    "told": (tracking.Tracker, "epoch", told),
    "ray": (local_ray, "start", overdue),
}
IN_SLOTS = ("metrics", "checkpoint")


class Server:
    """A real MLflow server over `out`/mlflow.db. Its process group is in a file, for whoever wants to kill it."""

    def __init__(self, out: str, port: int):
        where = {"--backend-store-uri": f"sqlite:///{out}/mlflow.db", "--host": "127.0.0.1", "--port": str(port)}
        self.command = [sys.executable, "-m", "mlflow", "server", *chain(*where.items()), "--workers", "1"]
        self.out, self.uri, self.group = out, f"http://127.0.0.1:{port}", Path(out) / "server"

    def start(self) -> None:
        """It answers when this returns."""
        few = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # or it starts fourteen processes
        to = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(self.command, cwd=self.out, env=few, start_new_session=True, **to)
        self.group.write_text(str(process.pid))
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.2)

    def kill(self) -> None:
        """It answers nobody from here on."""
        if self.group.exists():
            os.killpg(int(self.group.read_text()), signal.SIGKILL)
            self.group.unlink()


class FatalSlot(slot.Slot):
    """A slot in whose process the point may lie."""

    def setup(self, config: dict) -> None:
        POINT.update(json.loads(Path(os.environ["FATAL"]).read_text()))
        if POINT.get("at") in IN_SLOTS:
            if POINT["at"] == "checkpoint":
                wrapped(*AT["metrics"])
            wrapped(*AT[POINT["at"]])
        super().setup(config)


def run(words: list[str], point: dict, said: str, mark: str, address: str | None) -> None:
    """The command line in this process, its words in a file; the processes that it starts inherit the mark.

    With `address` on the Ray that is there, else on one of its own.
    """
    with open(said, "w") as out, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0), os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
    os.environ["FATAL_MARK"] = mark
    POINT.update(point, driver=os.getpid())
    Path(os.environ["FATAL"]).write_text(json.dumps(POINT))
    if point and point["at"] not in IN_SLOTS:
        wrapped(*AT[point["at"]])
    if point and point["at"] == "acknowledged":
        wrapped(journal.Journal, "append", stall)
    slot.Slot = FatalSlot
    if address:
        import ray

        with local_ray.one_machine():
            ray.init(address=address, namespace="vaeorch", log_to_driver=False, logging_level="CRITICAL")
    sys.argv = ["vaeorch", *words]
    cli.main()


def serve() -> None:
    """Run one command line after the other, as standard input has them; tell each one's exit code.

    Each has a process of its own, made by a fork of this one: so only the first waits for imports.
    """
    client.set_environment()
    import mlflow  # noqa: F401

    from orchestrator.execution import tune as tuning  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
            break
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    from tests.support import fatal  # so that what is pickled is found by its module

    fatal.serve()
