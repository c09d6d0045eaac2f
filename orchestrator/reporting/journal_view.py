"""Shows a sweep that another process runs: its journal, as it grows, makes the view that the process itself has."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.reporting.console import View
from orchestrator.schedulers.base import PAUSE
from orchestrator.space.trials import Trial, parameters, trial_name
from orchestrator.storage import layout, within_epoch
from orchestrator.storage.journal import events_of

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

News = list[tuple[Any, ...]]
"""What happened to trials: the name of a view's method, and its values."""


class Growing:
    """The whole lines of a file that grows; each is returned once."""

    def __init__(self, file: Path):
        self.file, self.read = file, 0

    def lines(self) -> list[bytes]:
        """The lines that are new and whole; none if there is no file yet."""
        try:
            with self.file.open("rb") as file:
                file.seek(self.read)
                found = file.read()
        except FileNotFoundError:
            return []
        whole = found[: found.rfind(b"\n") + 1]
        self.read += len(whole)
        return whole.splitlines(keepends=True)


class JournalReader:
    """Turns the journal of the sweep in `folder` into what happens to its trials."""

    def __init__(self, folder: Path, spec: "SweepSpec"):
        self.folder, self.spec = folder, spec
        self.journal = Growing(folder / layout.JOURNAL)
        self.params: dict[str, dict[str, Any]] = {}  # trial -> what distinguishes it
        self.epochs: dict[str, int] = {}  # trial that runs -> its epochs so far
        self.paused: dict[str, int] = {}  # trial that is paused -> its epochs

    def news(self) -> News:
        """What has happened since the last call; at first all since the sweep began."""
        return [
            one for line in self.journal.lines() for event in events_of(self.folder, line) for one in self._of(event)
        ]

    def within(self) -> Iterator[tuple[str, int, float, float]]:
        """How far each running trial is within a long epoch: trial, epoch, share, seconds."""
        for trial, epochs in self.epochs.items():
            found = within_epoch.read(layout.trial_folder(self.folder, trial))
            if found and found[0] == epochs + 1:
                yield trial, *found

    def _of(self, event: dict[str, Any]) -> News:
        for trial in event.get("trials") or ():
            known = Trial(**trial)
            self.params[trial_name(known.number)] = parameters(self.spec, known)
        make = MAKE.get(event["event"])
        return list(make(self, event)) if make else []

    def _began(self, event: dict[str, Any]) -> Iterator[tuple]:
        trial = event["trial"]
        self.epochs[trial] = 0
        yield "trial_started", trial, self.params.get(trial, {}), trial

    def _epoch(self, event: dict[str, Any]) -> Iterator[tuple]:
        trial, epoch, earlier = event["trial"], event["epoch"], event.get("earlier", [])
        self.epochs[trial] = epoch
        for number, metrics in enumerate([*earlier, event["metrics"]], epoch - len(earlier)):
            yield "epoch", trial, number, metrics
        if event.get("answer") == PAUSE:
            self.paused[trial] = self.epochs.pop(trial)
            yield "trial_paused", trial

    def _promoted(self, event: dict[str, Any]) -> Iterator[tuple]:
        if event.get("answer") is not None:
            trial = trial_name(event["answer"])
            self.epochs[trial] = self.paused.pop(trial, 0)
            yield "trial_resumed", trial

    def _reused(self, event: dict[str, Any]) -> Iterator[tuple]:
        yield from self._began(event)
        for epoch, metrics in enumerate(event["epochs"], start=1):
            yield "epoch", event["trial"], epoch, metrics
        yield from self._ended(event | {"status": "completed", "reason": f"reused from {event['source']}"})

    def _ended(self, event: dict[str, Any]) -> Iterator[tuple]:
        self.epochs.pop(event["trial"], None)
        self.paused.pop(event["trial"], None)
        yield "trial_ended", event["trial"], event["status"], event["reason"], {}


MAKE = {
    "began": JournalReader._began,
    "epoch": JournalReader._epoch,
    "promoted": JournalReader._promoted,
    "closing": JournalReader._promoted,
    "reused": JournalReader._reused,
    "ended": JournalReader._ended,
}


def show(reader: JournalReader, view: View) -> None:
    """Pass on to a view what is new in a journal."""
    for name, *values in reader.news():
        getattr(view, name)(*values)
    for trial, epoch, share, seconds in reader.within():
        view.trial_within(trial, epoch, share, seconds)
