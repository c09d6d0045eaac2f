"""The command line, with a signal to the driver at a point of its work. See `serve`.

A point is {"at": a name in AT, "signal": number, ...}. The functions in AT stand in for others: they do their work
until the point is reached, and there half of it.
"""

import json
import os
import signal
import sys
import time

from orchestrator import cli, journal, ledger, mlflow_store, slot, spool, tracking, trial_folder
from trainables import checkpoint, pictures

POINT = json.loads(os.environ.get("FATAL", "{}"))


def strike() -> None:
    """Send the signal to the driver, and say when; of a SIGKILL nothing comes back."""
    os.write(2, f"STRUCK {time.time()}\n".encode())
    os.kill(int(os.environ["FATAL_DRIVER"]), POINT["signal"])
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


def write(true, picture, path):
    """In a slot: amid the pictures of an epoch."""
    found = [path.parents[2].name, int(path.parent.name.strip(".").partition(".")[0])] == POINT["epoch"]
    if found and list(path.parent.glob("*.png")):
        path.write_bytes(b"half a picture")
        strike()
    return true(picture, path)


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


AT = {
    "journal": (journal.Journal, "append", append),
    "metrics": (trial_folder.TrialFolder, "keep", keep),
    "checkpoint": (checkpoint, "save", save),
    "picture": (pictures, "write", write),
    "spool": (spool.Spool, "append", spool_append),
    "acknowledged": (spool.Spool, "acknowledge", acknowledge),
    "results": (ledger, "write_whole", write_whole),
    "last results": (ledger.Ledger, "interrupt", first),
    "sweep ended": (tracking.Tracker, "sweep_ended", first),
    "sending": (spool.Sender, "close", first),
}
IN_SLOTS = ("metrics", "checkpoint", "picture")


class FatalSlot(slot.Slot):
    """A slot in whose process the point may lie."""

    def setup(self, config: dict) -> None:
        if POINT.get("at") in IN_SLOTS and not POINT.get("armed"):
            POINT["armed"] = True
            if POINT["at"] == "checkpoint":
                wrapped(*AT["metrics"])
            wrapped(*AT[POINT["at"]])
        super().setup(config)


def run(words: list[str], point: dict, said: str, mark: str) -> None:
    """The command line in this process, its words in a file; the processes that it starts inherit the mark."""
    with open(said, "w") as out, open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0), os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
    os.environ |= {"FATAL": json.dumps(point), "FATAL_DRIVER": str(os.getpid()), "FATAL_MARK": mark}
    POINT.update(point)
    if point and point["at"] not in IN_SLOTS:
        wrapped(*AT[point["at"]])
    if point and point["at"] == "acknowledged":
        wrapped(journal.Journal, "append", stall)
    slot.Slot = FatalSlot
    sys.argv = ["vaeorch", *words]
    cli.main()


def serve() -> None:
    """Run one command line after the other, as standard input has them; tell each one's exit code.

    Each has a process of its own, made by a fork of this one: so only the first waits for imports.
    """
    mlflow_store.set_environment()
    import mlflow  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
            break
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    import fatal

    fatal.serve()
